"""Takes over the evaluations of earlier studies, also of studies on other spaces; nothing of them is run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas.errors import KnowledgeError, StudyError
from bohb_nas.records import ASIDE, NOT_DRAWN, Evaluation, Status
from bohb_nas.space.encoding import n_values
from bohb_nas.space.legality import restricted
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir

_SAYS_NOTHING = (Status.LOST, Status.PREEMPTED)
"""Not the configuration's fault."""


def read_earlier(
    paths: Sequence[Path], space: ConfigurationSpace, *, meta: Mapping[str, Any], own: Path
) -> tuple[tuple[Evaluation, ...], list[str]]:
    """The evaluations of earlier studies, each with what this space knows of its configuration.

    Trials get ids of their own, so that those of several studies differ; `details` says where each came from.

    Args:
        paths: of the earlier studies.
        space: of the new one; an evaluation that shares no legal value with it is left out.
        meta: the new study's record, to say what differs.
        own: the new study's directory.

    Returns:
        The evaluations in the order of telling, study by study, and what the person should know.

    Raises:
        KnowledgeError: a path is no study or this one, or nothing of a study can be used.
    """
    history: list[Evaluation] = []
    notes: list[str] = []
    for number, path in enumerate(paths):
        if os.path.realpath(path) == os.path.realpath(own):  # unlike resolve(), it also takes links that lead in a circle
            raise KnowledgeError(f"--warm-start {path} is this study itself; give an earlier one")
        if os.path.realpath(path) in map(os.path.realpath, paths[:number]):
            raise KnowledgeError(f"--warm-start {path} is given twice; leave one out")
        taken, note = _read(path, space, number=number)
        history += taken
        notes += [note, *_differences(path, meta)]
    return tuple(history), notes


def _read(path: Path, space: ConfigurationSpace, *, number: int) -> tuple[list[Evaluation], str]:
    study = StudyDir(path)
    if path.is_file():
        raise KnowledgeError(f"--warm-start {path} is a file; give the directory of a study")
    try:
        if not study.exists():
            raise KnowledgeError(f"--warm-start {path}: there is no study in this folder; give the directory of one that has evaluations")
        study.read_meta()
        found = list(fold(study.journal).evaluations())
    except (StudyError, OSError) as e:
        raise KnowledgeError(f"--warm-start {path}: {e}") from e
    usable = [e for e in found if e.trial.origin not in ASIDE | NOT_DRAWN and e.result.status not in _SAYS_NOTHING]
    if not usable:
        raise KnowledgeError(f"--warm-start {path}: {len(found)} evaluations, and none to learn from; give a study that has some")
    taken = [_taken(e, space, path=path, trial_id=f"w{number}-{n:05d}") for n, e in enumerate(usable)]
    kept = [e for e in taken if e.trial.config]
    if not kept:
        theirs = sorted({name for e in usable for name in e.trial.config})
        raise KnowledgeError(
            f"--warm-start {path} has no hyperparameter in common with this space, or no legal value of one: "
            f"it has {', '.join(theirs)}; this space has {', '.join(space)}"
        )
    ids = {config_id: f"w{number}-c{n:05d}" for n, config_id in enumerate(dict.fromkeys(e.trial.config_id for e in kept))}
    kept = [replace(e, trial=replace(e.trial, config_id=ids[e.trial.config_id])) for e in kept]
    choices = [name for name, hyperparameter in space.items() if n_values(hyperparameter) != 1]
    shared = [name for name in choices if any(name in e.trial.config for e in kept)]
    return kept, (
        f"warm start from {path}: {len(kept)} of {len(found)} evaluations taken over, "
        f"{len(shared)} of this space's {len(choices)} hyperparameters known to them: {', '.join(shared)}"
    )


def _taken(evaluation: Evaluation, space: ConfigurationSpace, *, path: Path, trial_id: str) -> Evaluation:
    trial, result = evaluation.trial, evaluation.result
    config = restricted(space, evaluation.config)
    return Evaluation(
        trial=replace(trial, trial_id=trial_id, config=config, resume_from=None),
        result=replace(result, trial_id=trial_id, details={"study": str(path), "trial": trial.trial_id}, config=None, message=None),
    )


def _differences(path: Path, meta: Mapping[str, Any]) -> list[str]:
    """What makes an earlier study's losses hard to compare; the ranks within it are what a method learns from."""
    theirs = StudyDir(path).read_meta()
    pairs = [
        ("worker", theirs["worker"], meta["worker"]),
        ("data set", theirs["worker_options"].get("dataset"), meta["worker_options"].get("dataset")),
        ("unit of budgets", theirs["budgets"]["unit"], meta["budgets"]["unit"]),
    ]
    return [
        f"warning: {path} has another {what}: {old}, this study {new}"
        for what, old, new in pairs
        if old != new and None not in (old, new)  # only a worker of images has a data set
    ]
