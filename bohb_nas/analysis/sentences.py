"""What may be said of a study in a sentence: a claim only where the statistics allow it, else that they do not.

* A hyperparameter is named when its share lies above what chance reaches.
* A cheap budget ranks like a dear one when the 95 % interval of Spearman's rho lies above 0.5. It does not when the interval lies below,
  and misleads when it lies below 0. Neither can promoted configurations show: selection at several budgets can turn even the sign of
  their ranks. Probes come first; what was promoted is heard where probes cannot tell.
* The model is better than random picks when the Holm-adjusted p-value is below 0.05; likewise worse.
* The incumbent is better than a baseline when the Holm-adjusted p-value, times the configurations among which it was chosen by the same
  error (Bonferroni), is below 0.05; a baseline is better than the incumbent when the p-value is. One seed each allows no claim: how much
  seeds differ is not known.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from bohb_nas.analysis.findings import Budget, Compared, Comparison, ModelTest, Pace, RankCorrelation, Sentence
from bohb_nas.analysis.ranks import FEWEST
from bohb_nas.durations import counted, format_duration, p_value, rough, whole_seconds

LEVEL = 0.05
ALIKE = 0.5
"""Spearman's rho from which on a budget ranks like another."""
_MOST_NAMED = 3

Names = Mapping[float, str]
"""Of budgets, for people."""


def of_importance(budgets: Sequence[Budget], names: Names) -> Iterator[Sentence]:
    """What matters at each budget."""
    for budget in budgets:
        at = f"At {names[budget['budget']]}" + (
            f", among {counted(budget['n'], 'mostly promoted configuration')}," if _mostly_promoted(budget) else ""
        )
        claimed = [p for p in budget["parameters"] if p["claimed"]]
        chance = "" if budget["threshold"] is None else f" ({_share(budget['threshold'])})"
        if budget["refused"] is not None:
            text = f"{at} nothing can be said of importance: {budget['refused']}"
        elif not claimed:
            text = f"{at} no hyperparameter explains more of the variation than chance reaches{chance}, n = {budget['n']}"
        else:
            first, *others = claimed[:_MOST_NAMED]
            told = f"`{first['name']}` explains {_share(first['with_parents'])} (spread {_range(first['spread'])}) of the variation"
            told += "".join(f", `{p['name']}` {_share(p['with_parents'])} ({_range(p['spread'])})" for p in others)
            more = len(claimed) - 1 - len(others)
            rest = f"{more} more are" if more > 1 else "one more is" if more else "nothing else is"
            text = f"{at} {told}; {rest} above what chance reaches{chance}, n = {budget['n']}"
        yield Sentence(about="importance", text=text, holds=bool(claimed))


def _mostly_promoted(budget: Budget) -> bool:
    return 2 * budget["n_promoted"] > budget["n"]


def of_budgets(search: Sequence[RankCorrelation], probe: Sequence[RankCorrelation], names: Names) -> Iterator[Sentence]:
    """Whether each budget ranks like the next dearer one, and like the dearest that it can be held against; from probes where possible."""
    for low in sorted({pair["low"] for pair in search} | {pair["low"] for pair in probe}):
        drawn = {pair["high"]: pair for pair in probe if pair["low"] == low}
        found = {pair["high"]: pair for pair in search if pair["low"] == low}
        said = {high: _better_known(drawn.get(high), found.get(high), names) for high in sorted(drawn.keys() | found.keys())}
        known = [sentence for sentence, figure in said.values() if figure]
        unknown = [sentence for sentence, figure in said.values() if not figure]
        yield from known[:1] + known[1:][-1:] if known else unknown[:1]


def _better_known(drawn: RankCorrelation | None, found: RankCorrelation | None, names: Names) -> tuple[Sentence, bool]:
    """What is said of a pair of budgets, and whether there is a figure: by probes, unless only what was promoted can tell."""
    by_probes = _ranks(drawn, names, drawn=True) if drawn is not None and drawn["spearman"] is not None else None
    by_search = _ranks(found, names, drawn=False) if found is not None and found["spearman"] is not None else None
    for sentence in (by_probes, by_search):
        if sentence is not None and sentence["holds"]:
            return sentence, True
    if (sentence := by_probes or by_search) is not None:
        return sentence, True
    pair = found if found is not None else drawn
    assert pair is not None
    text = f"Whether {names[pair['low']]} ranks configurations like {names[pair['high']]} cannot be told: {pair['note']}"
    return Sentence(about="budgets", text=text, holds=False), False


def _ranks(pair: RankCorrelation, names: Names, *, drawn: bool) -> Sentence:
    assert pair["spearman"] is not None
    assert pair["interval"] is not None
    (lowest, highest), low, high = pair["interval"], names[pair["low"]], names[pair["high"]]
    promoted = not drawn and pair["note"] is not None
    whom = " probes" if drawn else " after promotion" if promoted else ""
    figures = f"Spearman {pair['spearman']:.2f} [{lowest:.2f}, {highest:.2f}], n = {pair['n']}{whom}"
    if lowest > ALIKE:
        return Sentence(about="budgets", text=f"{low} ranks configurations like {high}: {figures}", holds=True)
    if highest < ALIKE and not promoted:
        word = "misleads: it ranks configurations against" if highest < 0 else "does not rank configurations like"
        return Sentence(about="budgets", text=f"{low} {word} {high}: {figures}", holds=True)
    why = "; promotion hides how far it does, `run --rank-probe` shows it" if promoted else ""
    return Sentence(about="budgets", text=f"Whether {low} ranks configurations like {high} cannot be told: {figures}{why}", holds=False)


def of_model(tests: Sequence[ModelTest], names: Names) -> Iterator[Sentence]:
    """Whether the model helps, at every budget where there are enough picks; one sentence where there are nowhere."""
    tested = [one for one in tests if one["p_holm"] is not None]
    for one in tested:
        assert one["better"] is not None
        assert one["interval"] is not None
        assert one["p_holm"] is not None
        figures = (
            f"the lower loss in {_share(one['better'])} of pairs {_interval(one['interval'])}, "
            f"p {p_value(one['p_holm'])}, n = {one['n_model']} and {one['n_random']}"
        )
        told = one["p_holm"] < LEVEL and one["better"] != 0.5
        word = "not told apart from" if not told else "better than" if one["better"] > 0.5 else "worse than"
        yield Sentence(about="model", text=f"At {names[one['budget']]} the model's picks are {word} random ones: {figures}", holds=told)
    if not tested and any(one["n_model"] for one in tests):
        text = f"Whether the model helps cannot be told: no budget has {FEWEST} of its picks and {FEWEST} random ones"
        yield Sentence(about="model", text=text, holds=False)


def of_comparison(found: Comparison | None, names: Names, *, n_searched: int, incumbent: str | None) -> Iterator[Sentence]:
    """The incumbent, or the best at the baselines' budget where that is another, beside each baseline.

    Args:
        found: the comparison.
        names: of budgets.
        n_searched: configurations of that budget among which it was chosen.
        incumbent: the trial that is the study's.
    """
    own = next((row for row in found["rows"] if row["kind"] == "incumbent"), None) if found is not None else None
    if found is None or own is None:
        return
    for row in found["rows"]:
        if row["kind"] == "baseline" and row["difference"] is not None:
            at = f"At {names.get(row['budget'], format_duration(row['budget']))}"
            who = "the incumbent" if own["name"] == incumbent else f"{own['name']}, the best of the search there,"
            yield _compared(row, own, n_searched, at=at, who=who)


def _compared(row: Compared, own: Compared, n_searched: int, *, at: str, who: str) -> Sentence:
    assert row["difference"] is not None
    figures = f"{_loss(own)} against {_loss(row)}"
    if row["p_holm"] is None:
        return Sentence(about="comparison", text=f"{at} {who} has {figures} of {row['name']}; {row['test']}", holds=False)
    told = f"p {p_value(row['p_holm'])} by {row['test']}"
    if row["n_seeds"] == own["n_seeds"] == 1:
        text, holds = f"{at} {who} has {figures} of {row['name']}, one seed each, which allows no claim; {told}", False
    elif row["difference"] > 0 and row["p_holm"] * n_searched < LEVEL:
        text, holds = f"{at} {who} beats {row['name']}: {figures}, {told}, chosen among {n_searched}", True
    elif row["difference"] < 0 and row["p_holm"] < LEVEL:
        text, holds = f"{at} {row['name']} beats {who.removesuffix(',')}: {figures}, {told}", True
    else:
        text, holds = (
            f"{at} {who.removesuffix(',')}, chosen among {n_searched}, and {row['name']} are not told apart: {figures}, {told}",
            False,
        )
    return Sentence(about="comparison", text=text, holds=holds)


def of_pace(pace: Pace) -> Iterator[Sentence]:
    """How the time was used."""
    if pace["evaluations_per_hour"] is None or not math.isfinite(pace["used_s"]):
        return
    share = "" if pace["train_share"] is None else f"; workers trained {_share(pace['train_share'])} of their time"
    span = whole_seconds(pace["used_s"])
    hours, evaluations = counted(rough(pace["device_hours"]), "device hour"), counted(rough(pace["evaluations_per_hour"]), "evaluation")
    text = f"{hours} in {span}, {evaluations} an hour{share}"
    yield Sentence(about="pace", text=text, holds=True)


def caution(text: str) -> Sentence:
    """What whoever reads the rest should know."""
    return Sentence(about="caution", text=text, holds=True)


def violating(n: int, constraints: Sequence[str]) -> Sentence:
    """That n results break constraints, each of them one or more of these."""
    breaks, they = ("breaks", "it counts as an observation") if n == 1 else ("break", "they count as observations")
    return caution(f"{counted(n, 'result')} {breaks} {' or '.join(constraints)}: {they}, not as the incumbent")


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _range(limits: Sequence[float]) -> str:
    return f"{100 * limits[0]:.0f} to {100 * limits[1]:.0f} %"


def _interval(limits: Sequence[float]) -> str:
    return f"[{100 * limits[0]:.0f}, {100 * limits[1]:.0f} %]"


def _loss(row: Compared) -> str:
    return f"{row['error']:.4g}"
