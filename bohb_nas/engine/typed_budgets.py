"""Whether budgets were typed in what they count, and suit the times around them."""

from collections.abc import Mapping
from typing import Any

from bohb_nas.durations import Timed, format_duration
from bohb_nas.entries import is_number
from bohb_nas.errors import UsageError
from bohb_nas.one_shot_settings import SEARCHES
from bohb_nas.records import Budgets
from bohb_nas.store.meta import unit_kept

_AT_THE_DEAREST = "random_search"
"""The method that asks for no other budget."""


def check(unit: str, typed: Mapping[str, float | None], *, new: bool) -> None:
    """Refuses times where budgets are no seconds, be they typed or a default.

    Args:
        unit: what they count.
        typed: by option; None where nothing was typed.
        new: whether the study has no budgets yet.

    Raises:
        UsageError: a budget is a time and the unit is not, or the unit is empty or no text that a study can hold.
    """
    unit_kept(unit)
    for option, value in typed.items():
        if isinstance(value, Timed) and unit != "s":
            raise UsageError(f"{option} {format_duration(value)}: budgets count {unit}, and this is a time; give a plain number")
    if new and unit != "s" and typed["--budget-max"] is None:
        raise UsageError(
            f"--budget-unit {unit} without --budget-max: its default, 3h, is a time; say the dearest in {unit}, such as --budget-max 81"
        )


def check_total(total_s: float, budgets: Budgets, *, method: str, options: Mapping[str, Any]) -> None:
    """Makes sure that the first trial fits into the whole time.

    Args:
        total_s: seconds after which the search stops.
        budgets: the ladder, in seconds.
        method: that asks for trials.
        options: its own.

    Raises:
        UsageError: it does not.
    """
    if method in SEARCHES:
        search_s = options.get("search_s") or budgets.max
        if is_number(search_s) and total_s < search_s:
            raise UsageError(
                f"--total-time {total_s:g} s is less than the search of --method {method}, {search_s:g} s: nothing could be searched; "
                "give more time, a smaller --budget-max, or --method-option search_s=SECONDS"
            )
        return
    name, cheapest = ("--budget-max", budgets.max) if method == _AT_THE_DEAREST else ("--budget-min", budgets.rungs[0])
    if total_s < cheapest:
        raise UsageError(
            f"--total-time {total_s:g} s is less than the cheapest budget of --method {method}, {cheapest:g} s: nothing could be trained; "
            f"give more time or a smaller {name}"
        )


def check_limit(hard_limit_s: float | None, budgets: Budgets) -> None:
    """Makes sure that a limit leaves some trials their time.

    Args:
        hard_limit_s: seconds after which a trial is stopped; None where none was asked for.
        budgets: the ladder.

    Raises:
        UsageError: budgets are seconds, and it leaves none.
    """
    if hard_limit_s is not None and budgets.unit == "s" and hard_limit_s < (cheapest := budgets.rungs[0]):
        raise UsageError(
            f"--hard-limit {format_duration(hard_limit_s)} is less than the cheapest budget, {format_duration(cheapest)}: no trial "
            "could end; give more than the dearest, or leave it out"
        )


def remarks(budgets: Budgets, hard_limit_s: float | None) -> list[str]:
    """What people should know of a ladder and the limit of a trial in seconds before anything is searched, a line each."""
    rungs, seconds, said = budgets.rungs, budgets.unit == "s", list[str]()
    listed = ", ".join(map(format_duration, rungs)) if seconds else f"{', '.join(f'{budget:g}' for budget in rungs)} {budgets.unit}"
    if rungs[0] != budgets.min:
        typed = format_duration(budgets.min) if seconds else f"{budgets.min:g}"
        said.append(f"budgets are {listed}: --budget-min {typed} is none of them, which are --budget-max over powers of --eta")
    if seconds and hard_limit_s is not None and hard_limit_s < budgets.max:
        beyond = " or ".join(format_duration(budget) for budget in rungs if hard_limit_s < budget)
        said.append(
            f"--hard-limit {format_duration(hard_limit_s)} is less than the budget {beyond}: a trial that trains for all of it is "
            "stopped before its end"
        )
    if not seconds and not all(budget.is_integer() for budget in rungs):
        said.append(f"budgets are {listed}: choose --budget-min, --budget-max and --eta so that they are whole if the worker needs that")
    return said
