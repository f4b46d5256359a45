"""CPU time of one suggestion, ours beside HpBandSter's generator, in the same run.

A suggestion is one ask and one tell with n finished random results on one budget, in a space of 25 hyperparameters:
10 integers, 8 floats, 7 categoricals and 9 conditions. A third of them is random, as both methods do. One BLAS thread;
CPU seconds of the process, so that a loaded machine disturbs little.

    python bench/suggest.py [--repetitions 30]
"""

# ruff: noqa: E402 - the number of BLAS threads is read when numpy is first imported
import argparse
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import importlib.util
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer
from numpy.typing import NDArray

from bohb_nas import Budgets, Origin, Result, Status, Trial, make_optimizer
from bohb_nas.methods import bohb_2018
from bohb_nas.space.encoding import Encoding

SIZES = (100, 1000, 5000)
BUDGET = 1.0


def conditional_space() -> ConfigurationSpace:
    """25 hyperparameters: 10 integers, 8 floats, 7 categoricals (three of them binary), and 9 conditions."""
    space = ConfigurationSpace()
    switches = [Categorical(f"c{i}", ["a", "b", "c"][: 2 + (i < 4)]) for i in range(7)]
    integers = [Integer(f"i{i}", (1, 8 * 2**i), log=i % 2 == 0) for i in range(10)]
    floats = [Float(f"f{i}", (1e-4, 1.0), log=i % 2 == 0) for i in range(8)]
    space.add(switches, integers, floats)
    children = integers[:5] + floats[:4]
    space.add([EqualsCondition(child, switches[i % 7], "a") for i, child in enumerate(children)])
    return space


def loss_of(config: Mapping[str, object]) -> float:
    """Something to learn: a bowl in the floats that are active, and a price for each level that is not "a"."""
    return sum((v - 0.3) ** 2 if isinstance(v, float) else 0.1 * (v != "a") for v in config.values() if not isinstance(v, int))


def ours(n: int, *, corrected_densities: bool = False) -> Callable[[], None]:
    """A cycle of ask and tell after n results on the only rung of a ladder."""
    options = bohb_2018.Options(corrected_densities=corrected_densities)
    optimizer = make_optimizer("bohb_2018", space=conditional_space(), budgets=Budgets(min=BUDGET, max=BUDGET), options=options)

    def cycle() -> None:
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        optimizer.tell(Result(trial_id=trial.trial_id, status=Status.OK, loss=loss_of(trial.config), train_s=0.0))

    encoding = Encoding(conditional_space())
    for k in range(n):
        trial = Trial(
            trial_id=f"t{k:05d}",
            config_id=f"c{k:05d}",
            config=encoding.sample(k),
            budget=BUDGET,
            bracket=0,
            rung=0,
            seed=k,
            origin=Origin.RANDOM,
        )
        optimizer.replay(trial)
        optimizer.tell(Result(trial_id=trial.trial_id, status=Status.OK, loss=loss_of(trial.config), train_s=0.0))
    return cycle


def hpbandster(n: int) -> Callable[[], None]:
    """The same cycle of HpBandSter's generator."""
    from hpbandster.optimizers.config_generators.bohb import BOHB

    logger = logging.getLogger("hpbandster")
    logger.setLevel(logging.CRITICAL)
    generator = BOHB(conditional_space(), logger=logger)

    def tell(config: Mapping[str, object], *, update: bool) -> None:
        job = SimpleNamespace(result={"loss": loss_of(config)}, kwargs={"budget": BUDGET, "config": config}, exception=None)
        generator.new_result(job, update_model=update)

    def cycle() -> None:
        config, _ = generator.get_config(BUDGET)
        tell(config, update=True)

    encoding = Encoding(conditional_space())
    for k in range(n):
        tell(encoding.sample(k), update=k == n - 1)
    return cycle


def measure(cycle: Callable[[], None], repetitions: int) -> NDArray[np.float64]:
    """CPU milliseconds of each cycle, (repetitions,)."""
    cycle()  # the first one also encodes the n results
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        cycle()
        times.append((time.process_time() - start) * 1e3)
    return np.array(times)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=30)
    repetitions = parser.parse_args().repetitions
    rows: dict[str, Callable[[int], Callable[[], None]]] = {
        "bohb_2018": ours,
        "bohb_2018, corrected_densities": partial(ours, corrected_densities=True),
    }
    if importlib.util.find_spec("hpbandster"):
        warnings.simplefilter("ignore")  # hpbandster calls what ConfigSpace and numpy have deprecated
        rows["hpbandster 0.7.4"] = hpbandster
    else:
        print("hpbandster is not installed (pip install bohb-nas[hpbandster]): ours alone")
    print(f"CPU ms per suggestion (ask + tell), {repetitions} repetitions: mean, median [10th, 90th percentile]")
    for name, make in rows.items():
        for n in SIZES:
            times = measure(make(n), repetitions)
            low, median, high = np.percentile(times, [10, 50, 90])
            print(f"{name:32} n={n:<5} {times.mean():9.2f} {median:9.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
