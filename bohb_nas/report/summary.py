"""The findings of a study on one screen of a terminal (rich)."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bohb_nas.analysis.findings import Budget, Comparison, Findings
from bohb_nas.durations import budget_text, counted, p_value
from bohb_nas.report.digits import loss_digits
from bohb_nas.report.terminal import columns
from bohb_nas.store.notes import printable

_MOST_NAMED = 3


def summary(found: Findings) -> RenderableType:
    """What `bohb-nas analyze` shows: a row per budget, what may be said and what may not, the comparison, the incumbent."""
    study = found["study"]
    state = "done" if study["done"] else "not done"
    on = f"{study['space']}, {study['dataset']}" if study["dataset"] is not None else study["space"]
    statuses = ", ".join(f"{n} {word}" for word, n in study["by_status"].items()) or "none"
    lines: list[RenderableType] = [
        Text(
            printable(f"{study['name']}: {study['method']} on {on}; {counted(study['n_trials'], 'evaluation')} ({statuses}), {state}"),
            style="bold",
        )
    ]
    if found["budgets"]:
        lines.append(_budgets(found))
    for sentence in found["sentences"]:
        caution = sentence["about"] == "caution"
        lines.append(Text(printable(f"- {sentence['text']}"), style="yellow" if caution else "" if sentence["holds"] else "dim"))
    lines += [_comparison(one, study["unit"]) for one in (found["comparison"], found["tested"]) if one is not None]
    if (best := found["incumbent"]) is not None:
        at = budget_text(best["budget"], study["unit"])
        ready = "" if not best["ready_to_use"] else ", ready for use" if best["model_there"] else ", its trained network is no longer there"
        lines.append(Text(f"incumbent {best['trial_id']}: loss {best['loss']:.{loss_digits(found, 5)}g} at {at} ({best['origin']}{ready})"))
    return Group(*lines)


def _budgets(found: Findings) -> Table:
    table = columns([], ["budget", "told", "failed", "n", "best loss", "median", "R2", "chance"])
    table.add_column("what matters most (in parentheses: where chance may have done it)")
    n = loss_digits(found, 4)
    for budget in found["budgets"]:
        losses = budget["losses"]
        table.add_row(
            budget_text(budget["budget"], found["study"]["unit"]),
            str(budget["n_told"]),
            str(budget["n_failed"]),
            str(budget["n"]),
            "" if losses is None else f"{losses[0]:.{n}g}",
            "" if losses is None else f"{losses[2]:.{n}g}",
            "" if budget["oob_r2"] is None else f"{budget['oob_r2']:.2f}",
            "" if budget["threshold"] is None else f"{100 * budget['threshold']:.0f} %",
            _most(budget),
        )
    return table


def _most(budget: Budget) -> Text:
    """Parentheses tell what is not claimed where nothing is dim: in a file, in a pipe."""
    parts = [(printable(f"{p['name']} {100 * p['with_parents']:.0f} %"), p["claimed"]) for p in budget["parameters"][:_MOST_NAMED]]
    return Text(", ").join(Text(text) if claimed else Text(f"({text})", style="dim") for text, claimed in parts)


def _comparison(found: Comparison, unit: str) -> Table:
    numbers = [f"{found['measured']} error", "95 % over images, first seed", "95 % over seeds", "seeds", "M params", "MFLOPs", "p (Holm)"]
    table = columns(["" if found["budget"] is None else f"at {budget_text(found['budget'], unit)}"], numbers)
    table.columns[0].no_wrap = True
    for row in found["rows"]:
        table.add_row(
            printable(row["name"]),
            _share(row["error"]),
            _shares(row["wilson"]),
            _shares(row["seed_interval"]),
            str(row["n_seeds"]),
            _millions(row, "params", ".4g"),
            _millions(row, "flops", ".5g"),
            "" if row["p_holm"] is None else p_value(row["p_holm"]).removeprefix("= "),
        )
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _shares(limits: list[float] | None) -> str:
    return "" if limits is None else f"{limits[0]:.4g} to {limits[1]:.4g}"


def _millions(row: Mapping[str, Any], name: str, how: str) -> str:
    return "" if row[name] is None else format(row[name] / 1e6, how)
