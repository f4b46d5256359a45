"""Evaluations of earlier studies, on the same space and on others that overlap."""

from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Constant, EqualsCondition, Float, Integer

from bohb_nas.engine.warm_start import read_earlier
from bohb_nas.errors import KnowledgeError
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.store.journal import Event, Journal, State
from bohb_nas.store.study_dir import FORMAT, StudyDir

META: dict[str, Any] = {
    "format": FORMAT,
    "seed": 0,
    "space": "toy",
    "method": "bohb",
    "worker": "toy",
    "promote": "restart",
    "cwd": "/",
    "method_options": {},
    "worker_options": {},
    "budgets": Budgets(min=1, max=9).to_json(),
    "stop": {"brackets": None, "trials": None, "total_s": None},
}
CONFIGS: list[dict[str, Value]] = [
    {"lr": 0.1, "width": 4, "optimizer": "adam"},
    {"lr": 0.01, "width": 8, "optimizer": "sgd", "momentum": 0.9},
    {"lr": 0.001, "width": 64, "optimizer": "sgd", "momentum": 0.5},
]


def study(path: Path, *trials: tuple[dict[str, Value], Origin, Status], **meta: Any) -> Path:
    made = StudyDir(path)
    made.make()
    made.write_meta({**META, **meta})
    journal = Journal(made.journal, State())
    journal.write(Event(term=1, time=0.0))
    for n, (config, origin, status) in enumerate(trials):
        trial = Trial(trial_id=f"t{n}", config_id=f"c{n}", config=config, budget=3.0, bracket=1, rung=1, seed=n, origin=origin)
        loss = 0.5 + n if status is Status.OK else None
        result = Result(
            trial_id=f"t{n}", status=status, loss=loss, train_s=2.0, metrics={"new_s": 2.0}, details={"curve": [1]}, message="m"
        )
        journal.write(Event(term=1, time=1.0, trial=trial, reason="r"))
        journal.write(Event(term=1, time=2.0, result=result))
    return path


def three(path: Path, **meta: Any) -> Path:
    return study(path, *((config, Origin.RANDOM, Status.OK) for config in CONFIGS), **meta)


def other_space() -> ConfigurationSpace:
    """Knows width up to 16, has no momentum under adam, and has dropout, which the earlier study has not."""
    space = ConfigurationSpace()
    optimizer, momentum = Categorical("optimizer", ["adam", "sgd", "lion"]), Float("momentum", (0.0, 0.8))
    space.add(optimizer, momentum, Integer("width", (1, 16)), Float("dropout", (0.0, 1.0)))
    space.add(EqualsCondition(momentum, optimizer, "sgd"))
    return space


def test_what_the_new_space_knows_is_taken_over_in_order(tmp_path: Path) -> None:
    history, notes = read_earlier([three(tmp_path / "old")], other_space(), meta=META, own=tmp_path / "new")
    assert [e.trial.config for e in history] == [
        {"optimizer": "adam", "width": 4},
        {"optimizer": "sgd", "width": 8},
        {"optimizer": "sgd", "momentum": 0.5},
    ]
    assert [(e.result.loss, e.trial.budget, e.trial.rung) for e in history] == [(0.5, 3.0, 1), (1.5, 3.0, 1), (2.5, 3.0, 1)]
    assert history[0].result.details == {"study": str(tmp_path / "old"), "trial": "t0"}, "no curve of the earlier study"
    assert notes == [
        f"warm start from {tmp_path / 'old'}: 3 of 3 evaluations taken over, "
        "3 of this space's 4 hyperparameters known to them: optimizer, width, momentum"
    ]


def test_what_leaves_no_choice_is_neither_known_nor_unknown(tmp_path: Path) -> None:
    space = other_space()
    space.add(Constant("lr", 0.01), Constant("depth", 3), Categorical("schedule", ["cosine"]))
    _, notes = read_earlier([three(tmp_path / "old")], space, meta=META, own=tmp_path / "new")
    assert notes[0].endswith(" 3 of this space's 4 hyperparameters known to them: optimizer, width, momentum")


def test_several_studies_keep_their_trials_apart(tmp_path: Path) -> None:
    history, notes = read_earlier([three(tmp_path / "a"), three(tmp_path / "b")], other_space(), meta=META, own=tmp_path / "new")
    assert len({e.trial.trial_id for e in history}) == len({e.trial.config_id for e in history}) == 6
    assert [e.result.trial_id for e in history] == [e.trial.trial_id for e in history]
    assert len(notes) == 2


def test_what_says_nothing_of_a_configuration_stays_out_and_failures_come_along(tmp_path: Path) -> None:
    trials: list[tuple[dict[str, Value], Origin, Status]] = [
        (CONFIGS[0], Origin.BASELINE, Status.OK),
        (CONFIGS[0], Origin.PROBE, Status.OK),
        (CONFIGS[0], Origin.MODEL, Status.LOST),
        (CONFIGS[0], Origin.MODEL, Status.PREEMPTED),
        (CONFIGS[1], Origin.MODEL, Status.OUT_OF_MEMORY),
        ({"speed": 1}, Origin.MODEL, Status.OK),
    ]
    history, notes = read_earlier([study(tmp_path / "old", *trials)], other_space(), meta=META, own=tmp_path / "new")
    assert [(e.trial.config["width"], e.result.status, e.result.loss) for e in history] == [(8, Status.OUT_OF_MEMORY, None)]
    assert "1 of 6 evaluations taken over" in notes[0]


def test_what_makes_losses_hard_to_compare_is_said(tmp_path: Path) -> None:
    old = three(tmp_path / "old", worker="image_classifier", worker_options={"dataset": "digits"}, budgets={"unit": "epochs"})
    _, notes = read_earlier([old], other_space(), meta=META, own=tmp_path / "new")
    assert notes[1:] == [
        f"warning: {old} has another worker: image_classifier, this study toy",
        f"warning: {old} has another unit of budgets: epochs, this study s",
    ]


def test_another_data_set_is_said_where_both_have_one(tmp_path: Path) -> None:
    old = three(tmp_path / "old", worker="image_classifier", worker_options={"dataset": "digits"})
    _, notes = read_earlier(
        [old], other_space(), meta=META | {"worker": "image_classifier", "worker_options": {"dataset": "svhn"}}, own=tmp_path / "new"
    )
    assert notes[1:] == [f"warning: {old} has another data set: digits, this study svhn"]


def test_what_is_no_earlier_study_is_refused(tmp_path: Path) -> None:
    def refused(*paths: Path, own: Path = tmp_path / "new") -> str:
        with pytest.raises(KnowledgeError) as e:
            read_earlier(paths, other_space(), meta=META, own=own)
        return str(e.value)

    assert "no study in" in refused(tmp_path / "absent")
    said = f"--warm-start {tmp_path}: there is no study in this folder; give the directory of one that has evaluations"
    assert refused(tmp_path) == said, "nothing of how to start one there"
    old = three(tmp_path / "old")
    assert "is this study itself" in refused(old, own=old)
    assert "given twice" in refused(old, tmp_path / "x" / ".." / "old")
    assert "0 evaluations, and none to learn from" in refused(study(tmp_path / "empty"))
    assert "1 evaluations, and none to learn from" in refused(study(tmp_path / "lost", (CONFIGS[0], Origin.RANDOM, Status.LOST)))
    apart = study(tmp_path / "apart", ({"speed": 1.0, "depth": 2}, Origin.RANDOM, Status.OK))
    said = refused(apart)
    assert "no hyperparameter in common" in said
    assert "it has depth, speed; this space has dropout, optimizer, width, momentum" in said
    illegal = study(tmp_path / "illegal", ({"width": 99, "optimizer": "rprop"}, Origin.RANDOM, Status.OK))
    assert "no legal value" in refused(illegal)
    journal = old / "journal.jsonl"
    journal.write_bytes(b"noise\n" + journal.read_bytes())
    assert "journal.jsonl, line 1 is damaged" in refused(old)
