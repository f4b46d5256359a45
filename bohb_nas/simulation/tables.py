"""The figures of a comparison as tables for a terminal (rich)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bohb_nas.durations import counted
from bohb_nas.report.terminal import columns
from bohb_nas.simulation.standings import SETTLED
from bohb_nas.simulation.statistics import ALPHA, FEWEST_METHODS, FEWEST_PROBLEMS, could_be_told

_MOST_NAMED = 3


def standings(figures: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas simulate` shows of one comparison."""
    parts: list[RenderableType] = [head(figures)]
    for title, table in (
        ("mean rank over problems, 1 is best", ranks(figures)),
        ("mean normalised regret, 0 is the best known loss, 1 the median random configuration", regrets(figures)),
        (f"regret at the end by problem, mean +- standard error{_marks(figures)}", problems(figures)),
    ):
        parts += [Text(f"\n{title}"), table]
    if figures["against_reference"]:
        title = (
            f"against {figures['reference']}, over {counted(len(figures['problems']), 'problem')}: "
            "Wilcoxon's p, difference of ranks [95 %], regret"
        )
        parts += [Text(f"\n{title}"), against(figures)]
    parts += [Text(line) for line in across(figures)]
    if figures["safety"]:
        parts += [
            Text("\nsignificantly worse than random search at or after 5 costs (one-sided, Holm over all its tests)"),
            safety(figures),
        ]
    return Group(*parts)


def _marks(figures: Mapping[str, Any]) -> str:
    """What the marks of the table by problem say; nothing where there is no other method than the reference."""
    tests = [one["by_problem"] for one in figures["against_reference"] if one["by_problem"]]
    if not tests:
        return ""
    told = [could_be_told([t["n_pairs"] for t in each], [t["n_differing"] for t in each], alternative="two-sided") for each in tests]
    few = "" if any(one.any() for one in told) else ", which so few seeds that differ cannot show"
    return f"; * better, ! worse than {figures['reference']} (Holm){few}"


def head(figures: Mapping[str, Any]) -> Text:
    """Conditions, and over what the means are taken."""
    c = figures["conditions"]
    overhead = "measured" if c["overhead"] else "none"
    text = f"\nW = {c['workers']}, promoted configurations {c['promote']}, overhead {overhead}, horizon {c['horizon']:g} mean full costs"
    text += f"; {counted(len(figures['problems']), 'problem')}"
    if figures["problems_left_out"]:
        text += f", without {', '.join(figures['problems_left_out'])}: not every method ran there"
    if changed := [row["method"] for row in figures["methods"] if len(row["codes"]) > 1]:
        text += f"; runs of different code: {', '.join(changed)}"
    if mixed := figures["problems_of_different_code"]:
        text += f"; runs on different code of {', '.join(mixed)}: their regrets may not be comparable, run them again"
    return Text(text, style="bold")


def ranks(figures: Mapping[str, Any]) -> Table:
    """A row per method: ranks of its seed-means at the checkpoints, and of each paired seed at the end."""
    at = [f"at {t:g}" for t in figures["checkpoints"]]
    table = columns(["method", "version"], ["seeds", *at, "paired seeds, at the end"], whole=True)
    for row in _sorted(figures):
        cells = [_number(v, 2) for v in [*row["mean_rank"], row["mean_rank_paired"][-1]]]
        table.add_row(row["method"], ", ".join(row["versions"]), _seeds(row["n_seeds"]), *cells)
    return table


def regrets(figures: Mapping[str, Any]) -> Table:
    """A row per method: regret at the checkpoints, and how it got there."""
    at = [f"at {t:g}" for t in figures["checkpoints"]]
    table = columns(["method"], [*at, "strict", "area", "p90", "speed-up", "never", "busy", "failed", "ms"], whole=True)
    for row in _sorted(figures):
        table.add_row(
            row["method"],
            *(_number(v, 3) for v in [*row["mean_regret"], row["mean_strict_regret"][-1], row["area"], row["p90"]]),
            _number(row["speed_up"], 1),
            "" if row["never_as_good"] is None else str(row["never_as_good"]),
            _share(row["busy"]),
            _share(row["failed"]),
            _number(row["cpu_ms"], 2),
        )
    return table


def problems(figures: Mapping[str, Any]) -> Table:
    """A row per problem, a column per method."""
    methods = [row["method"] for row in figures["methods"]]
    cells = {(row["problem"], row["method"]): row for row in figures["by_problem"]}
    marks = {
        (test["problem"], one["method"]): "*" if test["rank_biserial"] < 0 else "!"
        for one in figures["against_reference"]
        for test in one["by_problem"]
        if test["p_holm"] is not None and test["p_holm"] < ALPHA
    }
    table = columns(["problem"], methods, whole=True)
    for problem in dict.fromkeys(row["problem"] for row in figures["by_problem"]):
        shown = []
        for method in methods:
            row = cells.get((problem, method))
            spread = "" if row is None or row["standard_error"][-1] is None else f" +- {row['standard_error'][-1]:.3f}"
            shown.append("" if row is None else f"{row['mean'][-1]:.3f}{spread}{marks.get((problem, method), ' ')}")
        table.add_row(problem, *shown)
    return table


def against(figures: Mapping[str, Any]) -> Table:
    """A row per method and checkpoint from 5 on: tests over problems, and the ratio over these checkpoints."""
    table = columns(["method"], ["at", "p", "better on", "rank difference", "regret lower by", "ratio of regrets"], whole=True)
    for one in figures["against_reference"]:
        tests = [test for test in one["over_problems"] if test["checkpoint"] >= SETTLED] or one["over_problems"][-1:]
        for k, test in enumerate(tests):
            table.add_row(
                "" if k else one["method"],
                f"{test['checkpoint']:g}",
                _p(test["p"]),
                f"{test['better_on']} of {test['n_problems']}",
                _interval(test["rank_difference"]),
                "" if test["regret_reduction"] is None else f"{test['regret_reduction']:.0%}",
                _number(one["ratio"], 3) if k == len(tests) - 1 else "",
            )
    return table


def across(figures: Mapping[str, Any]) -> list[str]:
    """Friedman's test and the critical difference in words."""
    lines = []
    for one in figures["across"]:
        text = f"at {one['checkpoint']:g} costs, {counted(one['n_problems'], 'problem')}, {counted(len(one['mean_rank']), 'method')}: "
        text += f"Friedman p = {_p(one['p'])}" if one["p"] is not None else _untested(one)
        if one["critical_difference"] is not None:
            text += f", critical difference {one['critical_difference']:.2f} (Nemenyi, alpha .05)"
            groups = ["{" + ", ".join(group) + "}" for group in one["not_told_apart"]]
            text += f"; not told apart: {' '.join(groups) or 'none'}"
        lines.append(text)
    return ["", *lines] if lines else []


def _untested(one: Mapping[str, Any]) -> str:
    """Why there is no Friedman's test."""
    enough = len(one["mean_rank"]) >= FEWEST_METHODS and one["n_problems"] >= FEWEST_PROBLEMS
    return "no Friedman's test, as no method differs from another" if enough else "too few for Friedman's test"


def safety(figures: Mapping[str, Any]) -> Table:
    """A row per method: where it is significantly worse."""
    table = columns(["method", "worse on"], ["tests", "pairs", "lowest p (Holm)"], whole=True)
    for row in figures["safety"]:
        where = ", ".join(f"{w['problem']} at {w['checkpoint']:g}" for w in row["worse"])
        blind = row["cannot_tell"]
        named = ", ".join(blind[:_MOST_NAMED]) + (", …" if len(blind) > _MOST_NAMED else "")
        unknown = f"{';' if where else ', but'} too few seeds that differ to tell on {named}" if blind else ""
        table.add_row(row["method"], (where or "nowhere") + unknown, str(row["n_tests"]), _seeds(row["n_pairs"]), _p(row["smallest_p"]))
    return table


def _sorted(figures: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(figures["methods"], key=lambda row: row["mean_rank"][-1] if row["mean_rank"][-1] is not None else float("inf"))


def _seeds(least_and_most: Sequence[int]) -> str:
    low, high = least_and_most
    return f"{low}" if low == high else f"{low}-{high}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _interval(values: Sequence[float | None]) -> str:
    estimate, low, high = values
    return _number(estimate, 2) + ("" if low is None else f" [{_number(low, 2)}, {_number(high, 2)}]")


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
