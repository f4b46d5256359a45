"""Where a one-shot search stands between two of its steps, beside what it knows itself."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from bohb_nas.entries import is_number
from bohb_nas.training.position import Point, is_point


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """From where a search goes on, in another process perhaps."""

    train_s: float
    """Seconds of its budget, all its attempts together."""
    u: float
    """Fraction of the budget at which it stands."""
    sums: tuple[float, int]
    """Loss over the steps since the last point of the curve, and how many steps."""
    curve: Sequence[Point]
    restored: Sequence[dict[str, Any]]
    """Where it had diverged and was put back: `step` and `u` of the step that failed, its `loss` as text, and `to`, a step."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: something is missing or of another kind.
        """
        if not isinstance(value, dict) or value.keys() != {f.name for f in fields(cls)}:
            raise ValueError("the standing is not of the fields that it has")
        sums, curve, restored = value["sums"], value["curve"], value["restored"]
        good = {
            "train_s": is_number(value["train_s"]) and value["train_s"] >= 0,
            "u": is_number(value["u"]) and 0 <= value["u"] <= 1,
            "sums": isinstance(sums, list) and len(sums) == 2 and all(map(is_number, sums)) and type(sums[1]) is int and sums[1] >= 0,
            "curve": isinstance(curve, list) and all(map(is_point, curve)),
            "restored": isinstance(restored, list) and all(isinstance(entry, dict) for entry in restored),
        }
        if wrong := [name for name, is_good in good.items() if not is_good]:
            raise ValueError(f"{', '.join(wrong)} of the standing cannot be")
        return cls(**{**value, "sums": tuple(sums)})
