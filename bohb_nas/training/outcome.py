"""What became of a training."""

import math
from dataclasses import dataclass, field

from bohb_nas.records import Status
from bohb_nas.training.compiling import Compiled
from bohb_nas.training.forms import Chosen
from bohb_nas.training.position import Point
from bohb_nas.training.validation import Score


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a training or of a search; its seconds, steps and curve are those of all attempts at it."""

    status: Status = Status.OK
    message: str | None = None
    valid: Score | None = None
    """None unless OK and there was something to validate on."""
    train_s: float = 0.0
    warmup_s: float = 0.0
    """All before the clock: first steps, and compiling."""
    valid_s: float = 0.0
    save_s: float = 0.0
    """Of this attempt: states saved on the way, and when it was asked to leave."""
    steps: int = 0
    step_s: float = 0.0
    """Median."""
    step_max_s: float = 0.0
    train_loss: float = math.nan
    """Mean over the last stretch of the curve, augmentation included."""
    curve: list[Point] = field(default_factory=list)

    def preempt(self, budget_s: float) -> None:
        """Ends what was asked to leave."""
        self.status, self.message = Status.PREEMPTED, f"asked to leave after {self.train_s:.4g} s of {budget_s:.4g} s"

    def figures(self, **more: float) -> dict[str, float]:
        """Of its metrics those that a training and a search have, and more; what is not known is left out."""
        own = ("warmup_s", "valid_s", "save_s", "steps", "step_s", "step_max_s", "train_loss")
        found = {"new_s": self.train_s, **{name: getattr(self, name) for name in own}, "n_valid": self.valid.n if self.valid else 0, **more}
        return {name: float(value) for name, value in found.items() if math.isfinite(value)}


@dataclass(slots=True, kw_only=True)
class Fit(Outcome):
    """What became of a training."""

    mirrored: Score | None = None
    """As `valid`, with every image judged together with its mirror image; None where training mirrors none, or time was short."""
    form: Chosen | None = None
    """Of the branches, where it was to be chosen."""
    compiled: Compiled | None = None
    """What became of the network's compilation, if somebody was there to compile it."""
    lr_last: float = 0.0
    ahead: int = 0
    """Steps whose images were augmented together in the end: fewer than suit the device where memory did not suffice."""
    train_error: float = math.nan
    """As `train_loss`."""
