"""What the report says in words: its header, its sentences, and the incumbent."""

import base64
import struct
from collections.abc import Sequence
from html import escape

from bohb_nas.analysis.findings import Findings, Sentence
from bohb_nas.durations import budget_text as budget
from bohb_nas.durations import counted
from bohb_nas.report.digits import loss_digits
from bohb_nas.report.html.columns import SHOWN_DIGITS
from bohb_nas.report.html.markup import Markup, element, facts, join, more
from bohb_nas.report.html.network import drawing
from bohb_nas.report.html.words import count, counts, number, seconds, value

_ABOUT = {
    "importance": "What matters",
    "budgets": "Short and long trainings",
    "model": "The model",
    "comparison": "Hand-designed networks",
    "pace": "Pace",
    "caution": "Caution",
}
_FEW = 3
"""Sentences without a claim that are shown at once."""
_STAIRS = "M6 8 H18 V22 H30 V34 H42"
_SIGN = element(
    "svg",
    element("path", d=_STAIRS, fill="none", stroke="currentColor", stroke_width=4),
    width=48,
    height=44,
    viewBox="0 0 48 44",
    aria_hidden="true",
)
"""An incumbent's line going down; the script learns from it what an SVG element is."""
_PICTURE_WIDTH = 768
"""Up to which a small picture is enlarged, in whole steps."""


def of_study(k: int, studies: Sequence[Findings], *content: str, named: bool = True) -> Markup:
    """What is said of one study, under its name where there are several."""
    name = [element("h3", studies[k]["study"]["name"], class_="study-name")] if named and len(studies) > 1 else []
    return element("div", *name, *content, class_="of-study", data_study=k)


def header(studies: Sequence[Findings]) -> Markup:
    """Names, and what was searched."""
    lines = [element("p", (f"{f['study']['name']}: " if len(studies) > 1 else "") + _searched(f), class_="searched") for f in studies]
    names = ", ".join(f["study"]["name"] for f in studies)
    note = "Figures, sorting and filtering need JavaScript; what is said and every table that it rests on are below without it."
    return element(
        "header",
        _SIGN,
        element("div", element("p", "bohb-nas · analysis", class_="kicker"), element("h1", names), *lines),
        element("div", id="theme"),
        element("p", note, class_="refused", id="scriptless"),
    )


def _searched(findings: Findings) -> str:
    s = findings["study"]
    ends = [budget(b, s["unit"]) for b in (s["budgets"][:1] + s["budgets"][-1:])]
    ladder = f"{len(s['budgets'])} budgets from {ends[0]} to {ends[-1]}" if len(s["budgets"]) > 1 else f"budget {ends[0]}"
    parts = [f"space {s['space']}", *([s["dataset"]] if s["dataset"] else []), s["method"], s["worker"], ladder, f"seed {s['seed']}"]
    return " · ".join([*parts, "finished" if s["done"] else "still running, or interrupted"])


def section(studies: Sequence[Findings]) -> Markup:
    """Key figures and sentences."""
    return element(
        "section",
        element("h2", "Summary", id="summary-title"),
        *(of_study(k, studies, _figures(f), _sentences(f["sentences"])) for k, f in enumerate(studies)),
        id="summary",
        aria_labelledby="summary-title",
    )


def _figures(findings: Findings) -> Markup:
    s, best, pace = findings["study"], findings["incumbent"], findings["pace"]
    failed = sum(n for status, n in s["by_status"].items() if status != "ok")
    shown = [
        (
            "lowest loss",
            number(best["loss"], loss_digits(findings, SHOWN_DIGITS)) if best else "none yet",
            f"after {budget(best['budget'], s['unit'])}" if best else "no trial ended well",
        ),
        ("trials told", count(s["n_trials"]), counts(s["by_origin"])),
        ("failed", count(failed), counts({k: v for k, v in s["by_status"].items() if k != "ok"}) if failed else "none so far"),
        ("device hours", number(pace["device_hours"]), f"in {seconds(pace['used_s'])}"),
        (
            "evaluations per hour",
            number(pace["evaluations_per_hour"]),
            counted(count(pace["n_workers"]), "worker") if pace["n_workers"] else "",
        ),
    ]
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", figure, class_="big"), element("dd", remark, class_="remark"))
            for name, figure, remark in shown
        ),
        class_="figures",
    )


def _sentences(sentences: Sequence[Sentence]) -> Markup:
    """What holds, then what does not: grey, and on demand where it is much."""
    held = [s for s in sentences if s["holds"]]
    others = [s for s in sentences if not s["holds"]]
    if len(others) <= _FEW:
        return _listed(sentences)
    return join((_listed(held), more(f"{len(others)} more questions, which the statistics leave open", _listed(others))))


def _listed(sentences: Sequence[Sentence]) -> Markup:
    """Sentences by what they are about, names as code; those without a claim say so to who does not see that they are grey."""
    items = []
    before = None
    for s in sentences:
        label = element("span", _ABOUT[s["about"]], class_="about again" if s["about"] == before else "about")
        text = [] if s["holds"] else [element("span", "Not claimed: ", class_="unseen")]
        for k, part in enumerate(s["text"].split("`")):
            text.append(element("code", part) if k % 2 else Markup(escape(part)))
        items.append(element("li", label, element("span", *text), class_=f"{s['about']}{'' if s['holds'] else ' faded'}"))
        before = s["about"]
    return element("ul", *items, class_="sentences")


def _of_its_model(*, there: bool) -> str:
    return "a trained network of it is ready for use" if there else "the trained network that it left is no longer there"


def incumbent(findings: Findings, picture: bytes | None) -> Markup:
    """The incumbent's configuration, architecture and training images."""
    best = findings["incumbent"]
    if best is None:
        return element("p", "No trial ended well yet: there is no incumbent.", class_="refused")
    known = [
        f"trial {best['trial_id']}, {best['origin']}",
        f"loss {number(best['loss'], loss_digits(findings, SHOWN_DIGITS))} after {budget(best['budget'], findings['study']['unit'])}",
        *([f"{count(best['params'])} parameters"] if best["params"] is not None else []),
        *([f"{count(best['flops'])} FLOPs per image"] if best["flops"] is not None else []),
        *([_of_its_model(there=best["model_there"])] if best["ready_to_use"] else []),
    ]
    parts = [element("p", " · ".join(known), class_="note"), facts({name: value(one) for name, one in best["config"].items()})]
    if best["network"] is not None:
        drawn = drawing(best["network"]) or element("p", "Its worker left a network in a form that is not known here.", class_="refused")
        parts += [element("h3", "Architecture"), element("div", drawn, class_="wide", tabindex=0, role="region", aria_label="Architecture")]
    if picture is not None:
        parts += [element("h3", "What its augmentation makes of images"), _image(picture)]
    return join(parts)


def _image(picture: bytes) -> Markup:
    """The PNG in the page, small ones enlarged without smoothing."""
    width, height = struct.unpack(">II", picture[16:24])  # of its header chunk, which every PNG begins with
    scale = max(1, _PICTURE_WIDTH // width)
    coded = base64.b64encode(picture).decode()
    return element(
        "img",
        src=f"data:image/png;base64,{coded}",
        alt="Training images of the incumbent after augmentation, in a grid",
        width=width * scale,
        height=height * scale,
        class_="samples",
    )
