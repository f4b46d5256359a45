"""Every worker of the catalogue keeps the contract."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bohb_nas import refs
from bohb_nas.engine.child import make_worker
from bohb_nas.space.files import load_space
from bohb_nas.testing import check_worker

ANSWER = "import json, os; trial = json.load(open(os.environ['BOHB_NAS_TRIAL'])); print(json.dumps({'loss': trial['config']['lr']}))"

CASES: dict[str, tuple[str, dict[str, Any], float]] = {
    "command": ("toy", {"command": [sys.executable, "-c", ANSWER.replace("{", "{{").replace("}", "}}")]}, 1.0),
    "image_classifier": ("joint", {"dataset": "digits", "device": "cpu", "n_threads": 1, "min_steps": 1, "max_steps": 2}, 60.0),
    "toy": ("toy", {}, 1.0),
}
"""Worker -> space, options and budget to check it with: a new worker adds its line."""


@pytest.mark.parametrize("name", refs.names("worker"))
def test_contract(name: str, tmp_path: Path) -> None:
    space, options, budget = CASES[name]
    findings = check_worker(make_worker(name, options), load_space(space), workdir=tmp_path, budget=budget)
    assert [finding for finding in findings if finding.problem] == []
