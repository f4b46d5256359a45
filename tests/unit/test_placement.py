"""Which worker gets a trial."""

import pytest

from bohb_nas.engine.placement import fittest

NOW = 1000.0


def worker(left_s: float | None, *, hands_over: bool = False, behind_s: float = 0.0) -> dict[str, object]:
    return {"until": None if left_s is None else NOW - behind_s + left_s, "hands_over": hands_over, "behind_s": behind_s}


@pytest.mark.parametrize(
    ("workers", "needs_s", "chosen"),
    [
        ({}, 10.0, None),
        ({"a": worker(None)}, 10.0, "a"),
        ({"a": worker(None), "b": worker(20.0)}, 10.0, "b"),
        ({"a": worker(None), "b": worker(20.0), "c": worker(15.0)}, 10.0, "c"),
        ({"a": worker(5.0), "b": worker(10.0)}, 10.0, "b"),
        ({"a": worker(5.0), "b": worker(9.9)}, 10.0, None),
        ({"a": worker(12.0), "b": worker(10.0)}, 10.0, "b"),
        ({"a": {"until": 1009}}, 10.0, None),
        ({"a": worker(5.0, hands_over=True), "b": worker(9.0, hands_over=True), "c": worker(9.5)}, 10.0, "b"),
        ({"a": worker(5.0, hands_over=True), "b": worker(11.0)}, 10.0, "b"),
        ({"a": worker(5.0), "b": worker(7.0)}, None, "b"),
        ({"a": worker(5.0), "b": worker(None)}, None, "b"),
        ({"a": {}}, 10.0, "a"),
        ({"a": worker(20.0, behind_s=300.0)}, 10.0, "a"),
        ({"a": worker(5.0, behind_s=300.0)}, 10.0, None),
        ({"a": worker(20.0, behind_s=300.0), "b": worker(15.0)}, 10.0, "b"),
        ({"a": worker(5.0, behind_s=-300.0)}, 10.0, None),
    ],
)
def test_short_trials_go_to_those_who_leave_first(workers: dict[str, dict[str, object]], needs_s: float | None, chosen: str | None) -> None:
    assert fittest(workers, needs_s=needs_s, now=NOW) == chosen
