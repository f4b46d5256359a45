import pytest

from bohb_nas.durations import budget_text, counted, format_duration, parse_duration
from bohb_nas.errors import DurationError


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
    ],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0s", "-5s", "3x", "h", "1h 5", "5 5", "nan", "inf", "1e3s", "three hours", "1h-5m"])
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
