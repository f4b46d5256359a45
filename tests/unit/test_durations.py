import click
import pytest

from bohb_nas.durations import Timed, budget_text, counted, format_duration, p_value, parse_duration, plain, rough
from bohb_nas.errors import DurationError
from bohb_nas.option_types import Budget, Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("400s", 400),
        ("20m", 1200),
        ("1h", 3600),
        ("3h", 10800),
        ("1h30m", 5400),
        ("90", 90),
        (".5s", 0.5),
        ("1.5h", 5400),
        (" 2 min ", 120),
        ("1d", 86400),
        ("1e3", 1000),
        (" 2.5E-1 ", 0.25),
    ],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5s", "3x", "h", "1h 5", "5 5", "nan", "inf", "1e999", "-1e3", "1e3s", "three hours", "1h-5m"]
)
def test_what_is_no_duration_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(DurationError, match="accepted: a positive number of seconds"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (400, "400s"),
        (1200, "20m"),
        (3600, "1h"),
        (10800, "3h"),
        (5400, "1h30m"),
        (0.25, "0.25s"),
        (60, "1m"),
        (90, "90s"),
        (86400, "1d"),
        (3661, "1h1m"),
    ],
)
def test_what_people_read(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [400, 1200, 3600, 10800, 5400, 133.25])
def test_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-3)


def test_budgets_have_their_unit() -> None:
    assert budget_text(1200.0, "s") == "20m"
    assert budget_text(81.0, "epochs") == "81 epochs"
    assert [budget_text(1.0, unit) for unit in ("epochs", "training steps", "GPUs", "loss", "epoch", "€")] == [
        *("1 epoch", "1 training step", "1 GPUs", "1 loss", "1 epoch", "1 €")
    ]
    assert budget_text(0.5, "epochs") == "0.5 epochs"


def test_one_thing_is_not_several() -> None:
    assert [counted(n, "evaluation") for n in (0, 1, 2, "1", "1,000")] == [
        *("0 evaluations", "1 evaluation", "2 evaluations", "1 evaluation", "1,000 evaluations")
    ]


@pytest.mark.parametrize(
    ("typed", "budget", "timed"),
    [("1e-9", 1e-9, False), ("2E3", 2000.0, False), ("90", 90.0, False), ("90s", 90.0, True), ("1h30m", 5400.0, True)],
)
def test_a_budget_is_a_time_where_a_unit_of_time_was_typed(typed: str, budget: float, timed: bool) -> None:
    found = Budget().convert(typed, None, None)
    assert (found, isinstance(found, Timed)) == (budget, timed)


def test_a_budget_that_is_none_is_answered_with_both_kinds() -> None:
    with pytest.raises(click.BadParameter, match=r"'1x'; accepted: .* 3h; with --budget-unit, a plain number such as 27 or 1e-3"):
        Budget().convert("1x", None, None)


@pytest.mark.parametrize("typed", ["1e300", "20000d", 1e300])
def test_no_clock_waits_longer_than_most_people_live(typed: object) -> None:
    with pytest.raises(click.BadParameter, match="accepted: at most 10000d"):
        Duration().convert(typed, None, None)
    assert Duration().convert("10000d", None, None) == 864_000_000
    assert Budget().convert("1e300", None, None) == 1e300, "what it counts need be no time"


@pytest.mark.parametrize(("value", "written"), [(0.0123, "= 0.012"), (1.0, "= 1"), (0.001, "= 0.001"), (0.0009, "< 0.001")])
def test_a_p_value_has_two_digits_down_to_a_thousandth(value: float, written: str) -> None:
    assert p_value(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.25, "0.25"), (12.34, "12.3"), (1234.5, "1,234"), (99.96, "100")])
def test_an_amount_has_three_digits_or_all_before_the_point(value: float, written: str) -> None:
    assert rough(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0.02345, "0.02345"), (12.3456, "12.35"), (999.97, "1000"), (10_843.2, "10843"), (4e6, "4000000")]
)
def test_seconds_have_four_digits_or_all_before_the_point(value: float, written: str) -> None:
    assert plain(value) == written
