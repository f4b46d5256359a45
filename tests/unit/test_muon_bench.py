"""The comparison of optimizers: its figures by hand, and a run of it at a tiny size."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from muon import DEFAULT_RATES, FACTORS, lowest, means, table  # noqa: E402

from bohb_nas.training.recipe import read  # noqa: E402


def row(optimizer: str, factor: float, error: float | None, seed: int = 0) -> dict[str, Any]:
    return {"network": "n", "optimizer": optimizer, "factor": factor, "seed": seed, "error": error, "steps_per_s": 2.0}


ERRORS: dict[str, tuple[float | None, ...]] = {"sgd": (0.2, 0.3, 0.25), "adamw": (0.3, 0.22, 0.4), "muon": (0.18, 0.2, None)}
"""At the factors, in their order."""
ROWS = [row(optimizer, factor, error) for optimizer, errors in ERRORS.items() for factor, error in zip(FACTORS, errors, strict=True)]


def test_the_lowest_of_the_means_over_seeds_counts() -> None:
    assert lowest(ROWS) == {"n": {"sgd": (0.2, 1.0), "adamw": (0.22, 1 / 3), "muon": (0.18, 1.0)}}
    second = [{**r, "seed": 1, "error": 0.3 if (r["optimizer"], r["factor"]) == ("muon", 1.0) else r["error"]} for r in ROWS]
    assert lowest([*ROWS, *second])["n"]["muon"] == (0.2, 1 / 3)
    assert means([*ROWS, *second])["n", "muon", 1.0] == pytest.approx(0.24)
    assert means(ROWS)["n", "muon", 3.0] == math.inf


def test_the_table_says_who_is_ahead_and_which_rate_is_at_an_edge() -> None:
    lines = table(ROWS)
    assert "n | adamw | 22.00 | 0.001 (edge) | 2.0 | 22.00, 30.00, 40.00" in lines
    assert "muon: mean of the lowest errors 18.00 %, lowest on 1 of 1 networks" in lines
    assert lines[-1] == "Muon below the better of the others, points: +2.00"


def test_a_network_on_which_not_every_rate_was_tried_is_left_out() -> None:
    assert lowest(ROWS[:-1]) == {}
    assert len(table(ROWS[:-1])) == 1


def test_the_rates_tried_are_around_the_defaults() -> None:
    for optimizer, rate in DEFAULT_RATES.items():
        assert read({"optimizer": optimizer})[1].learning_rate == rate


@pytest.mark.slow
def test_a_tiny_run_trains_everything_and_goes_on_where_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = (rng.integers(0, 80, (120, 8, 8, 3)) + 80 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    out = tmp_path / "found.json"
    command = [sys.executable, str(ROOT / "bench" / "muon.py"), "2", "--npz", str(tmp_path / "images.npz"), "--device", "cpu"]
    command += ["--batch", "8", "--networks", "mobile", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    cut = subprocess.run([*command, "--limit", "6"], check=True, env=environment, capture_output=True, text=True)
    assert "no time left" in cut.stdout
    n_cut = len(json.loads(out.read_text())["rows"])
    whole = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    rows = json.loads(out.read_text())["rows"]
    assert n_cut < len(rows) == 9
    assert [r["status"] for r in rows] == ["ok"] * 9
    assert "Muon below the better of the others" in whole.stdout
