"""What is said of budgets before anything is trained."""

from pathlib import Path
from typing import Any

import pytest

from bohb_nas.engine import launch
from bohb_nas.engine.opening import prepare
from bohb_nas.engine.plan import Request
from bohb_nas.engine.view import Display


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
