"""Every worker of the catalogue keeps the contract."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, Constant

from bohb_nas import refs
from bohb_nas.engine.child import make_worker
from bohb_nas.space.files import load_space
from bohb_nas.testing import check_worker

ANSWER = "import json, os; trial = json.load(open(os.environ['BOHB_NAS_TRIAL'])); print(json.dumps({'loss': trial['config']['lr']}))"

SAVES = """
import json, os, pathlib, signal, sys, time
handover, interrupted = os.environ["BOHB_NAS_HANDOVER"], os.environ.get("BOHB_NAS_INTERRUPTED")
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(handover, "state").touch(), sys.exit(1)))
time.sleep(0 if interrupted else 0.5)
print(json.dumps(dict(loss=0.5)))
"""

CASES: dict[str, tuple[str, dict[str, Any], float]] = {
    "command": ("toy", {"command": [sys.executable, "-c", ANSWER.replace("{", "{{").replace("}", "}}")]}, 1.0),
    "image_classifier": ("joint", {"dataset": "digits", "device": "cpu", "n_threads": 1, "min_steps": 1, "max_steps": 2}, 60.0),
    "one_shot": (
        "joint",
        {"search": {"method": "autohas"}, "dataset": "digits", "device": "cpu", "n_threads": 1, "min_steps": 1, "max_steps": 2},
        60.0,
    ),
    "toy": ("toy", {}, 1.0),
}
"""Worker -> space, options and budget to check it with: a new worker adds its line."""


@pytest.mark.parametrize("name", refs.names("worker"))
def test_contract(name: str, tmp_path: Path) -> None:
    space, options, budget = CASES[name]
    findings = check_worker(make_worker(name, options), load_space(space), workdir=tmp_path, budget=budget)
    assert [finding for finding in findings if finding.problem] == []


@pytest.mark.parametrize(
    ("name", "options", "budget"),
    [
        ("command", {"command": [sys.executable, "-c", SAVES], "hands_over": True, "grace_s": 60.0}, 1.0),
        ("image_classifier", {"dataset": "digits", "device": "cpu", "n_threads": 1, "min_steps": 1, "max_steps": 30}, 600.0),
        ("toy", {"seconds_per_budget": 0.3}, 1.0),
    ],
)
def test_who_hands_over_leaves_in_the_middle_and_goes_on(name: str, options: dict[str, Any], budget: float, tmp_path: Path) -> None:
    space = load_space("toy")
    worker = make_worker(name, options)
    if name == "image_classifier":
        space = ConfigurationSpace()
        small = {"initial_filters": 4, "batch_size": 16, "res_branches_1": 1} | {f"nr_residual_blocks_{group}": 1 for group in (1, 2, 3)}
        space.add(*(Constant(name, value) for name, value in small.items()))
    findings = check_worker(worker, space, workdir=tmp_path, budget=budget)
    assert [finding for finding in findings if finding.problem] == []
    assert "leave" in findings[-1].statement
    assert (tmp_path / "check-leaving-again" / "interrupted").is_symlink(), "it was through before it could leave"
