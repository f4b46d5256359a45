"""What is known comes back as it was, or the study is refused."""

import hashlib

import pytest

from bohb_nas.errors import StudyError
from bohb_nas.knowledge import NOTHING, Belief, Constraint, Knowledge
from bohb_nas.records import Evaluation, Origin, Result, Status, Trial
from bohb_nas.store.frozen import freeze, recall
from bohb_nas.store.study_dir import StudyDir

TRIAL = Trial(
    trial_id="w0-00000", config_id="w0-c00000", config={"note": "a\u2028b"}, budget=1.0, bracket=0, rung=0, seed=4, origin=Origin.MODEL
)
OK = Result(trial_id="w0-00000", status=Status.OK, loss=0.1 + 0.2, train_s=1.0, metrics={"params": 12.0}, details={"study": "/a\nb"})
KNOWN = Knowledge(
    initial=({"lr": 0.1, "n": 3}, {"lr": 1e-300, "on": True}),
    prior={"lr": Belief(center=1 / 3, confidence=0.25), "on": Belief(center=False, confidence=0.5)},
    constraints=(Constraint(metric="params", relation="<=", bound=1234567.5),),
    history=(Evaluation(trial=TRIAL, result=OK), Evaluation(trial=TRIAL, result=OK)),
)


def test_what_was_known_comes_back(study: StudyDir) -> None:
    digests = freeze(study, KNOWN)
    assert set(digests) == {"knowledge.json", "warm_start.jsonl"}
    assert recall(study, digests) == KNOWN


@pytest.mark.parametrize("part", ["initial", "prior", "constraints", "history"])
def test_one_part_alone_comes_back_too(study: StudyDir, part: str) -> None:
    known = Knowledge(**{part: getattr(KNOWN, part)})
    digests = freeze(study, known)
    assert set(digests) == {"warm_start.jsonl" if part == "history" else "knowledge.json"}
    assert recall(study, digests) == known


def test_nothing_known_writes_nothing(study: StudyDir) -> None:
    assert freeze(study, NOTHING) == {}
    assert list(study.inputs.iterdir()) == []
    assert recall(study, {}) == NOTHING


def test_a_file_that_changed_or_is_gone_is_refused(study: StudyDir) -> None:
    digests = freeze(study, KNOWN)
    study.knowledge_json.write_text(study.knowledge_json.read_text().replace("0.25", "0.75"))
    with pytest.raises(StudyError, match=r"knowledge\.json has changed since the study started"):
        recall(study, digests)
    freeze(study, KNOWN)
    study.warm_start.unlink()
    with pytest.raises(StudyError, match=r"warm_start\.jsonl cannot be read"):
        recall(study, digests)


@pytest.mark.parametrize(
    "text", ['{"prior": {"lr": {"center": 1, "width": 2}}}', '{"prior": [1]}', '{"constraints": ["params is small"]}', "{"]
)
def test_what_a_newer_version_wrote_is_refused(study: StudyDir, text: str) -> None:
    study.knowledge_json.write_text(text)
    with pytest.raises(StudyError, match="upgrade"):
        recall(study, {"knowledge.json": hashlib.sha256(text.encode()).hexdigest()})
