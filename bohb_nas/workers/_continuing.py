"""Where an image classification trial goes on from, and what it leaves to the next attempt at it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bohb_nas.errors import CheckpointError, StorageError, out_of_memory
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.oneshot.standing import Standing
from bohb_nas.records import Trial
from bohb_nas.training import checkpoint, handover
from bohb_nas.training.device import no_memory
from bohb_nas.training.learner import Learner
from bohb_nas.training.position import Point, Position


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
            handed = handover.load(folder, learner, own(trial, identity), budget_s=trial.budget)
        except CheckpointError as e:
            told["interrupted"] = {"resumed": False, "reason": str(e)}
        else:
            told = gone_on(handed.facts)
            begin_curve(workdir, handed.position.curve)
            return Start(base=handed.base, position=handed.position, told=told)
    base, told["resumed"] = _resume(trial, workdir / "resume", learner, identity)
    return Start(base=base, position=None, told=told)


def gone_on(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of an attempt that goes on from an interrupted one, by the facts that `Keeper` had kept with it."""
    earlier = facts.get("earlier")
    return {
        "resumed": facts.get("resumed"),
        "interrupted": {"resumed": True, "reason": None},
        "earlier": earlier if isinstance(earlier, list) else [],
    }


def begin_curve(workdir: Path, curve: Sequence[Point]) -> None:
    """Begins the curve in `workdir` as an earlier attempt did."""
    write_atomic(workdir / "curve.jsonl", "".join(dump_json(point) + "\n" for point in curve))


def own(trial: Trial, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for a continuation, the trial included."""
    return {**identity, "trial": trial.to_json()}


Where = TypeVar("Where", Position, Standing)
"""What says where a training, or a search, stands."""


class Keeper(Generic[Where]):
    """Keeps the state of what is trained; a disk that refuses it, or memory that is short, costs that state, not the training.

    Args:
        write: keeps everything in place of what it kept before: where it stands, and facts for the next attempt to report.
        told: of where this attempt began.
        earlier_s: seconds of the budget that earlier attempts have trained.
        device: in words.
    """

    def __init__(
        self, write: Callable[[Where, Mapping[str, Any]], None], *, told: Mapping[str, Any], earlier_s: float, device: str
    ) -> None:
        self.refused: str | None = None
        """Why the last state is not there."""
        self._write: Callable[[Where, Mapping[str, Any]], None] = write
        self._told, self._earlier_s, self._device = told, earlier_s, device

    def save(self, where: Where) -> None:
        """Leaves the state in place of the one before."""
        attempt = {"device": self._device, "train_s": where.train_s - self._earlier_s}
        facts = {"resumed": self._told["resumed"], "earlier": [*self._told.get("earlier", ()), attempt]}
        try:
            self.refused = without_memory(lambda: self._write(where, facts))
        except StorageError as e:
            self.refused = str(e)
        if self.refused is not None:
            with suppress(OSError):  # the log lies on the same disk
                sys.stderr.write(f"{self.refused}\n")


def without_memory(keep: Callable[[], None]) -> str | None:
    """Why memory did not suffice for keeping something that is worth less than the training; None where it is kept."""
    try:
        keep()
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
        return f"not kept, {no_memory(e)}"
    return None


def _resume(trial: Trial, folder: Path, learner: Learner, identity: Mapping[str, Any]) -> tuple[checkpoint.Used, dict[str, Any]]:
    """Continues from `folder` if it is there and fits; says which, and why not."""
    fresh = checkpoint.Used(train_s=0.0, steps=0)
    if trial.resume_from is None and not folder.exists():
        return fresh, {"resumed": False, "reason": "nothing to continue"}
    try:
        used = checkpoint.load(folder, learner, identity, below_s=trial.budget)
    except CheckpointError as e:
        return fresh, {"resumed": False, "reason": str(e)}
    return used, {"resumed": True, "reason": None}
