"""The report's tables of one study: every figure's numbers, readable without a script."""

from collections.abc import Sequence

from bohb_nas.analysis.findings import Compared, Comparison, Findings, Importance, ModelTest, Parameter, RankCorrelation
from bohb_nas.durations import budget_text as budget
from bohb_nas.report.digits import loss_digits
from bohb_nas.report.html.columns import SHOWN_DIGITS, STRONGEST, comparisons
from bohb_nas.report.html.markup import Markup, element, facts, join, more, table
from bohb_nas.report.html.words import NONE, count, counts, interval, number, p_value, seconds, settings, share

_ERROR = 2
"""Decimals of a network's error in per cent: as everywhere else, and good networks have errors below one."""
_OVER_BUDGETS = (
    "Each configuration counts once, with the mean of its losses at all budgets, each taken as a quantile on the cheapest budget's scale."
)


def budgets(findings: Findings) -> Markup:
    """What was trained at each budget, and what came of it."""
    unit, n = findings["study"]["unit"], loss_digits(findings, SHOWN_DIGITS)
    heads = ("budget", "told", "failed", "lowest", "quartile", "median", "quartile", "highest", "from", "ended")
    rows = [
        (
            budget(b["budget"], unit),
            count(b["n_told"]),
            count(b["n_failed"]),
            *([number(x, n) for x in b["losses"]] if b["losses"] else [NONE] * 5),
            counts(b["by_origin"]),
            counts(b["by_status"]),
        )
        for b in findings["budgets"]
    ]
    return table("Evaluations and their losses by budget", heads, rows, words=(0, 8, 9)) if rows else _nothing("No trial has ended yet.")


def incumbents(findings: Findings) -> Markup:
    """The incumbent whenever it changed."""
    unit, n = findings["study"]["unit"], loss_digits(findings, SHOWN_DIGITS)
    heads = ("trial", "origin", "after", "budget", "loss")
    rows = [
        (p["trial_id"], p["origin"], seconds(p["time"]), budget(p["budget"], unit), number(p["loss"], n)) for p in findings["incumbents"]
    ]
    return more("Every incumbent as a table", table("The incumbent whenever it changed", heads, rows, words=(0, 1))) if rows else Markup("")


def importance(findings: Findings) -> Markup:
    """Importance at each budget, then over all of them."""
    unit, n = findings["study"]["unit"], loss_digits(findings, SHOWN_DIGITS)
    parts = [_importance(b, f"At {budget(b['budget'], unit)}", b["selected"], digits=n) for b in findings["budgets"]]
    if findings["over_budgets"] is not None:
        parts.append(_importance(findings["over_budgets"], "Over all budgets", _OVER_BUDGETS, digits=n))
    return join(parts) if parts else _nothing("Nothing to explain yet: no trial has ended.")


def _importance(one: Importance, where: str, remark: str | None, *, digits: int) -> Markup:
    if one["refused"] is not None:
        return element("p", f"{where}: {one['refused']}", class_="note")
    basis = f"{one['n']} observations · out-of-bag R² {number(one['oob_r2'])} · chance reaches {share(one['threshold'])}"
    parts = [element("p", basis, *([element("br"), remark] if remark else []), class_="note"), _parameters(where, one["parameters"])]
    if one["pairs"]:
        strongest = one["pairs"][:STRONGEST]
        pairs = [(" × ".join(p["names"]), share(p["share"]), interval(p["spread"], shares=True)) for p in strongest]
        chance = [one["threshold"] is not None and p["share"] <= one["threshold"] for p in strongest]
        n = f", the strongest {STRONGEST} of {len(one['pairs'])}" if len(one["pairs"]) > STRONGEST else ""
        parts.append(table(f"{where}: interactions without main effects{n}", ("pair", "share", "spread over trees"), pairs, faded=chance))
    if one["good"] is not None:
        good = one["good"]
        parts.append(
            element(
                "p",
                "What makes configurations good, and better: every loss above the cut-off counts as the cut-off, "
                f"{number(good['cutoff'], digits)} ({good['rule']}); {good['n_below']} of {one['n']} observations are not above it. "
                f"Chance reaches {share(good['threshold'])}.",
            )
        )
        n = f", the first {STRONGEST} of {len(good['parameters'])}" if len(good["parameters"]) > STRONGEST else ""
        parts.append(_parameters(f"{where}, losses cut off{n}", good["parameters"][:STRONGEST]))
    return more(f"{where} as a table", *parts)


def _parameters(where: str, parameters: Sequence[Parameter]) -> Markup:
    heads = ("hyperparameter", "claimed", "main", "with parents", "spread over trees", "total", "when active", "P(active)", "n active")
    rows = [
        (
            p["name"],
            "yes" if p["claimed"] else "no",
            share(p["main"]),
            share(p["with_parents"]),
            interval(p["spread"], shares=True),
            share(p["total"]),
            share(p["when_active"]),
            share(p["p_active"]),
            count(p["n_active"]),
        )
        for p in parameters
    ]
    return table(f"{where}: shares of the variance of the loss", heads, rows, words=(0, 1), faded=[not p["claimed"] for p in parameters])


def correlations(findings: Findings) -> Markup:
    """How far one budget's order is another's: by the search, and by probes."""
    unit = findings["study"]["unit"]
    found = []
    for caption, rows in (
        ("Rank correlation over what the search trained", findings["rank_correlation"]),
        ("Rank correlation over probes, drawn at random and trained at every budget", findings["rank_probe"]),
    ):
        if rows:
            heads = ("budgets", "n", "Spearman", "95\u00a0% interval", "p", "Kendall", "p", "note")
            found.append(
                table(caption, heads, [_correlation(r, unit) for r in rows], words=(0, 7), faded=[r["spearman"] is None for r in rows])
            )
    return join(found) if found else _nothing("No two budgets to compare yet.")


def _correlation(r: RankCorrelation, unit: str) -> tuple[str, ...]:
    return (
        f"{budget(r['low'], unit)} and {budget(r['high'], unit)}",
        count(r["n"]),
        number(r["spearman"]),
        interval(r["interval"]),
        p_value(r["p_value"]),
        number(r["kendall"]),
        p_value(r["kendall_p_value"]),
        r["note"] or "",
    )


def model(findings: Findings) -> Markup:
    """The model's picks against random ones."""
    unit, n = findings["study"]["unit"], loss_digits(findings, SHOWN_DIGITS)

    def row(m: ModelTest) -> tuple[str, ...]:
        medians = (number(m["median_model"], n), number(m["median_random"], n))
        numbers = (*medians, share(m["better"]), interval(m["interval"], shares=True))
        return budget(m["budget"], unit), count(m["n_model"]), count(m["n_random"]), *numbers, p_value(m["p_value"]), p_value(m["p_holm"])

    heads = ("budget", "n model", "n random", "median, model", "median, random", "model better", "95\u00a0% interval", "p", "p, Holm")
    rows = [row(m) for m in findings["model"]]
    return table("Configurations that entered at a budget", heads, rows) if rows else _nothing("No picks to compare.")


def pace(findings: Findings) -> Markup:
    """How the time was used."""
    p = findings["pace"]
    known = {
        "time from the first ask": seconds(p["used_s"]),
        "device hours": number(p["device_hours"]),
        "evaluations per hour": number(p["evaluations_per_hour"]),
        "workers that answered": count(p["n_workers"]),
        "workers' time spent in training": share(p["train_share"]),
        "median pause between trials": seconds(p["idle_median_s"]),
    }
    return facts(known | {f"evaluations on {device}": count(n) for device, n in findings["study"]["devices"].items()})


def ablation(findings: Findings) -> Markup:
    """The way from a known configuration to the incumbent."""
    one, unit, n = findings["ablation"], findings["study"]["unit"], loss_digits(findings, SHOWN_DIGITS)
    if one is None:
        return Markup("")
    start = (f"start: {one['start']}", "", "", number(one["loss"], n), interval(one["spread"], digits=n))
    rows = [
        (", ".join(s["names"]), settings(s["before"]), settings(s["after"]), number(s["loss"], n), interval(s["spread"], digits=n))
        for s in one["steps"]
    ]
    heads = ("change of", "from", "to", "predicted loss", "spread over trees")
    caption = f"From {one['start']} to the incumbent, predicted at {budget(one['budget'], unit)}"
    return more("Every step as a table", table(caption, heads, [start, *rows], words=(0, 1, 2)))


def comparison(findings: Findings) -> Markup:
    """Hand-designed networks beside the incumbent."""
    found = comparisons(findings)
    if not found:
        text = ("No hand-designed network was trained by this study's worker: ", element("code", "bohb-nas baselines"), " does that.")
        return element("p", *text, class_="refused")
    return join(_comparison(one, findings["study"]["unit"]) for one in found)


def _comparison(found: Comparison, unit: str) -> Markup:
    def row(r: Compared) -> tuple[str, ...]:
        error = (
            count(r["n_seeds"]),
            share(r["error"], _ERROR),
            share(r["sd"], _ERROR),
            interval(r["seed_interval"], shares=True, digits=_ERROR),
            interval(r["wilson"], shares=True, digits=_ERROR),
        )
        cost = (count(r["params"]), count(r["flops"]), seconds(r["train_s"]))
        return r["name"], *error, share(r["difference"], _ERROR), p_value(r["p_value"]), p_value(r["p_holm"]), *cost, r["test"] or ""

    uncertain = ("sd", "95\u00a0% over seeds", "95\u00a0% of images, one seed", "beyond the incumbent", "p", "p, Holm")
    heads = ("network", "seeds", "error", *uncertain, "parameters", "FLOPs", "trained", "test")
    each = "" if found["budget"] is None else f" after {budget(found['budget'], unit)} each"
    caption = f"{found['measured'].capitalize()} error{each}"
    return table(caption, heads, [row(r) for r in found["rows"]], words=(0, len(heads) - 1))


def _nothing(text: str) -> Markup:
    return element("p", text, class_="refused")
