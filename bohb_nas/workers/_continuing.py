"""Where an image classification trial goes on from, and what it leaves to the next attempt at it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.errors import StorageError
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.records import Trial
from bohb_nas.training import checkpoint, handover
from bohb_nas.training.learner import Learner
from bohb_nas.training.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a trial's training begins."""

    base: checkpoint.Used
    """What lay behind the weights before this trial."""
    position: Position | None
    """Where an earlier attempt stood; None begins at the beginning."""
    told: Mapping[str, Any]
    """For the result's details: `resumed`, and after an interruption `interrupted` and the `earlier` attempts that count."""

    @property
    def earlier_s(self) -> float:
        """Seconds of this trial's own budget that earlier attempts have trained."""
        return 0.0 if self.position is None else self.position.train_s


def begin(trial: Trial, workdir: Path, learner: Learner, identity: Mapping[str, Any]) -> Start:
    """Continues from what an earlier attempt left, else from the checkpoint that the trial is to continue, else from nothing.

    What is there and cannot be continued is passed over, and told with its reason. The curve in `workdir` begins as the earlier one did.
    """
    folder, told = workdir / "interrupted", dict[str, Any]()
    if folder.is_symlink() or folder.exists():
        try:
            handed = handover.load(folder, learner, _own(trial, identity), budget_s=trial.budget)
        except checkpoint.Refused as e:
            told["interrupted"] = {"resumed": False, "reason": str(e)}
        else:
            earlier = handed.facts.get("earlier")
            told = {"resumed": handed.facts.get("resumed"), "interrupted": {"resumed": True, "reason": None}}
            told["earlier"] = earlier if isinstance(earlier, list) else []
            write_atomic(workdir / "curve.jsonl", "".join(dump_json(point) + "\n" for point in handed.position.curve))
            return Start(base=handed.base, position=handed.position, told=told)
    base, told["resumed"] = _resume(trial, workdir / "resume", learner, identity)
    return Start(base=base, position=None, told=told)


class Keeper:
    """Leaves the state of a training in `handover`; a disk that refuses it costs that state, not the training.

    Args:
        workdir: of the attempt.
        trial: what is trained.
        learner: what is kept.
        start: where this attempt began.
        identity: what must be equal for a continuation, beside the trial.
        device: in words.
    """

    def __init__(self, workdir: Path, trial: Trial, learner: Learner, *, start: Start, identity: Mapping[str, Any], device: str) -> None:
        self.refused: str | None = None
        """Why the last state is not there."""
        self._folder, self._learner, self._start, self._device = workdir / "handover", learner, start, device
        self._identity = _own(trial, identity)

    def save(self, position: Position) -> None:
        """Leaves the state in place of the one before."""
        told, attempt = self._start.told, {"device": self._device, "train_s": position.train_s - self._start.earlier_s}
        facts = {"resumed": told["resumed"], "earlier": [*told.get("earlier", ()), attempt]}
        self.refused = None
        try:
            handover.save(
                self._folder, self._learner, handover.Handed(position=position, base=self._start.base, facts=facts), self._identity
            )
        except StorageError as e:
            self.refused = str(e)
            sys.stderr.write(f"{e}\n")


def _own(trial: Trial, identity: Mapping[str, Any]) -> dict[str, Any]:
    return {**identity, "trial": trial.to_json()}


def _resume(trial: Trial, folder: Path, learner: Learner, identity: Mapping[str, Any]) -> tuple[checkpoint.Used, dict[str, Any]]:
    """Continues from `folder` if it is there and fits; says which, and why not."""
    fresh = checkpoint.Used(train_s=0.0, steps=0)
    if trial.resume_from is None and not folder.exists():
        return fresh, {"resumed": False, "reason": "nothing to continue"}
    try:
        used = checkpoint.load(folder, learner, identity, below_s=trial.budget)
    except checkpoint.Refused as e:
        return fresh, {"resumed": False, "reason": str(e)}
    return used, {"resumed": True, "reason": None}
