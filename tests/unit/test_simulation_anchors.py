"""Random search and Hyperband reproduce regrets that an independent implementation of problems and clock measured.

Those are means over 20 seeds of the normalised regret of the recommended incumbent, promoted configurations continue, at
2, 10 and 50 mean full costs with one worker, at 2, 10 and 20 with four. Its Hyperband is fully synchronous: with four
workers it waits at every rung. Ours opens the next bracket instead, which shows where costs are very unequal
(rbv2_xgboost, iaml_super): there Hyperband with four workers is not compared.
"""

import json
import math
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from bohb_nas.cli import cli

N = 20
SIGMAS = 3.0
CHECKPOINTS = {1: (2.0, 10.0, 50.0), 4: (2.0, 10.0, 20.0)}
SYNTHETIC = {
    ("condnet/noisy", 1): {"random_search": (0.921, 0.568, 0.401), "hyperband": (0.400, 0.334, 0.275)},
    ("condnet/noisy", 4): {"random_search": (0.580, 0.408, 0.370), "hyperband": (0.358, 0.284, 0.249)},
    ("rankcross/0", 1): {"random_search": (0.786, 0.466, 0.272), "hyperband": (0.712, 0.498, 0.292)},
    ("rankcross/0", 4): {"random_search": (0.535, 0.308, 0.238), "hyperband": (0.570, 0.323, 0.223)},
}
DATA = {
    ("lcbench/167168", 1): {"random_search": (0.706, 0.402, 0.210), "hyperband": (0.345, 0.242, 0.186)},
    ("lcbench/167168", 4): {"random_search": (0.425, 0.232, 0.192), "hyperband": (0.282, 0.196, 0.172)},
    ("lcbench/189906", 1): {"random_search": (0.754, 0.351, 0.208), "hyperband": (0.335, 0.225, 0.160)},
    ("lcbench/189906", 4): {"random_search": (0.405, 0.220, 0.185), "hyperband": (0.257, 0.173, 0.151)},
    ("rbv2_xgboost/16", 1): {"random_search": (0.804, 0.494, 0.122), "hyperband": (0.563, 0.486, 0.125)},
    ("rbv2_xgboost/16", 4): {"random_search": (0.162, 0.122, 0.110)},
    ("iaml_super/1489", 1): {"random_search": (0.630, 0.276, 0.220), "hyperband": (0.513, 0.236, 0.146)},
    ("iaml_super/1489", 4): {"random_search": (0.290, 0.163, 0.132)},
    ("nb301_v0/cifar10", 1): {"random_search": (0.984, 0.702, 0.558), "hyperband": (0.643, 0.563, 0.493)},
    ("nb301_v0/cifar10", 4): {"random_search": (0.775, 0.569, 0.530), "hyperband": (0.619, 0.507, 0.482)},
    ("jointnb301/cifar10", 1): {"random_search": (1.016, 0.687, 0.557), "hyperband": (0.644, 0.566, 0.506)},
    ("jointnb301/cifar10", 4): {"random_search": (0.752, 0.576, 0.530), "hyperband": (0.615, 0.509, 0.487)},
}
Anchors = dict[str, tuple[float, float, float]]


def compare(problem: str, workers: int, anchors: Anchors, out: Path) -> None:
    """Every difference is below three standard errors: that of our 20 seeds, and as much again for theirs."""
    methods = [f"--method={method}" for method in anchors]
    where = ["--problem", problem, "--workers", str(workers), "--horizon", str(CHECKPOINTS[workers][-1]), "--seeds", str(N)]
    done = CliRunner().invoke(cli, ["simulate", *methods, *where, "--promote", "continue", "--out", str(out), "--no-figures", "--json"])
    assert done.exit_code == 0, done.stderr
    (figures,) = json.loads(done.stdout)["comparisons"]
    places = [figures["checkpoints"].index(at) for at in CHECKPOINTS[workers]]
    off = {}
    for row in figures["by_problem"]:
        for k, anchor in zip(places, anchors[row["method"]], strict=True):
            distance = (row["mean"][k] - anchor) / (math.sqrt(2) * row["standard_error"][k])
            off[row["method"], figures["checkpoints"][k]] = distance
    assert {place: distance for place, distance in off.items() if abs(distance) > SIGMAS} == {}


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "workers"), SYNTHETIC)
def test_synthetic_problems_reproduce_the_anchors(problem: str, workers: int, tmp_path: Path) -> None:
    compare(problem, workers, SYNTHETIC[problem, workers], tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("BOHB_NAS_DATA" not in os.environ, reason="BOHB_NAS_DATA does not name the folder with benchmarks/")
@pytest.mark.parametrize(("problem", "workers"), DATA)
def test_problems_from_data_reproduce_the_anchors(problem: str, workers: int, tmp_path: Path) -> None:
    compare(problem, workers, DATA[problem, workers], tmp_path)
