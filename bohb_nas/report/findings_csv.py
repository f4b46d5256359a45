"""The numbers of an analysis as CSV files, one for each table, with a column that names the study."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bohb_nas.analysis.findings import Findings, Importance
from bohb_nas.files import csv_text, dump_json, storing, write_atomic

Row = dict[str, Any]


def write(studies: Sequence[Findings], folder: Path) -> list[Path]:
    """Writes the tables of studies; one without rows is a file with nothing in it but its header.

    Args:
        studies: their findings.
        folder: where to; made where it is missing.

    Returns:
        The files.

    Raises:
        StorageError: the disk refused.
    """
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows_of in TABLES.items():
        rows = [{"study": found["study"]["name"], **row} for found in studies for row in rows_of(found)]
        path = folder / f"{name}.csv"
        write_atomic(path, text(rows))
        written.append(path)
    return written


def text(rows: Iterable[Row]) -> str:
    """Rows as CSV, with every column that one of them has, in the order in which they first appear; None is empty."""
    known = list(rows)
    columns = list(dict.fromkeys(name for row in known for name in row)) or ["study"]
    return csv_text(columns, [{name: _cell(value) for name, value in row.items()} for row in known])


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return dump_json(value)
        case _:
            return value


def _study(found: Findings) -> Iterator[Row]:
    facts = dict(found["study"])
    del facts["name"]  # the column `study`, which every table has
    for word in ("status", "origin"):
        facts |= _counts(word, found["study"], f"by_{word}")
        del facts[f"by_{word}"]
    yield facts


def _counts(word: str, of: Mapping[str, Any], name: str) -> Row:
    return {f"{word}.{key}": n for key, n in of[name].items()}


def _budgets(found: Findings) -> Iterator[Row]:
    for b in found["budgets"]:
        losses: Sequence[float | None] = b["losses"] or [None] * 5
        names = ("lowest", "first_quartile", "median", "third_quartile", "highest")
        counts = _counts("status", b, "by_status") | _counts("origin", b, "by_origin")
        told = {name: b[name] for name in ("budget", "n_told", "n_failed")}
        yield told | _basis(b) | {"selected": b["selected"]} | dict(zip(names, losses, strict=True)) | counts
    if (over := found["over_budgets"]) is not None:
        yield {"budget": "all", **_basis(over)}


def _basis(said: Importance) -> Row:
    """What an importance rests on, and where its good region is."""
    good: Mapping[str, Any] = said["good"] or {}
    bare = {name: said[name] for name in ("n", "oob_r2", "threshold", "refused")}
    return bare | {f"good.{name}": good.get(name) for name in ("cutoff", "rule", "n_below", "threshold")}


def _importances(found: Findings) -> Iterator[tuple[float | str, Importance]]:
    """Each with its budget, or the word "all"."""
    yield from ((b["budget"], b) for b in found["budgets"])
    if (over := found["over_budgets"]) is not None:
        yield "all", over


def _importance(found: Findings) -> Iterator[Row]:
    for budget, said in _importances(found):
        good = said["good"]
        for region, parameters in (("all", said["parameters"]), ("good", good["parameters"] if good is not None else [])):
            for p in parameters:
                bare = {name: value for name, value in p.items() if name not in ("spread", "curve")}
                yield {"budget": budget, "region": region, **bare, **_limits("spread", p["spread"])}


def _pairs(found: Findings) -> Iterator[Row]:
    for budget, said in _importances(found):
        for pair in said["pairs"]:
            first, second = pair["names"]
            yield {"budget": budget, "first": first, "second": second, "share": pair["share"], **_limits("spread", pair["spread"])}


def _curves(found: Findings) -> Iterator[Row]:
    for budget, said in _importances(found):
        for p in said["parameters"]:
            if (curve := p["curve"]) is not None:
                for at, place, mean, low, high in zip(*(curve[k] for k in ("at", "place", "mean", "low", "high")), strict=True):
                    yield {"budget": budget, "name": p["name"], "at": at, "place": place, "mean": mean, "low": low, "high": high}


def _maps(found: Findings) -> Iterator[Row]:
    for budget, said in _importances(found):
        for pair in said["pairs"]:
            if (drawn := pair["map"]) is not None:
                first, second = pair["names"]
                for a, row in zip(drawn["at"][0], drawn["mean"], strict=True):
                    for b, mean in zip(drawn["at"][1], row, strict=True):
                        yield {"budget": budget, "first": first, "second": second, "first_at": a, "second_at": b, "mean": mean}


def _correlations(found: Findings) -> Iterator[Row]:
    for whom, table in (("search", found["rank_correlation"]), ("probes", found["rank_probe"])):
        for pair in table:
            bare = {name: value for name, value in pair.items() if name != "interval"}
            yield {"of": whom, **bare, **_limits("interval", pair["interval"])}


def _shapes(found: Findings) -> Iterator[Row]:
    for shape in found["shapes"]:
        for budget, loss in shape["losses"]:
            yield {"config_id": shape["config_id"], "origin": shape["origin"], "budget": budget, "loss": loss}


def _trials(found: Findings) -> Iterator[Row]:
    for row in found["trials"]:
        bare = {name: value for name, value in row.items() if name != "config"}
        yield bare | {f"config.{name}": value for name, value in row["config"].items()}


def _model(found: Findings) -> Iterator[Row]:
    for test in found["model"]:
        yield {name: value for name, value in test.items() if name != "interval"} | _limits("interval", test["interval"])


def _hours(found: Findings) -> Iterator[Row]:
    for rung in found["hours"]:
        for time, hours in zip(rung["times"], rung["hours"], strict=True):
            yield {"budget": rung["budget"], "time": time, "hours": hours}


def _incumbent(found: Findings) -> Iterator[Row]:
    if (best := found["incumbent"]) is not None:
        bare = {name: value for name, value in best.items() if name not in ("config", "network", "curve")}
        yield bare | {f"config.{name}": value for name, value in best["config"].items()}


def _learning_curve(found: Findings) -> Iterator[Row]:
    if (best := found["incumbent"]) is not None:
        for point in best["curve"]:
            own: Row = {name: value for name, value in point.items() if name not in ("study", "trial_id")}  # a worker names its fields
            yield {"trial_id": best["trial_id"], **own}


def _ablation(found: Findings) -> Iterator[Row]:
    if (path := found["ablation"]) is not None:
        head = {"budget": path["budget"], "start": path["start"]}
        first = {"step": 0, "changed": path["start"], "loss": path["loss"], **_limits("spread", path["spread"])}
        yield head | first | {"before": {}, "after": {}}
        for k, step in enumerate(path["steps"], start=1):
            changed = step["names"][0]
            row = {"step": k, "changed": changed, "loss": step["loss"], **_limits("spread", step["spread"])}
            yield head | row | {"before": step["before"], "after": step["after"]}


def _comparison(found: Findings) -> Iterator[Row]:
    for compared in (found["comparison"], found["tested"]):
        if compared is None:
            continue
        for row in compared["rows"]:
            bare = {name: value for name, value in row.items() if name not in ("seed_interval", "wilson")}
            head = {"measured": compared["measured"], "budget": row["budget"]}
            yield head | bare | _limits("seed_interval", row["seed_interval"]) | _limits("wilson", row["wilson"])


def _limits(name: str, limits: Sequence[float] | None) -> Row:
    return {f"{name}_low": limits[0] if limits is not None else None, f"{name}_high": limits[1] if limits is not None else None}


def _plain(name: str) -> Callable[[Findings], Iterator[Row]]:
    """The rows of a list of findings that are rows already."""
    return lambda found: (dict(row) for row in found[name])  # type: ignore[literal-required]


TABLES: Mapping[str, Callable[[Findings], Iterator[Row]]] = {
    "study": _study,
    "hyperparameters": _plain("hyperparameters"),
    "budgets": _budgets,
    "importance": _importance,
    "pairs": _pairs,
    "curves": _curves,
    "maps": _maps,
    "rank_correlation": _correlations,
    "shapes": _shapes,
    "trajectory": _plain("trajectory"),
    "incumbents": _plain("incumbents"),
    "trials": _trials,
    "model": _model,
    "hours": _hours,
    "pace": lambda found: iter([dict(found["pace"])]),
    "incumbent": _incumbent,
    "learning_curve": _learning_curve,
    "ablation": _ablation,
    "comparison": _comparison,
    "sentences": _plain("sentences"),
}
"""By the name of its file, what makes the rows of each table."""
