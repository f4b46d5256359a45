"""Where a training stands between two of its steps, beside what its learner knows, and how it is interrupted there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from torch import Tensor

from bohb_nas.entries import is_number

Point = dict[str, Any]
"""One point of a learning curve, as JSON: u and t (fraction and seconds of this training's budget), step, lr, train_loss and
train_error (means since the last point), images_per_s (since the start), and where validated valid_error and n_valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """From where a training goes on, in another process perhaps."""

    train_s: float
    """Seconds of this training's own budget, all its attempts together."""
    valid_s: float
    """Seconds of validation, likewise."""
    steps: int
    """Likewise."""
    u: float
    """Fraction of the budget at which the schedule stands, below 1."""
    sums: tuple[float, float, int]
    """Loss and error over the images since the last point of the curve, and how many images."""
    curve: Sequence[Point]
    rest: Tensor
    """Positions of the images that the epoch has left, int64 [m]."""
    n_prepared: int = 0
    """How many of the first of them are counted as seen although no step has had them."""

    def to_json(self) -> dict[str, Any]:
        """All but the images, as a JSON object."""
        return {name: getattr(self, name) for name in ("train_s", "valid_s", "steps", "u", "sums", "curve")}

    @classmethod
    def from_json(cls, value: object, *, rest: Tensor) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: something is missing or of another kind.
        """
        if not isinstance(value, dict) or value.keys() != {"train_s", "valid_s", "steps", "u", "sums", "curve"}:
            raise ValueError("the position is not of the fields that it has")
        sums, curve = value["sums"], value["curve"]
        good = {
            "train_s": is_number(value["train_s"]) and value["train_s"] >= 0,
            "valid_s": is_number(value["valid_s"]) and value["valid_s"] >= 0,
            "steps": type(value["steps"]) is int and value["steps"] >= 1,
            "u": is_number(value["u"]) and 0 < value["u"] < 1,
            "sums": isinstance(sums, list) and len(sums) == 3 and all(map(is_number, sums)) and type(sums[2]) is int and sums[2] >= 0,
            "curve": isinstance(curve, list) and all(is_point(point) for point in curve),
        }
        if wrong := [name for name, is_good in good.items() if not is_good]:
            raise ValueError(f"{', '.join(wrong)} of the position cannot be")
        return cls(**{**value, "sums": tuple(sums)}, rest=rest)


def _never() -> bool:
    return False


def _nothing(position: object) -> None:
    del position


Where = TypeVar("Where")
"""What says where a training, or a search, stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(Generic[Where]):
    """How a training hands over what it has."""

    asked: Callable[[], bool] = _never
    """Whether it is to stop."""
    save: Callable[[Where], None] = _nothing
    """Keeps what learns, and where it stands."""
    every_s: float = math.inf
    """Seconds of training between two saves, beside the one when it is asked."""


def is_point(value: object) -> bool:
    """Whether a JSON value can be a point of a curve."""
    return isinstance(value, dict) and "u" in value and all(isinstance(k, str) and is_number(v) for k, v in value.items())
