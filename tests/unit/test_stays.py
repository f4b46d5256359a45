"""Where and when results were trained, as the engine noted it: worked out by hand."""

from typing import Any

import pytest

from bohb_nas.records import Result, Status
from bohb_nas.store.stays import Stay, device_s, new_s, of_workers, shared_s, stay, use


def result(*, train_s: float = 9.0, metrics: dict[str, float] | None = None, engine: Any = None, **details: Any) -> Result:
    told = details if engine is None else {**details, "engine": engine}
    return Result(trial_id="t0", status=Status.OK, loss=0.5, train_s=train_s, metrics=metrics or {}, details=told)


def there(began: float, ended: float, *, host: str = "h", device: str = "g0", idle_s: float | None = 0.0, **more: Any) -> Stay:
    note = {"host": host, "device": device, "began": began, "ended": ended, "idle_s": idle_s}
    found = stay(result(engine=note, **more))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("train_s", "metrics", "engine", "seconds"),
    [
        (9.0, {}, None, 9.0),
        (9.0, {}, {"behind_s": 4.0}, 5.0),
        (9.0, {"new_s": 3.0}, {"behind_s": 4.0}, 3.0),  # who measures them is asked first
        (9.0, {}, {"behind_s": 10.0}, 0.0),
        (9.0, {}, {"behind_s": "4"}, 9.0),
        (9.0, {}, ["behind_s"], 9.0),
    ],
)
def test_what_a_result_added_is_without_what_was_behind_it(train_s: float, metrics: dict[str, float], engine: Any, seconds: float) -> None:
    told = result(train_s=train_s, metrics=metrics, engine=engine)
    assert new_s(told) == device_s(told, None) == seconds


@pytest.mark.parametrize(
    ("attempt_s", "stood_s", "trained_s", "earlier_s", "counted_s"),
    [
        (6.0, 4.0, 6.0, 3.0, 4.0),
        (6.0, 8.0, 6.0, 3.0, 6.0),  # twelve seconds, of which six were training
        (20.0, 4.0, 9.0, 0.0, 3.0),
        (None, None, 9.0, 0.0, 0.0),
    ],
)
def test_of_an_interrupted_trial_the_last_attempt_alone_lies_in_its_time(
    attempt_s: float | None, stood_s: float | None, trained_s: float, earlier_s: float, counted_s: float
) -> None:
    note = {"host": "h", "device": "g0", "began": 100.0, "ended": 112.0, "stood_s": stood_s}
    told = result(engine=note, attempt_s=attempt_s)
    found = stay(told)
    assert found is not None
    assert (found.trained_s, found.earlier_s, found.stood_s) == (trained_s, earlier_s, counted_s)
    assert found.held_s == device_s(told, found) == 12.0 + earlier_s


def test_nothing_counts_as_stood_still_of_a_trial_that_trained_for_longer_than_it_was_there() -> None:
    note = {"host": "h", "device": "g0", "began": 100.0, "ended": 105.0, "stood_s": 1.0}
    found = stay(result(engine=note))
    assert found is not None
    assert found.stood_s == 0.0


@pytest.mark.parametrize("wrong", [{"host": 1}, {"device": None}, {"began": -1.0}, {"ended": "12"}, {"began": 12.1}])
def test_a_note_that_is_out_of_order_tells_of_no_stay(wrong: dict[str, Any]) -> None:
    note = {"host": "h", "device": "g0", "began": 12.0, "ended": 12.0}
    assert stay(result(engine=note)) is not None
    assert stay(result(engine={**note, **wrong})) is None


def test_a_worker_is_a_device_of_a_host_until_its_next_first_trial() -> None:
    first, second, anew = there(0.0, 1.0, idle_s=None), there(2.0, 3.0), there(7.0, 8.0, idle_s=None)
    elsewhere, beside = there(1.0, 9.0, host="i", idle_s=None), there(2.5, 4.0, device="g1")
    assert of_workers([anew, beside, second, elsewhere, first]) == [[first, second], [elsewhere], [beside], [anew]]


def test_the_use_of_time_by_hand() -> None:
    told = [
        there(0.0, 12.0, idle_s=None),
        there(12.5, 22.0, idle_s=0.5),
        there(23.5, 33.0, idle_s=1.5),
        there(23.0, 43.0, host="i", idle_s=None),
    ]
    assert use(told) == pytest.approx(
        {"train_s": 36.0, "worker_s": 33.0 + 20.0, "train_share": 36 / 53, "idle_median_s": 1.0, "idle_p95_s": 0.5 + 0.95 * 1.0}
    )
    assert use(told[:2]) == pytest.approx({"train_s": 18.0, "worker_s": 22.0, "train_share": 18 / 22}), "one gap has no distribution"


def test_seconds_of_which_there_were_not_so_many_are_virtual() -> None:
    """Nine seconds of training: 5 % more than there was time are those of clocks."""
    assert use([there(100.0, 108.6)]) is not None
    assert use([there(100.0, 108.5)]) is None
    assert use([there(100.0, 100.0, metrics={"new_s": 0.0})]) == {"train_s": 0.0, "worker_s": 0.0, "train_share": 0.0}


@pytest.mark.parametrize(
    ("some", "others", "seconds"),
    [
        ([], [(0, 9)], 0),
        ([(1, 3), (5, 8)], [(2, 6)], 2),
        ([(5, 8), (1, 3)], [(2, 4), (3, 6), (7, 20), (7, 7.5)], 3),
        ([(10, 1000), (500, 900)], [(0, 905)], 895),
    ],
    ids=["nothing", "one over two", "in any order", "overlapping, since a clock was set back"],
)
def test_seconds_that_two_lists_of_spans_share(some: list[tuple[float, float]], others: list[tuple[float, float]], seconds: float) -> None:
    assert shared_s(some, others) == shared_s(others, some) == seconds
