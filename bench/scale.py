"""How `bohb` bears size: the idle share of 1,000 simulated workers, and memory per observation.

Workers: the virtual clock with the optimizer's CPU seconds passing on it, one ask or tell at a time, so that workers
wait for it and for each other. The unit of the problems' costs is taken for a second: a full training is 357 s on
average (condnet), 729 s (counting_ones) and 81 s (rankcross), a trial a tenth of it or less. The horizon is half a full
training, so the rush at the start, when all ask at once, counts.

Memory: the largest resident set of this process after so many observations, in the conditional space of 25
hyperparameters of `suggest.py`: random configurations, each with one result, and 20 suggestions of the model at the end,
so that what is fitted is there too. Observations of one configuration on several rungs take less: they share it.

    python bench/scale.py
"""

# ruff: noqa: E402 - the number of BLAS threads is read when numpy is first imported
import argparse
import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import resource

from suggest import BUDGET, ONE_RUNG, conditional_space, loss_of, told

from bohb_nas import Method, Origin, Result, Status, Trial, make_optimizer
from bohb_nas.benchmarks import load_problem
from bohb_nas.simulation.clock import simulate
from bohb_nas.space.encoding import Encoding

METHOD = "bohb"
PROBLEMS = ("condnet", "counting_ones/16+16", "rankcross/0")
N_WORKERS = 1000
HORIZON = 0.5
"""In mean costs of a full training."""
SIZES = (5_000, 20_000, 50_000)
SUGGESTIONS = 20


def observe(optimizer: Method, encoding: Encoding, numbers: range) -> None:
    """Tells of random configurations, by their numbers in the study."""
    for k in numbers:
        config = encoding.sample(k)
        trial = Trial(
            trial_id=f"t{k:05d}", config_id=f"c{k:05d}", config=config, budget=BUDGET, bracket=0, rung=0, seed=k, origin=Origin.RANDOM
        )
        optimizer.replay(trial)
        optimizer.tell(Result(trial_id=trial.trial_id, status=Status.OK, loss=loss_of(config), train_s=0.0))


def peak_mib() -> float:
    """The largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def memory() -> None:
    """Prints the memory at each size, and its growth."""
    space = conditional_space()
    optimizer, encoding = make_optimizer(METHOD, space=space, budgets=ONE_RUNG), Encoding(space)
    cycle = told(optimizer)
    n, before, of_before = 0, peak_mib(), 0
    print(f"memory, {len(space)} hyperparameters: {before:.1f} MiB before the first observation")
    for size in SIZES:
        observe(optimizer, encoding, range(n, size - SUGGESTIONS))
        for _ in range(SUGGESTIONS):
            cycle()
        n, now = size, peak_mib()
        grown = (now - before) * 2**20 / (n - of_before)
        print(f"  {n:6} observations: {now:6.1f} MiB at most, {grown:5.0f} bytes per observation since {of_before}", flush=True)
        before, of_before = now, n


def workers() -> None:
    """Prints how idle the workers are on each problem."""
    print(f"{N_WORKERS} workers, {HORIZON} mean costs of a full training, CPU seconds of {METHOD} on the clock")
    for name in PROBLEMS:
        problem = load_problem(name)
        optimizer = make_optimizer(METHOD, space=problem.space, budgets=problem.budgets, n_workers=N_WORKERS)
        run = simulate(optimizer, problem, n_workers=N_WORKERS, horizon=HORIZON * problem.mean_cost, seed=0, overhead=True)
        n, offered = sum(run.evaluations), N_WORKERS * run.horizon
        print(
            f"  {problem.name:20} idle {1 - run.busy / offered:.2%}, {run.cpu_s / n * 1e3:.2f} ms CPU per evaluation; "
            f"{n} evaluations of {offered / n:.1f} s each",
            flush=True,
        )


def main() -> None:
    """Prints the figures; memory first, while the largest resident set is its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    memory()
    workers()


if __name__ == "__main__":
    main()
