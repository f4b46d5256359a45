"""Our methods beside other optimizers on benchmark problems, under one virtual clock and with paired seeds.

`python bench/optimizers.py [SUITE] [--jobs N]`, SUITE being quick, standard, tuning, confirmation or synthetic. Runs are
kept in bench/results/SUITE and reused; a killed call goes on where it was. Peers that are not installed are skipped by
name. Those that need an environment of their own (DEHB and Syne Tune 0.13: an older numpy) run with the interpreter that
PEERS_PYTHON names.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from bohb_nas import refs
from bohb_nas.simulation.suites import SUITES, Suite

FOLDER = Path(__file__).parent
ORDER = ("bohb", "bohb_2018", "hyperband", "asha", "random_search")
PEERS = ("hpbandster_bohb", "ray_tune_bohb", "optuna_tpe", "smac_mf", "dehb", "neps_brackets", "syne_tune_bohb", "syne_tune_mobster")
FEWER_SEEDS = {
    "smac_mf": {"quick": {4: 2}, "*": {1: 10, 4: 3, 16: 3}},
    "neps_brackets": {"*": {4: 5, 16: 1}},
    "syne_tune_bohb": {"*": {4: 10, 16: 2}},
    "syne_tune_mobster": {"quick": {4: 1}, "*": {1: 1, 4: 1, 16: 1}},
}
"""Of slow peers, by suite and number of workers; tables show the number of seeds."""


def main() -> None:
    """Runs what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", default="quick", choices=list(SUITES))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    said = parser.parse_args()
    out, suite = FOLDER / "results" / said.suite, SUITES[said.suite]
    ours = [method for method in ORDER if method in refs.names("method")]
    simulate(sys.executable, "--suite", said.suite, *(f"--method={method}" for method in ours), "--out", str(out), "--jobs", str(said.jobs))
    for peer in PEERS:
        path = FOLDER / "peers" / f"{peer}.py"
        python, why = interpreter(path)
        if python is None:
            print(f"skipped: {peer}: {why}", file=sys.stderr)
            continue
        for workers, n_seeds in seeds(peer, said.suite, suite).items():
            arguments = ["--suite", said.suite, "--method", str(path), "--out", str(out), "--jobs", str(said.jobs)]
            simulate(python, *arguments, "--workers", str(workers), "--seeds", str(n_seeds))
    reference = ["--reference", "hpbandster_bohb"] if interpreter(FOLDER / "peers" / "hpbandster_bohb.py")[0] else []
    subprocess.run([sys.executable, "-m", "bohb_nas", "simulate", "--report", "--out", str(out), *reference], check=True)


def seeds(peer: str, name: str, suite: Suite) -> dict[int, int]:
    """Workers -> how many seeds of a peer."""
    fewer = FEWER_SEEDS.get(peer, {})
    limits = fewer.get(name, fewer.get("*", {}))
    return {workers: min(suite.n_seeds, limits.get(workers, suite.n_seeds)) for workers in suite.workers}


def interpreter(path: Path) -> tuple[str | None, str]:
    """The interpreter that has what a method file drives, or why none has."""
    why = ""
    for python in filter(None, (sys.executable, os.environ.get("PEERS_PYTHON"))):
        program = "import sys; from bohb_nas.methods import load_method; load_method(sys.argv[1])"
        tried = subprocess.run([python, "-c", program, str(path)], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return python, ""
        why = why or tried.stderr.strip().splitlines()[-1]
    return None, why


def simulate(python: str, *arguments: str) -> None:
    """Runs what is missing; a method that fails on a problem is named, and the others go on."""
    subprocess.run([python, "-m", "bohb_nas", "simulate", *arguments, "--no-figures"], stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
