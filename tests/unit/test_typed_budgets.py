"""What is said of budgets before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine import launch
from bohb_nas.engine.opening import prepare
from bohb_nas.engine.plan import Request, plan
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
        ({"budget_min": 2.5, "budget_max": 10.0, "eta": 4.0}, "2.5, 10 epochs"),
        ({"budget_min": 1.0, "budget_max": 9.0}, None),
        ({"budget_max": 27.0}, None),
        ({"budget_max": 10.0, "budget_unit": "s"}, None),
        ({"budget_max": 10.0, "budget_unit": "s", "eta": 2.5}, None),
    ],
)
def test_budgets_that_are_no_whole_numbers_are_listed(said: Any, typed: dict[str, Any], listed: str | None) -> None:
    remark = f"budgets are {listed}: choose --budget-min, --budget-max and --eta so that they are whole if the worker needs that"
    assert said(**{"budget_unit": "epochs", **typed}) == ([] if listed is None else [remark])


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ({"budget_min": 5.0, "budget_max": 10.0}, "budgets are 10s: --budget-min 5s"),
        ({"budget_min": 1.0, "budget_max": 90.0}, "budgets are 1.111s, 3.333s, 10s, 30s, 90s: --budget-min 1s"),
        ({"budget_min": 2.0, "budget_max": 36.0, "budget_unit": "epochs"}, "budgets are 4, 12, 36 epochs: --budget-min 2"),
    ],
)
def test_a_cheapest_budget_that_no_trial_gets_is_remarked_on(said: Any, typed: dict[str, Any], line: str) -> None:
    """max / eta^k while at least min: 10; 90, 30, 10, 3.33, 1.11; 36, 12, 4."""
    assert said(**typed) == [f"{line} is none of them, which are --budget-max over powers of --eta"]


@pytest.mark.parametrize(("seconds", "refused"), [(7.0, True), (9.9, True), (10.0, False)])
def test_times_are_held_against_the_cheapest_budget_that_there_is(said: Any, tmp_path: Path, seconds: float, refused: bool) -> None:
    """From 5 s to 10 s by 3 there is one, of 10 s."""
    for option, text in ({"total_s": seconds}, "--method bohb, 10 s"), ({"hard_limit_s": seconds}, "than the cheapest budget, 10s"):
        if refused:
            with pytest.raises(UsageError, match=text):
                said(budget_min=5.0, budget_max=10.0, **option)
            assert not (tmp_path / "study").exists()
    if not refused:
        said(budget_min=5.0, budget_max=10.0, total_s=seconds, hard_limit_s=seconds)


def test_a_limit_below_the_cheapest_budget_is_refused_on_resume_too(said: Any, tmp_path: Path) -> None:
    said(budget_min=2.0, budget_max=18.0)
    with pytest.raises(UsageError, match=r"^--hard-limit 1\.9s is less than the cheapest budget, 2s"):
        prepare(tmp_path / "study", Request(hard_limit_s=1.9), Heard())


def test_what_counts_no_seconds_needs_a_dearest_budget() -> None:
    """The default is 3 h: nobody means 10800 epochs by it."""
    typed: dict[str, Any] = {"space": "toy", "worker": "toy", "budget_unit": "epochs"}
    refused = r"^--budget-unit epochs without --budget-max: .* such as --budget-max 81$"
    for budget_min in (None, 1.0):
        with pytest.raises(UsageError, match=refused):
            plan(Request(**typed, budget_min=budget_min))
    known = plan(Request(**typed, budget_max=9.0))
    assert known["budgets"]["max"] == 9.0
    assert plan(Request(**typed), base=known)["budgets"] == known["budgets"], "a resumed study has one"
    assert plan(Request(space="toy", worker="toy", budget_unit="s"))["budgets"]["max"] == 10800.0


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
    assert said(budget_min=2.0, budget_max=18.0, budget_unit="epochs", hard_limit_s=1.0, total_s=1.0) == []
