"""What is known beforehand, through the command line, real processes and a resume."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FIRST = [
    {"lr": 0.01, "width": 8, "optimizer": "sgd", "momentum": 0.9},
    {"name": "small", "config": {"lr": 1, "width": 2, "optimizer": "adam"}},
]
LADDER = ["--worker", "toy", "--budget-min", "1", "--budget-max", "9", "--workers", "1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "first.yaml").write_text(json.dumps(FIRST))
    (tmp_path / "prior.json").write_text(json.dumps({"lr": {"center": 0.01, "confidence": "high"}}))
    sized = "from bohb_nas.search_spaces.toy import space\n\ndef size(config):\n    return {'params': 1000 * config['width']}\n"
    (tmp_path / "sized.py").write_text(sized)
    return tmp_path


def bohb(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bohb_nas", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def run(folder: Path, study: str, *arguments: str) -> str:
    done = bohb(folder, "run", study, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def events(study: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (study / "journal.jsonl").read_text().splitlines())
    return [e["trial" if kind == "ask" else "result"] for e in lines if e["event"] == kind]


def test_configurations_prior_and_constraints_from_start_to_resume(folder: Path) -> None:
    known = ["--initial", "first.yaml", "--prior", "prior.json", "--max-params", "9k", "--constraint", "floor<=0.2"]
    search = ["--space", "sized.py", *LADDER, "--method", "hyperband", *known]
    said = run(folder, "whole", *search, "--trials", "14")
    assert "tried first: configuration 1, 2 (small)" in said
    assert "constraint floor<=0.2: not known before training, so it is checked on results" in said
    assert "constraints params<=9000: met by" in said

    asked = events(folder / "whole", "ask")
    assert [(t["origin"], t["config"]["width"]) for t in asked[:2]] == [("initial", 8), ("initial", 2)]
    assert {t["origin"] for t in asked[2:]} >= {"random", "prior", "promoted"}
    assert max(t["config"]["width"] for t in asked) <= 9
    told = events(folder / "whole", "tell")
    broken = [r["trial_id"] for r in told if r["metrics"]["floor"] > 0.2]
    assert "t00001" in broken, "lr = 1 has a floor of 0.02 + 0.05 * 4 + 0.036 + 0.03"
    assert [r["trial_id"] for r in told if r["details"].get("violates") == ["floor<=0.2"]] == broken
    assert not [t for t in asked if t["origin"] == "promoted" and t["config"]["lr"] == 1]
    status = json.loads(bohb(folder, "status", "whole", "--json").stdout)
    assert (status["constraints"], status["violating"]) == (["floor<=0.2", "params<=9000"], len(broken))
    assert json.loads(bohb(folder, "best", "whole", "--json").stdout)["trial_id"] not in broken

    run(folder, "parts", *search, "--trials", "5")
    run(folder, "parts", *search, "--trials", "9")
    (folder / "sized.py").unlink()
    gone = bohb(folder, "run", "parts", "--trials", "14")
    assert gone.returncode == 2
    assert "sized.py (gone)" in gone.stderr
    run(folder, "parts", "--trials", "14", "--accept-changed-inputs")
    assert events(folder / "parts", "ask") == asked, "from the copies in the study, as if nothing had happened"

    other = bohb(folder, "run", "parts", "--max-params", "8k", "--accept-changed-inputs")
    assert other.returncode == 2
    assert 'constraints: the study has ["floor<=0.2", "params<=9000"], asked is ["params<=8000"]' in other.stderr


def test_an_earlier_study_may_be_deleted_once_it_was_learnt_from(folder: Path) -> None:
    run(folder, "old", "--space", "toy", *LADDER, "--method", "random_search", "--trials", "12")
    search = ["--space", "sized.py", *LADDER, "--method", "bohb", "--warm-start", "old"]
    said = run(folder, "whole", *search, "--trials", "8")
    assert "12 of 12 evaluations taken over, 4 of this space's 4 hyperparameters known to them" in said
    assert len((folder / "whole/inputs/warm_start.jsonl").read_text().splitlines()) == 12
    run(folder, "parts", *search, "--trials", "4")
    shutil.rmtree(folder / "old")
    run(folder, "parts", "--trials", "8")
    assert events(folder / "parts", "ask") == events(folder / "whole", "ask")
    evaluations = json.loads(bohb(folder, "status", "whole", "--json").stdout)["evaluations"]
    assert evaluations == 8, "the earlier study's are no evaluations of this one"
    (folder / "parts/inputs/warm_start.jsonl").write_text("")
    changed = bohb(folder, "run", "parts", "--trials", "9")
    assert changed.returncode == 2
    assert "warm_start.jsonl has changed since the study started" in changed.stderr


def test_a_constraint_on_what_the_worker_does_not_return(folder: Path) -> None:
    search = ["--space", "toy", *LADDER, "--method", "bohb_2018", "--constraint", "latency<=0.5"]
    stopped = bohb(folder, "run", "st", *search, "--trials", "5")
    assert stopped.returncode == 2
    assert "constraint on latency: the worker does not return it (trial t00000); it returns: floor" in stopped.stderr
    assert [r["trial_id"] for r in events(folder / "st", "tell")] == ["t00000"]
    before = (folder / "st/journal.jsonl").read_bytes()
    again = bohb(folder, "run", "st", "--trials", "5")
    assert again.returncode == 2
    assert "constraint on latency" in again.stderr
    assert (folder / "st/journal.jsonl").read_bytes() == before


def test_a_wrong_prior_only_costs_half_of_the_draws(folder: Path) -> None:
    (folder / "prior.json").write_text(
        json.dumps({"lr": {"center": 1.0, "confidence": 0.9}, "width": {"center": 16, "confidence": "high"}})
    )
    run(folder, "st", "--space", "toy", *LADDER, "--method", "random_search", "--prior", "prior.json", "--trials", "24")
    by_origin = json.loads(bohb(folder, "status", "st", "--json").stdout)["by_origin"]
    assert set(by_origin) == {"random", "prior"}
    asked = events(folder / "st", "ask")
    assert all(t["config"]["lr"] > 0.01 for t in asked if t["origin"] == "prior")
    assert any(t["config"]["lr"] < 0.01 for t in asked if t["origin"] == "random")
