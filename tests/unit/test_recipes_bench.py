"""The comparison of a search with fixed recipes: its recipes, its data, its table; slow: the whole of it for seconds, on tiny images."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bohb_nas.engine.knowledge_files import read_initial
from bohb_nas.networks import size
from bohb_nas.search_spaces import joint

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from recipes import table  # noqa: E402
from recipes_arm import RECIPES  # noqa: E402
from recipes_data import keep_npz, load  # noqa: E402


def _npz(path: Path, *, n_train: int = 200, n_test: int = 40) -> Path:
    """Ten classes of 8x8 images, each a grey level of its own."""
    arrays: dict[str, Any] = {}
    for part, n in (("train", n_train), ("test", n_test)):
        labels = np.arange(n) % 10
        arrays |= {f"{part}_labels": labels, f"{part}_images": np.tile((labels * 25).astype(np.uint8)[:, None, None, None], (1, 8, 8, 3))}
    np.savez(path, **arrays)
    return path


def test_recipes_are_configurations_of_the_joint_space(tmp_path: Path) -> None:
    (tmp_path / "initial").write_text(json.dumps([dict(config) for config in RECIPES.values()]))
    configs, _ = read_initial(str(tmp_path / "initial"), joint.space())
    assert len(configs) == len(RECIPES) == 4


@pytest.mark.parametrize(("name", "millions"), [("resnet_20", 0.27), ("wrn_16_1", 0.2), ("wrn_16_2", 0.7)])
def test_recipes_have_the_published_sizes(name: str, millions: float) -> None:
    """Table 6 of He et al. (2016); tables 3 and 5 of Zagoruyko and Komodakis (2016), which round to one digit."""
    assert size(RECIPES[name])["params"] / 1e6 == pytest.approx(millions, abs=0.05)


def test_data_are_kept_as_they_are(tmp_path: Path) -> None:
    keep_npz(_npz(tmp_path / "images.npz"), tmp_path / "data")
    found = load(tmp_path / "data")
    assert found.test_images is not None
    assert found.train_images.shape == (200, 8, 8, 3)
    assert found.test_images[3, 0, 0].tolist() == [75, 75, 75]
    assert found.train_labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert len(found.classes) == 10


def _record(arm: str, seed: int, test: float | None, valid: float = 0.5) -> dict[str, Any]:
    errors = {} if test is None else {"test_error": test, "valid_error": valid}
    told = {"status": "ok" if test is not None else "diverged", "used_s": 9.0, "images_per_s": 10.0, "precision": "fp32", "machine": "m"}
    searched: dict[str, Any] = {
        "search": {
            "trials": [{"budget": 1.0, "loss": 0.4, "status": "ok"}],
            "incumbent": {"trial_id": "t00000", "entered_as": "initial"},
            "main_choices": {"family": "wrn"},
            "took_s": 3.0,
        }
    }
    return {
        "arm": arm,
        "seed": seed,
        "seconds": 10.0,
        "flops": 1e6,
        "train_s": 5.0,
        **told,
        **errors,
        **(searched if arm == "search" else {}),
    }


def test_table_compares_with_the_best_recipe_by_seed() -> None:
    """By hand: differences -1 % and +1 %, mean 0, deviation sqrt(2) %, so t = 12.706 times 1 %; the recipe of 40 % is not the best."""
    records = [_record("search", 0, 0.30), _record("search", 1, 0.32)]
    records += [_record("wrn_16_1", seed, 0.31) for seed in (0, 1)] + [_record("wrn_16_2", seed, 0.40) for seed in (0, 1)]
    text = table(records)
    assert "wrn_16_1 (best recipe), test error, paired by seed: +0.00%, 95 % interval (t) [-12.71%, +12.71%], n = 2" in text
    assert "31.00%" in text  # the mean of the search


def test_table_names_what_failed() -> None:
    text = table([_record("search", 0, 0.3), _record("wrn_16_1", 0, 0.31), _record("wrn_16_1", 1, None)])
    assert "seed 1: diverged" in text
    assert "paired by seed: -1.00%, n = 1" in text


@pytest.mark.slow
def test_the_whole_of_it(tmp_path: Path) -> None:
    """A recipe and a search of some seconds, side by side; finished ones are reused."""
    npz, out = _npz(tmp_path / "images.npz"), tmp_path / "out"
    command = [sys.executable, str(ROOT / "bench" / "recipes.py"), "--npz", str(npz), "--out", str(out)]
    command += ["--seconds", "90", "--seeds", "1", "--only", "search", "wrn_16_1", "--parallel", "2"]
    environment = {**os.environ, "BOHB_NAS_CACHE": str(tmp_path / "cache")}
    first = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "wrn_16_1 (best recipe), test error" in first.stdout, first.stderr
    assert json.loads((out / "search-90-0.json").read_text())["used_s"] <= 90.5
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert again.stdout == first.stdout
    assert "begins" not in again.stderr
