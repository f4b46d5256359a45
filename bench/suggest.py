"""CPU time of one suggestion, ours beside HpBandSter, Optuna and SMAC3, in the same run.

A suggestion is one ask and one tell with n finished results on one budget (random ones; of Optuna and SMAC3, those of
their own search), in a space of 25 hyperparameters: 10 integers, 8 floats, 7 categoricals and 9 conditions. Random picks
are among them, as each method makes them. One BLAS thread; CPU seconds of the process, so that a loaded machine disturbs
little. Peers that are not installed are named and left out.

    python bench/suggest.py [--repetitions 100] [--only NAME …]
"""

# ruff: noqa: E402 - the number of BLAS threads is read when numpy is first imported
import argparse
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import importlib.util
import logging
import resource
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer
from numpy.typing import NDArray

from bohb_nas import Budgets, Method, Origin, Result, Status, Trial, make_optimizer
from bohb_nas.methods import load_method
from bohb_nas.space.encoding import Encoding

BUDGET = 1.0
ONE_RUNG = Budgets(min=BUDGET, max=BUDGET)
PEERS = Path(__file__).parent / "peers"


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


def told(optimizer: Method) -> Callable[[], None]:
    """A cycle of one ask and one tell."""

    def cycle() -> None:
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        optimizer.tell(Result(trial_id=trial.trial_id, status=Status.OK, loss=loss_of(trial.config), train_s=0.0))

    return cycle


def ours(n: int, *, method: str, options: Mapping[str, Any] | None = None) -> Callable[[], None]:
    """The cycle of a method of ours after n random results on the only rung of a ladder."""
    module = load_method(method)
    optimizer = make_optimizer(method, space=conditional_space(), budgets=ONE_RUNG, options=module.Options(**(options or {})))
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
    return told(optimizer)


def peer(n: int, *, name: str) -> Callable[[], None]:
    """The cycle of a peer after n results of its own search: it takes no others through its public interface."""
    cycle = told(make_optimizer(str(PEERS / f"{name}.py"), space=conditional_space(), budgets=ONE_RUNG))
    for _ in range(n):
        cycle()
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
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="as in the table")
    asked = parser.parse_args()
    repetitions = asked.repetitions
    warnings.simplefilter("ignore")  # peers call what their dependencies have deprecated
    rows: list[tuple[str, str | None, tuple[int, ...], Callable[[int], Callable[[], None]]]] = [
        ("bohb", None, (100, 1000, 5000, 50000), partial(ours, method="bohb")),
        ("bohb_2018", None, (100, 1000, 5000), partial(ours, method="bohb_2018")),
        ("hpbandster 0.7.4", "hpbandster", (100, 1000, 5000), hpbandster),
        ("optuna", "optuna", (100, 1000), partial(peer, name="optuna_tpe")),
        ("smac3", "smac", (100, 1000), partial(peer, name="smac_mf")),
    ]
    print(f"CPU ms per suggestion (ask + tell), {repetitions} repetitions: mean, median [10th, 90th percentile]; memory at the end")
    for name, package, sizes, make in [row for row in rows if not asked.only or row[0] in asked.only]:
        if package is not None and importlib.util.find_spec(package) is None:
            print(f"{name:18} skipped: {package} is not installed")
            continue
        for n in sizes:
            times = measure(make(n), repetitions)
            low, median, high = np.percentile(times, [10, 50, 90])
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"{name:18} n={n:<6} {times.mean():9.2f} {median:9.2f} [{low:.2f}, {high:.2f}]  at most {used:.0f} MiB so far", flush=True
            )


if __name__ == "__main__":
    main()
