"""The report in a browser: it opens without complaint at every width, says what it shows, and does what its controls say."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from findings_fakes import ODD_NAMES, findings, nothing

from bohb_nas.analysis.findings import Findings
from bohb_nas.report.html import page as report

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.slow
Show = Callable[..., "Page"]

PHONE, DESK = 390, 1280


def png(width: int, height: int) -> bytes:
    """A grey picture, by the PNG specification."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def refused() -> Findings:
    return findings(n_configs=8, refused="8 observations: nothing is claimed below 10")


STUDIES: dict[str, Callable[[], list[Findings]]] = {
    "usual": lambda: [findings(n_configs=120)],
    "several": lambda: [findings(), findings(seed=1, name="other", budgets=(400.0, 3600.0)), findings(seed=2, name="third", refused="no")],
    "nothing": lambda: [nothing()],
    "one": lambda: [findings(n_configs=1, budgets=(400.0,))],
    "refused": lambda: [refused()],
    "odd": lambda: [findings(names=ODD_NAMES, n_axes=12, name='<b>odd</b> & "co"', decades=300)],
    "wide": lambda: [findings(n_axes=69, n_configs=200, budgets=(100.0, 400.0, 1200.0, 3600.0, 10800.0), family="wrn")],
}


@cache
def html(name: str) -> str:
    return report(STUDIES[name](), pictures=[png(64, 32)])


@pytest.mark.parametrize("name", STUDIES)
def test_it_fits_its_window_and_no_text_covers_another(show: Show, name: str) -> None:
    """As it opens on a desk, and as it is drawn again for a phone."""
    shown = show(html(name), width=DESK)
    for width in (DESK, PHONE):
        shown.set_viewport_size({"width": width, "height": 900})
        shown.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        assert shown.evaluate(OVERLAPS) == []
    assert shown.locator("h2:visible").count() == 11


OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll(".plot > svg")) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent);
    const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
    boxes.forEach(([text, a], k) => {
      const inside = a.left > frame.left - 2 && a.right < frame.right + 2 && a.top > frame.top - 2 && a.bottom < frame.bottom + 2;
      if (!inside) found.push(`${text} is cut off`);
      for (const [other, b] of boxes.slice(k + 1)) {
        const [x, y] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
        if (x > 1 && y > 3) found.push(`${svg.getAttribute("aria-label").slice(0, 40)}: ${text} and ${other}`);
      }
    });
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["usual", "refused"])
def test_every_text_has_contrast(show: Show, name: str, scheme: str) -> None:
    """At least 4.5, by WCAG 2.2, section 1.4.3; so for what opens on demand."""
    shown = show(html(name), color_scheme=scheme)
    shown.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    seen = shown.evaluate(CONTRASTS)
    assert len(seen) > 100
    assert [one for one in seen if one[1] < 4.5] == []


CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    throw new Error("nothing behind");
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("script, noscript, option, .unseen, title")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parts(node instanceof SVGElement ? style.fill : style.color)), light(behind(node))].sort((x, y) => y - x);
    found.push([walker.currentNode.data.trim().slice(0, 40), (a + 0.05) / (b + 0.05)]);
  }
  return found;
}"""


def section(shown: "Page", name: str) -> "Locator":
    return shown.locator(f"#{name}")


def said(shown: "Page", name: str, n: int = 0) -> str:
    """The text alternative of a figure."""
    label = section(shown, name).locator(".plot > svg").nth(n).get_attribute("aria-label")
    assert label is not None
    return label


FIGURES = """(node) => {
  let hash = 7;
  for (const one of node.querySelectorAll(".plot svg, tbody, .overview, [role=status]")) {
    for (const letter of one.outerHTML) hash = (Math.imul(hash, 31) + letter.codePointAt(0)) | 0;
  }
  return hash;
}"""


@pytest.mark.parametrize(
    ("name", "places", "least"),
    [
        ("usual", ("trajectory", "importance", "effects", "budgets", "incumbent", "configurations", "trials"), 25),
        ("several", ("trajectory", "importance"), 12),
    ],
)
def test_no_control_is_without_effect(show: Show, name: str, places: tuple[str, ...], least: int) -> None:
    """Each is operated once, and changes a figure or table of its section."""
    shown = show(html(name))
    n = 0
    for place in places:
        part = section(shown, place)
        for group in part.locator("fieldset:has(input[type=radio])").all():
            for radio in group.get_by_role("radio", checked=False).all()[:1]:
                n += changes(part, FIGURES, lambda r=radio: r.check(force=True))  # type: ignore[misc]
        for box in part.get_by_role("checkbox").all():
            n += changes(part, FIGURES, lambda b=box: b.click())  # type: ignore[misc]
        for select in part.locator("select").all():
            values = select.evaluate("(one) => [...one.options].filter((o) => !o.selected).map((o) => o.value)")
            n += changes(part, FIGURES, lambda s=select, v=values[-1]: s.select_option(v))  # type: ignore[misc]
    assert n >= least


def changes(part: "Locator", what: str, act: Callable[[], Any]) -> int:
    before = part.evaluate(what)
    act()
    assert part.evaluate(what) != before
    return 1


def test_the_trajectory_leaves_out_what_is_switched_off(show: Show) -> None:
    shown = show(html("usual"))
    study = STUDIES["usual"]()[0]
    n = {b: sum(p["budget"] == b for p in study["trajectory"]) for b in (400.0, 1200.0, 3600.0)}
    assert f"{sum(n.values())} evaluations." in said(shown, "trajectory")
    section(shown, "trajectory").get_by_label("400s").uncheck()
    assert f"{n[1200] + n[3600]} evaluations, {n[400]} not shown" in said(shown, "trajectory")


def test_what_breaks_a_constraint_is_never_the_lowest_loss_so_far(show: Show) -> None:
    """Of all evaluations at the cheapest budget the first alone breaks none: its line stays where it began."""
    study = findings(n_configs=40)
    cheap = [row for row in study["trials"] if row["budget"] == 400.0 and row["loss"] is not None]
    for row in cheap[1:]:
        row["violates"] = True
    line = section(show(report([study])), "trajectory").locator("path.best").first.get_attribute("d")
    assert line is not None
    assert "H" in line
    assert "V" not in line


def test_each_study_of_the_trajectory_has_budgets_in_its_own_unit(show: Show) -> None:
    seconds, epochs = findings(budgets=(400.0, 1200.0)), findings(seed=1, name="other", budgets=(400.0, 3600.0))
    epochs["study"]["unit"] = "epochs"
    shown = show(report([seconds, epochs]))
    part = section(shown, "trajectory")
    boxes = part.locator("fieldset", has_text="Budgets").locator("label").all_inner_texts()
    assert [text.strip() for text in boxes] == ["400s", "400 epochs", "20m", "3600 epochs"]
    assert said(shown, "trajectory").endswith("at 20m.")
    everything = len(seconds["trajectory"]) + len(epochs["trajectory"])
    cheap = sum(p["budget"] == 400 for p in seconds["trajectory"])
    part.get_by_label("400s").uncheck()
    assert f"{everything - cheap} evaluations, {cheap} not shown" in said(shown, "trajectory")
    shown.get_by_role("combobox", name="Study").select_option("1")
    assert said(shown, "trajectory").endswith("at 3600 epochs.")


def test_importance_goes_by_the_chosen_budget_and_share(show: Show) -> None:
    shown = show(html("usual"))
    part = section(shown, "importance")
    budget = STUDIES["usual"]()[0]["budgets"][0]
    part.get_by_role("radio", name="400s").first.check(force=True)
    best = budget["parameters"][0]
    assert f"{budget['n']} observations" in part.locator(".note").first.inner_text()
    assert part.locator(".plot").first.locator("text.name").first.text_content() == best["name"]
    assert part.locator(".plot").first.locator("text.value").first.text_content() == f"{100 * best['with_parents']:.1f}\u00a0%"
    part.get_by_role("combobox", name="Share").select_option("total")
    most = max(p["total"] for p in budget["parameters"])
    assert part.locator(".plot").first.locator("text.value").first.text_content() == f"{100 * most:.1f}\u00a0%"


def test_a_refusal_is_told_in_its_words_and_draws_no_bar(show: Show) -> None:
    shown = show(html("refused"))
    part = section(shown, "importance")
    assert part.get_by_text("8 observations: nothing is claimed below 10", exact=True).is_visible()
    assert part.locator(".bar").count() == 0
    assert "no importance" in section(shown, "effects").inner_text()


def test_what_claims_nothing_is_grey(show: Show) -> None:
    shown = show(html("usual"))
    drawn = set()
    for row in section(shown, "importance").locator(".plot").first.locator("g[class*=series]").all():
        faded = "faded" in (row.get_attribute("class") or "")
        grey = row.locator(".bar").evaluate("(bar) => getComputedStyle(bar).fill") == "rgb(141, 149, 158)"
        drawn.add((faded, grey))
    assert drawn == {(True, True), (False, False)}


def test_a_small_curve_opens_the_large_one(show: Show) -> None:
    shown = show(html("usual"))
    small = section(shown, "effects").locator(".overview button").nth(3)
    name = small.get_attribute("title")
    assert name is not None
    small.click()
    assert section(shown, "effects").get_by_label("Hyperparameter").input_value() == name
    assert section(shown, "effects").locator(".plot text.title", has_text=name).count() == 1


def test_configurations_are_shown_of_a_budget_that_has_some(show: Show) -> None:
    """Nothing can be said of the only budget above yet: its trials have failed so far."""
    study = findings(n_configs=8, refused="8 observations: nothing is claimed below 10")
    dearest = max(row["budget"] for row in study["trials"])
    for row in study["trials"]:
        if row["budget"] == dearest:
            row["status"], row["loss"] = "crashed", None
    study["trajectory"] = [p for p in study["trajectory"] if p["budget"] != dearest]
    study["incumbents"] = [p for p in study["incumbents"] if p["budget"] != dearest]
    study["incumbent"] = None
    part = section(show(report([study])), "configurations")
    n = sum(row["budget"] == 1200.0 and row["loss"] is not None for row in study["trials"])
    assert part.get_by_role("radio", name="20m").is_checked()
    assert f"{n} of {n} evaluations" in part.locator("output").inner_text()


def test_the_slider_keeps_the_lowest_losses(show: Show) -> None:
    shown = show(html("usual"))
    study = STUDIES["usual"]()[0]
    losses = sorted(t["loss"] for t in study["trials"] if t["budget"] == 400 and t["loss"] is not None)
    part = section(shown, "configurations")
    part.get_by_role("radio", name="400s").check(force=True)
    part.get_by_role("slider").fill("10")
    kept = round(len(losses) / 10)
    assert f"{kept} of {len(losses)} evaluations, loss up to {losses[kept - 1]:.4g}" in part.locator("output").inner_text()


def test_keys_move_along_points_and_say_them(show: Show) -> None:
    shown = show(html("usual"))
    plot = section(shown, "trajectory").locator(".plot")
    plot.focus()
    first = STUDIES["usual"]()[0]["trajectory"][0]
    shown.keyboard.press("ArrowRight")
    assert f"trial {first['trial_id']}," in plot.locator(".tip").inner_text()
    assert f"trial {first['trial_id']}," in plot.locator("[aria-live]").inner_text()
    shown.keyboard.press("ArrowRight")
    assert f"trial {first['trial_id']}," not in plot.locator(".tip").inner_text()
    shown.keyboard.press("Home")
    assert f"trial {first['trial_id']}," in plot.locator(".tip").inner_text()
    shown.keyboard.press("Escape")
    assert plot.locator(".tip").is_hidden()


def test_the_pointer_finds_the_nearest_point(show: Show) -> None:
    shown = show(html("usual"))
    plot = section(shown, "importance").locator(".plot").first
    plot.scroll_into_view_if_needed()
    box = plot.locator(".bar").first.bounding_box()
    assert box is not None
    shown.mouse.move(box["x"] + box["width"], box["y"] + box["height"] / 2)
    assert plot.locator(".tip strong").inner_text().startswith(plot.locator("text.name").first.text_content() or "?")
    shown.mouse.move(2, 2)
    assert plot.locator(".tip").is_hidden()


def test_a_network_s_tooltip_tells_its_p_value_and_claims_nothing(show: Show) -> None:
    study = findings(n_configs=12)
    assert study["comparison"] is not None
    study["comparison"]["rows"][1] |= {"error": 0.0023, "seed_interval": None, "n_seeds": 1, "p_holm": 0.17}
    shown = show(report([study]))
    plot = section(shown, "comparison").locator(".plot").first
    plot.focus()
    told = []
    for _ in study["comparison"]["rows"]:
        shown.keyboard.press("ArrowRight")
        told.append(plot.locator(".tip").inner_text().splitlines())
    (lines,) = [lines for lines in told if lines[0].startswith("ResNet-20")]
    assert lines == ["ResNet-20: 0.23\u00a0%", "1 seed", "against the incumbent: p 0.17 (Holm)"]


def test_every_control_has_a_name_and_is_reached_by_keys(show: Show) -> None:
    shown = show(html("several"))
    assert shown.locator("input, select, button").count() > 40
    nameless = """() => [...document.querySelectorAll("input, select, button")]
        .filter((one) => !(one.labels?.[0]?.textContent ?? one.textContent).trim())
        .map((one) => one.outerHTML)"""
    assert shown.evaluate(nameless) == []
    assert shown.evaluate("() => [...document.querySelectorAll('[onclick], [style]:not(.tip)')].length") == 0
    assert shown.evaluate(
        "() => [...document.querySelectorAll('svg[role=img]')].every((one) => one.getAttribute('aria-label').length > 20)"
    )
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "Skip to the findings"
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.tagName") == "SELECT"
    assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def rows(shown: "Page") -> list[str]:
    return section(shown, "trials").locator("tbody .opener").all_inner_texts()


def test_trials_are_filtered_sorted_and_opened(show: Show) -> None:
    shown = show(html("usual"))
    part, told = section(shown, "trials"), STUDIES["usual"]()[0]["trials"]
    status = part.get_by_role("status")
    assert rows(shown) == [t["trial_id"] for t in told[:50]]
    part.get_by_label("Filter").fill("loss<0.15 origin=model")
    low = [t for t in told if t["loss"] is not None and t["loss"] < 0.15 and t["origin"] == "model"]
    assert status.inner_text().startswith(f"{len(low)} of {len(told)} trials")
    part.get_by_role("button", name="loss").click()
    assert rows(shown)[0] == min(low, key=lambda t: t["loss"] or 0)["trial_id"]
    assert part.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    part.get_by_role("button", name="loss").click()
    assert rows(shown)[0] == max(low, key=lambda t: t["loss"] or 0)["trial_id"]
    part.get_by_label("Filter").fill("")
    part.get_by_label("Status").select_option("crashed")
    crashed = [t for t in told if t["status"] == "crashed"]
    assert len(rows(shown)) == len(crashed)
    part.locator(".opener").first.click()
    opened = part.locator(".full").inner_text()
    one = next(t for t in crashed if t["trial_id"] == rows(shown)[0])
    assert all(name in opened for name in one["config"])
    assert part.locator(".opener").first.get_attribute("aria-expanded") == "true"
    part.get_by_label("Filter").fill("no such trial")
    assert status.inner_text() == f"None of {len(told)} trials"


def test_counts_just_below_a_step_are_of_the_next_one(show: Show) -> None:
    shown = show(html("one"))
    assert shown.evaluate("[999600, 999499, 999950000, 27312000].map(count)") == ["1\u00a0M", "999\u202f499", "1\u00a0G", "27.3\u00a0M"]


def test_losses_that_differ_by_little_are_told_apart(show: Show) -> None:
    study = findings(n_configs=40, budgets=(400.0,))
    loss = {row["trial_id"]: -1000000.82 + k / 100 for k, row in enumerate(study["trials"]) if row["loss"] is not None}
    for row in study["trials"]:
        row["loss"] = loss.get(row["trial_id"])
    for point in study["trajectory"]:
        point["loss"] = loss[point["trial_id"]]
    shown = show(report([study]))
    part = section(shown, "trials")
    part.get_by_role("button", name="loss").click()
    assert rows(shown)[:3] == sorted(loss, key=loss.__getitem__)[:3]
    seen = [text for text in part.locator("tbody tr td:nth-child(2)").all_inner_texts() if text != "–"]
    assert (seen[0], len(set(seen))) == ("−1000000.82", len(loss))
    part.get_by_label("Filter").fill("loss<-1000000.815")
    assert len(rows(shown)) == 1
    ticks = section(shown, "trajectory").locator("svg text[text-anchor=end]").all_text_contents()
    assert len(set(ticks)) == len(ticks) > 2, "one text for each tick of the loss"


def test_names_with_signs_are_filtered_by(show: Show) -> None:
    study = findings(n_configs=5, budgets=(400.0,))
    for k, row in enumerate(study["trials"]):
        row["config"] = {"a<b>=c": k, "a": f"b>=c={k}"}
    shown = show(report([study]))
    for words, kept in (("a<b>=c<=1", [0, 1]), ("a<b>=c=2", [2]), ("a=b>=c=1", [1])):
        section(shown, "trials").get_by_label("Filter").fill(words)
        assert rows(shown) == [study["trials"][k]["trial_id"] for k in kept], words


def test_pages_of_trials_are_turned(show: Show) -> None:
    shown = show(html("usual"))
    part, told = section(shown, "trials"), STUDIES["usual"]()[0]["trials"]
    assert part.get_by_role("button", name="Previous").is_disabled()
    part.get_by_role("button", name="Next").click()
    assert rows(shown) == [t["trial_id"] for t in told[50:100]]
    part.get_by_role("button", name="Previous").click()
    assert rows(shown) == [t["trial_id"] for t in told[:50]]


def test_the_theme_is_the_systems_until_it_is_chosen(show: Show) -> None:
    shown = show(html("usual"), color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = shown.evaluate(paper)
    shown.get_by_label("Theme").select_option("light")
    light = shown.evaluate(paper)
    assert light != dark
    shown.emulate_media(color_scheme="light")
    shown.get_by_label("Theme").select_option("dark")
    assert shown.evaluate(paper) == dark
    shown.get_by_label("Theme").select_option("auto")
    assert shown.evaluate(paper) == light


def test_the_chosen_study_is_the_one_that_is_shown(show: Show) -> None:
    shown = show(html("several"))
    studies = STUDIES["several"]()
    assert shown.locator("#incumbent .study-name:visible").all_inner_texts() == ["study"]
    shown.get_by_role("combobox", name="Study").select_option("1")
    assert shown.locator("#incumbent .study-name:visible").all_inner_texts() == ["other"]
    assert section(shown, "trials").get_by_role("status").inner_text().startswith(f"{len(studies[1]['trials'])} of")
    assert shown.locator("#summary .of-study:visible").count() == 3
    part = section(shown, "trajectory")
    everything = sum(len(s["trajectory"]) for s in studies)
    assert f"{everything} evaluations." in said(shown, "trajectory")
    part.get_by_label("third").uncheck()
    assert f"{everything - len(studies[2]['trajectory'])} evaluations," in said(shown, "trajectory")


def test_without_scripts_it_still_says_what_was_found(show: Show) -> None:
    shown = show(html("usual"), java_script_enabled=False)
    assert shown.get_by_text("need JavaScript").is_visible()
    assert shown.get_by_text("Only promoted configurations were trained for long.").is_visible()
    assert shown.locator("#budgets table").count() == 3
    shown.locator("#importance summary").first.click()
    assert shown.locator("#importance table").first.is_visible()


def test_on_paper_all_is_open_light_and_no_wider_than_the_page(show: Show) -> None:
    shown = show(html("usual"), width=800, color_scheme="dark")
    shown.emulate_media(media="print")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.locator("nav").is_hidden()
    assert shown.evaluate("document.documentElement.scrollWidth") == 800
    assert shown.evaluate("getComputedStyle(document.querySelector('h2')).color") == "rgb(29, 35, 41)"
    assert shown.locator("details:not([open])").count() == 0
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown.locator("details[open]").count() == 0


def test_hostile_names_stay_names(show: Show) -> None:
    evil = "</script><img src=x onerror=\"document.title='taken'\">"
    study = findings(names=(evil, "<svg onload=alert(1)>"), name=evil)
    study["trials"][0]["message"] = evil
    study["sentences"][0]["text"] = evil
    shown = show(report([study]))
    shown.get_by_label("Filter").fill("onerror")
    assert shown.locator("img").count() == 0
    assert shown.title() == f"{evil} · bohb-nas"
    assert shown.locator("h1").inner_text() == evil
    assert len(rows(shown)) == 1


def test_ten_thousand_evaluations_are_looked_through(show: Show) -> None:
    study = findings(n_configs=6400, n_axes=25)
    assert len(study["trials"]) > 10_000
    shown = show(report([study]))
    assert rows(shown) == [t["trial_id"] for t in study["trials"][:50]]
    shown.get_by_label("Filter").fill("loss<0.05")
    low = sum(t["loss"] is not None and t["loss"] < 0.05 for t in study["trials"])
    assert section(shown, "trials").get_by_role("status").inner_text().startswith(f"{low} of")
    assert shown.evaluate("document.querySelectorAll('*').length") < 10_000
