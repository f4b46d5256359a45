"""What became of a training."""

import math
from dataclasses import dataclass, field

from bohb_nas.records import Status
from bohb_nas.training.compiling import Compiled
from bohb_nas.training.forms import Chosen
from bohb_nas.training.position import Point
from bohb_nas.training.validation import Score


@dataclass(slots=True, kw_only=True)
class Fit:
    """What became of a training; its seconds, steps and curve are those of all attempts at it."""

    status: Status = Status.OK
    message: str | None = None
    valid: Score | None = None
    """None unless OK and there was something to validate on."""
    mirrored: Score | None = None
    """The same with every image judged together with its mirror image; None where training mirrors none, or time was short."""
    train_s: float = 0.0
    warmup_s: float = 0.0
    """All before the clock: first steps, and compiling."""
    form: Chosen | None = None
    """Of the branches, where it was to be chosen."""
    compiled: Compiled | None = None
    """What became of the network's compilation, if somebody was there to compile it."""
    valid_s: float = 0.0
    save_s: float = 0.0
    """Of this attempt: states saved on the way, and when it was asked to leave."""
    steps: int = 0
    step_s: float = 0.0
    """Median."""
    step_max_s: float = 0.0
    lr_last: float = 0.0
    ahead: int = 0
    """Steps whose images were augmented together in the end: fewer than suit the device where memory did not suffice."""
    train_loss: float = math.nan
    """Mean over the last stretch of the curve, augmentation included."""
    train_error: float = math.nan
    """Likewise."""
    curve: list[Point] = field(default_factory=list)
