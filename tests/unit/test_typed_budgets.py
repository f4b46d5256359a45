"""What is said of budgets before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine import launch
from bohb_nas.engine.opening import prepare
from bohb_nas.engine.plan import Request
from bohb_nas.engine.view import Display
from bohb_nas.errors import UsageError


class Heard(Display):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is said at the start of a study of the toy space, and again when it is resumed without a word."""
    monkeypatch.setattr(launch, "check", lambda *_, **__: ([], None))  # no process is asked whether it accepts the toy space

    def begin(**typed: Any) -> list[str]:
        first, again = Heard(), Heard()
        assert prepare(tmp_path / "study", Request(space="toy", worker="toy", **typed), first)
        assert prepare(tmp_path / "study", Request(), again)
        assert again.lines == first.lines
        return first.lines

    return begin


@pytest.mark.parametrize(
    ("typed", "listed"),
    [
        ({"budget_max": 10.0}, "0.37037, 1.11111, 3.33333, 10 epochs"),
        ({"budget_min": 2.0, "budget_max": 10.0, "eta": 4.0}, "2.5, 10 epochs"),
        ({"budget_min": 1.0, "budget_max": 9.0}, None),
        ({"budget_max": 27.0}, None),
        ({"budget_max": 10.0, "budget_unit": "s"}, None),
    ],
)
def test_budgets_that_are_no_whole_numbers_are_listed(said: Any, typed: dict[str, Any], listed: str | None) -> None:
    remark = f"budgets are {listed}: choose --budget-min, --budget-max and --eta so that they are whole if the worker needs that"
    assert said(**{"budget_unit": "epochs", **typed}) == ([] if listed is None else [remark])


@pytest.mark.parametrize(
    ("limit_s", "beyond"), [(2.0, "6s or 18s"), (5.9, "6s or 18s"), (6.0, "18s"), (17.5, "18s"), (18.0, None), (None, None)]
)
def test_a_limit_that_ends_trials_of_some_budgets_is_remarked_on(said: Any, limit_s: float | None, beyond: str | None) -> None:
    lines = said(budget_min=2.0, budget_max=18.0, hard_limit_s=limit_s)
    end = "a trial that trains for all of it is stopped before its end"
    assert lines == ([] if beyond is None else [f"--hard-limit {limit_s:g}s is less than the budget {beyond}: {end}"])


def test_a_limit_below_the_cheapest_budget_is_refused(said: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--hard-limit 1\.9s is less than the cheapest budget, 2s: no trial could end; give more"):
        said(budget_min=2.0, budget_max=18.0, hard_limit_s=1.9)
    assert not (tmp_path / "study").exists(), "nothing was written"


def test_a_limit_in_seconds_says_nothing_of_epochs(said: Any) -> None:
    assert said(budget_min=2.0, budget_max=18.0, budget_unit="epochs", hard_limit_s=1.0) == []
