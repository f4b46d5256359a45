"""The page itself: head with its policy, header, and a section for each question that a search leaves."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from bohb_nas.analysis.findings import Findings
from bohb_nas.report.html import summary, tables
from bohb_nas.report.html.columns import columns, script_text
from bohb_nas.report.html.markup import Markup, element, join

_SCRIPTS = ("tools", "figure", "rows", "trajectory", "importance", "effects", "maps", "budgets", "incumbent", "parallel", "trials", "start")
"""In the order in which they build on each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """One question: its figures are drawn by the script into `charts`, its tables are written here."""

    id: str
    title: str
    lead: str
    charts: tuple[str, ...] = ()
    tables: Callable[[Findings], Markup] | None = None


_SECTIONS = (
    _Section(
        id="trajectory",
        title="Trajectory",
        lead="Every evaluation of the search that ended well, when it was told. The line is the incumbent: the lowest loss at the highest "
        "budget so far; it may rise where a higher budget is reached.",
        charts=("trajectory",),
        tables=tables.incumbents,
    ),
    _Section(
        id="importance",
        title="Importance",
        lead="How much of the variance of the loss, over the whole search space, each hyperparameter explains, by itself and with those "
        "that switch it on. A bar that does not reach beyond what chance reaches is grey: nothing is claimed of it. Whiskers are the "
        "spread over the trees of the forest, no confidence interval.",
        charts=("importance", "pairs"),
        tables=tables.importance,
    ),
    _Section(
        id="effects",
        title="Effects",
        lead="The mean loss over everything else at each value of a hyperparameter, where it is active. The band is the spread over trees; "
        "ticks below are the values that were tried.",
        charts=("effects", "maps"),
    ),
    _Section(
        id="budgets",
        title="Budgets",
        lead="Whether a short training says which configuration is good after a long one. Promotion keeps the best, and that alone makes "
        "correlations smaller: read them with their notes.",
        charts=("correlation", "shapes"),
        tables=lambda f: join((tables.correlations(f), tables.budgets(f))),
    ),
    _Section(
        id="model",
        title="Model and chance",
        lead="Whether configurations that the model picked have lower losses than random ones, among those that entered at a budget. "
        "50\u00a0% is no difference.",
        charts=("model",),
        tables=tables.model,
    ),
    _Section(
        id="time",
        title="Time",
        lead="Device hours spent at each budget, as they add up, and how the workers used theirs.",
        charts=("hours",),
        tables=tables.pace,
    ),
    _Section(
        id="incumbent",
        title="Incumbent",
        lead="The configuration with the lowest loss at the highest budget that has one.",
        charts=("learning", "ablation"),
        tables=tables.ablation,
    ),
    _Section(
        id="comparison",
        title="Hand-designed networks",
        lead="Trained by the same worker for the same time. Points are means over seeds, whiskers 95\u00a0% intervals over seeds.",
        charts=("comparison",),
        tables=tables.comparison,
    ),
    _Section(
        id="configurations",
        title="Configurations",
        lead="Each line is a configuration from its hyperparameters to its loss. The slider keeps the lines of the lowest losses.",
        charts=("parallel",),
    ),
    _Section(id="trials", title="Trials", lead="Everything that was told, in full.", charts=("trials",)),
)


def page(studies: Sequence[Findings], *, pictures: Sequence[bytes | None] = ()) -> str:
    """The whole report: one text that needs no other file and no network, the same for the same findings.

    Args:
        studies: what was found, one study or more; the first is shown first.
        pictures: for each study the PNG of its incumbent's training images, judged by `analysis.incumbent.picture`; None: there is none.
    """
    shown = [*pictures, *[None] * (len(studies) - len(pictures))]
    style, script = _asset("page.css"), "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    title = ", ".join(f["study"]["name"] for f in studies)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} · bohb-nas"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("a", "Skip to the findings", href="#main", class_="skip"),
        summary.header(studies),
        _navigation(studies),
        element("main", summary.section(studies), *(_section(s, studies, shown) for s in _SECTIONS), id="main", tabindex=-1),
        element("footer", "Made by bohb-nas analyze. Nothing on this page comes from the network."),
        element("script", Markup(script_text([columns(f) for f in studies])), type="application/json", id="data"),
        element("script", Markup(script)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What the browser may load: this style, this script, pictures in the page, and nothing else."""
    style_hash, script_hash = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _navigation(studies: Sequence[Findings]) -> Markup:
    links = [("summary", "Summary"), *((s.id, s.title) for s in _SECTIONS)]
    chooser = [element("div", id="choose-study")] if len(studies) > 1 else []
    return element(
        "nav",
        *chooser,
        element("ul", *(element("li", element("a", title, href=f"#{name}")) for name, title in links)),
        aria_label="Sections",
    )


def _section(section: _Section, studies: Sequence[Findings], pictures: Sequence[bytes | None]) -> Markup:
    drawn = [element("div", id=f"chart-{name}", class_="chart") for name in section.charts]
    before, after = [], []
    for k, findings in enumerate(studies):
        if section.id == "incumbent":
            before.append(summary.of_study(k, studies, summary.incumbent(findings, pictures[k])))
        if section.tables is not None:
            after.append(summary.of_study(k, studies, section.tables(findings), named=not before))
    return element(
        "section",
        element("h2", section.title, id=f"{section.id}-title"),
        element("p", section.lead, class_="lead"),
        *before,
        *drawn,
        *after,
        id=section.id,
        aria_labelledby=f"{section.id}-title",
    )
