"""The report's text: what it lets a browser load, what it escapes, how long it is, and what its data say."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from findings_fakes import findings, nothing

import bohb_nas
from bohb_nas.analysis.findings import Findings, Row
from bohb_nas.records import Value
from bohb_nas.report.html import page, words
from bohb_nas.report.html.columns import columns, script_text
from bohb_nas.report.html.markup import Markup, element
from bohb_nas.report.html.network import drawing, folded

EVIL = "</script><img src=x onerror=alert(1)>\u2028'\""
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\0\x40" + b"\0\0\0\x20"
"""The beginning of one, 64 wide and 32 high."""


class Reader(HTMLParser):
    """Elements with their attributes, what stands in style and script, and the text outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self.text = ""
        self._at = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._at = f"{tag} {dict(attrs).get('type', '')}".strip() if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._at = ""

    def handle_data(self, data: str) -> None:
        if self._at:
            self.inside[self._at] = self.inside.get(self._at, "") + data
        else:
            self.text += data

    @property
    def data(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.inside["script application/json"])
        return found


def test_the_policy_names_the_style_and_the_script_that_are_there() -> None:
    read = Reader(page([findings()]))
    policy = next(attrs["content"] for tag, attrs in read.elements if attrs.get("http-equiv") == "Content-Security-Policy")
    digests = {kind: base64.b64encode(hashlib.sha256(read.inside[kind].encode()).digest()).decode() for kind in ("style", "script")}
    assert policy is not None
    assert policy.split("; ")[:4] == [
        "default-src 'none'",
        f"style-src 'sha256-{digests['style']}'",
        f"script-src 'sha256-{digests['script']}'",
        "img-src data:",
    ]


@pytest.mark.parametrize("study", [findings(), nothing(), findings(names=(EVIL,), name=EVIL)], ids=["usual", "nothing", "evil"])
def test_nothing_is_fetched_and_no_attribute_acts(study: Any) -> None:
    text = page([study], pictures=[PNG])
    read = Reader(text)
    assert re.findall(r"https?://|url\(|@import|//cdn", text) == []
    for tag, attrs in read.elements:
        assert not [name for name in attrs if name.startswith("on") or name in ("style", "srcdoc", "action")], tag
        assert tag not in ("link", "iframe", "object", "base", "form")
        for name in ("src", "href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert "innerHTML" not in read.inside["script"]


def test_hostile_names_are_text() -> None:
    study = findings(names=(EVIL, "<b>"), name=EVIL)
    study["sentences"][0]["text"] = EVIL
    study["trials"][0]["message"] = EVIL
    text = page([study])
    read = Reader(text)
    assert [tag for tag, _ in read.elements].count("script") == 2
    assert "img" not in [tag for tag, _ in read.elements]
    assert read.text.count(EVIL) > 3
    assert read.data[0]["name"] == EVIL
    assert read.data[0]["trials"]["message"]["words"] == [EVIL, *sorted({t["message"] for t in study["trials"][1:] if t["message"]})]
    assert "\u2028" not in read.inside["script application/json"]


def test_what_is_not_markup_is_escaped() -> None:
    assert element("a", "<&>", Markup("<b>"), href='"') == '<a href="&quot;">&lt;&amp;&gt;<b></a>'
    assert element("p", data_study=0, class_="x", title=None) == '<p data-study="0" class="x"></p>'
    assert json.loads(script_text({"</a>": ["\u2028", 0.5, None]})) == {"</a>": ["\u2028", 0.5, None]}
    assert script_text("</\u2028") == '"\\u003c/\\u2028"'


@pytest.mark.parametrize(("n_configs", "n_trials", "limit"), [(640, 1_000, 2**20), (6_400, 10_000, 5 * 2**20)])
def test_it_stays_small(n_configs: int, n_trials: int, limit: int) -> None:
    study = findings(n_configs=n_configs, n_axes=25)
    assert len(study["trials"]) >= n_trials
    assert len(page([study]).encode()) < limit


def test_the_same_findings_make_the_same_page() -> None:
    assert page([findings()]) == page([findings()])


def value(column: Any, k: int) -> Any:
    return column[k] if isinstance(column, list) else None if column["codes"][k] is None else column["words"][column["codes"][k]]


def test_columns_say_what_the_trials_say() -> None:
    study = findings(n_configs=30)
    study["trials"][2]["violates"] = True
    data = json.loads(script_text(columns(study)))
    trials = data["trials"]
    assert len(data["configs"]["id"]) < len(study["trials"])
    for k, row in enumerate(study["trials"]):
        config = {name: value(column, trials["config"][k]) for name, column in data["configs"]["values"].items()}
        assert {
            name: one if isinstance(one, str) else pytest.approx(one, rel=1e-5) for name, one in config.items() if one is not None
        } == row["config"]
        assert data["configs"]["id"][trials["config"][k]] == row["config_id"]
        assert data["budgets"][trials["budget"][k]] == row["budget"]
        assert trials["loss"][k] == (None if row["loss"] is None else pytest.approx(row["loss"], rel=1e-5))
        assert trials["violates"][k] is (k == 2)
        assert [value(trials[name], k) for name in ("origin", "status", "device", "message")] == [
            row["origin"],
            row["status"],
            row["device"],
            row["message"],
        ]
    assert [trials["id"][k] for k in data["trajectory"]] == [p["trial_id"] for p in study["trajectory"]]
    assert [data["importance"][k]["n"] for k in range(3)] == [b["n"] for b in study["budgets"]]


def alike() -> tuple[Findings, list[float]]:
    """A study whose losses differ from the seventh digit on, as likelihoods may, and one of its hyperparameters likewise."""
    study = findings(n_configs=9, budgets=(400.0,))
    losses = [-1000000.82 + k / 100 for k in range(len(study["trials"]))]
    for k, row in enumerate(study["trials"]):
        row["loss"] = losses[k]
        row["config"] = {"x": 5000 + k / 1000}
    study["budgets"][0]["losses"] = [losses[k] for k in (0, 2, 4, 6, 8)]
    assert study["incumbent"] is not None
    study["incumbent"]["loss"] = losses[0]
    study["incumbents"] = [{**study["incumbents"][0], "loss": losses[0]}]
    return study, losses


def test_losses_that_are_large_against_their_spread_stay_apart() -> None:
    study, losses = alike()
    data = columns(study)
    assert data["trials"]["loss"] == pytest.approx(losses, abs=1e-6)
    assert value(data["configs"]["values"]["x"], 8) == 5000.008
    assert data["incumbent"]["loss"] == losses[0]
    read = Reader(page([study])).text
    assert "−1000000.82" in read
    assert "−1000000.74" in read, "the highest"
    assert "−1e+06" not in read


def test_what_has_no_content_has_no_end() -> None:
    assert element("p", "a", element("br"), "b") == "<p>a<br>b</p>"
    assert "</br>" not in page([findings()])


def test_truths_and_numbers_that_equal_them_stay_apart() -> None:
    study = findings(n_configs=3, budgets=(400.0,))
    ones: tuple[Value, ...] = (True, 1, "1")
    for row, one in zip(study["trials"], ones, strict=False):
        row["config"] = {"x": one}
    column = columns(study)["configs"]["values"]["x"]
    assert column["words"][:3] == [True, 1, "1"]
    assert [type(word) for word in column["words"][:3]] == [bool, int, str]


def test_a_curve_of_hours_is_thinned_and_keeps_its_ends() -> None:
    study = findings(n_configs=2)
    study["hours"] = [{"budget": 400.0, "times": [float(k) for k in range(5000)], "hours": [k / 2 for k in range(5000)]}]
    (thin,) = columns(study)["hours"]
    assert len(thin["times"]) == 300
    assert (thin["times"][0], thin["times"][-1], thin["hours"][-1]) == (0, 4999, 2499.5)


def test_equal_neighbours_are_folded() -> None:
    a = {"layer": "norm", "shape": [8, 4, 4], "params": 16}
    b = {"layer": "norm", "shape": [4, 4, 4], "params": 8}
    assert list(folded([a, dict(a), b, a])) == [(2, a), (1, b), (1, a)]


def test_the_drawing_shows_every_kind_of_layer() -> None:
    def layer(name: str, /, **more: Any) -> dict[str, Any]:
        return {"layer": name, "shape": [8, 4, 4], "params": 1234, **more}

    conv = layer("conv", out=8, kernel=3, stride=2, groups=4)
    sides = layer("sum", paths=[layer("chain", layers=[conv, layer("activation", kind="relu")]), layer("identity")])
    cell = layer("graph", nodes=[[{"source": 0, **conv}], [{"source": 1, **layer("dropout", rate=0.25)}]])
    apart = layer("conv", out=8, kernel=3, stride=1, groups=8)
    drawn = drawing(layer("chain", layers=[sides, sides, cell, layer("droppath", rate=0.1, path=apart)]))
    assert drawn is not None
    text = Reader(drawn).text
    for expected in (
        "× 2",
        "2 branches, added",
        "3×3 conv 8, 4 groups ↓2",
        "ReLU",
        "3×3 depthwise",
        "cell of 2 nodes",
        "from the input",
        "dropout 0.25",
        "dropped at rate 0.1",
        "8 × 4 × 4 · 1\u202f234 parameters",
    ):
        assert expected in text


def test_what_the_figure_draws_of_a_foreign_network_the_page_draws_too() -> None:
    leaf = {"layer": "mixer", "shape": [8, 4, 4], "params": 10}
    tree = {"layer": "droppath", "shape": [8, 4, 4], "params": 10, "path": leaf}  # without its rate
    read = Reader(drawing(tree) or "")
    assert "dropped at rate 0" in read.text
    assert ("li", "chip mixer") in [(tag, attrs.get("class")) for tag, attrs in read.elements]


@pytest.mark.parametrize(
    "tree", [{}, {"layer": "conv"}, {"layer": "sum", "paths": 3}, {"layer": "chain", "layers": [None]}, {"layer": [], "x": 1}]
)
def test_a_foreign_network_is_left_out(tree: dict[str, Any]) -> None:
    assert drawing(tree) is None
    study = findings()
    assert study["incumbent"] is not None
    study["incumbent"]["network"] = tree
    assert "in a form that is not known here" in Reader(page([study])).text


@pytest.mark.parametrize("picture", [PNG, PNG + bytes(2**20)])
def test_a_small_picture_is_enlarged_in_whole_steps(picture: bytes) -> None:
    read = Reader(page([findings()], pictures=[picture]))
    (image,) = (attrs for tag, attrs in read.elements if tag == "img")
    assert (image["width"], image["height"]) == ("768", "384")
    assert image["src"] == "data:image/png;base64," + base64.b64encode(picture).decode()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.number(-0.00012345), "−0.0001234"),
        (words.number(144_956.3), "144956"),
        (words.number(None), "–"),
        (words.number(9999.7), "10000"),
        (words.number(-1000000.82, digits=10), "−1000000.82"),
        (words.count(999_600), "1\u00a0M"),
        (words.count(999_950_000), "1\u00a0G"),
        (words.count(999_499), "999\u202f499"),
        (words.share(0.1234), "12.3\u00a0%"),
        (words.share(0.0023, 2), "0.23\u00a0%"),
        (words.interval([0.00234, 0.00451], shares=True, digits=2), "0.23\u00a0% to 0.45\u00a0%"),
        (words.count(1234.0), "1\u202f234"),
        (words.count(27_312_000), "27.3\u00a0M"),
        (words.interval([0.25, 0.5], shares=True), "25.0\u00a0% to 50.0\u00a0%"),
        (words.p_value(0.00003), "< 0.001"),
        (words.p_value(0.0123), "0.012"),
        (words.settings({"a": None, "b": True, "c": 0.125}), "a = inactive, b = true, c = 0.125"),
        (words.counts({"out_of_memory": 2, "ok": 1}), "2 out of memory, 1 ok"),
    ],
)
def test_numbers_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected


def texts(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return [str(row[key]) for row in rows]


def test_without_a_script_the_findings_are_there() -> None:
    study = findings(n_configs=60)
    text = Reader(page([study])).text
    assert study["incumbent"] is not None
    assert study["comparison"] is not None
    for expected in (
        *texts(study["sentences"], "text"),
        *texts(study["budgets"][0]["parameters"], "name"),
        *texts(study["comparison"]["rows"], "name"),
        f"trial {study['incumbent']['trial_id']}, ",
        *(r["note"] for r in study["rank_correlation"] if r["note"]),
    ):
        assert expected in text


def test_small_errors_of_networks_have_two_decimals() -> None:
    study = findings(n_configs=12)
    found = study["comparison"]
    assert found is not None
    found["rows"] = [found["rows"][0] | {"error": 0.0023, "sd": 0.0002, "seed_interval": [0.0018, 0.0028], "wilson": [0.0015, 0.0035]}]
    text = Reader(page([study])).text
    for shown in ("0.23\u00a0%", "0.02\u00a0%", "0.18\u00a0% to 0.28\u00a0%", "0.15\u00a0% to 0.35\u00a0%"):
        assert shown in text
    assert "Test error after 1h each" in text
    found["budget"] = None
    text = Reader(page([study])).text
    assert "Test error" in text
    assert "Test error after" not in text


def test_a_refusal_is_said() -> None:
    reason = "7 observations: nothing is claimed below 10"
    assert Reader(page([findings(n_configs=7, budgets=(400.0,), refused=reason)])).text.count(f"At 400s: {reason}") == 1


@pytest.mark.parametrize("loss", [1e300, 0.25])
def test_extreme_and_identical_losses_are_written(loss: float) -> None:
    study = findings(n_configs=12)
    rows: list[Row] = study["trials"]
    for row in rows:
        row["loss"] = loss
    assert set(Reader(page([study])).data[0]["trials"]["loss"]) == {loss}


def test_the_wheel_holds_its_style_and_script() -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    patterns = [pattern.strip() for pattern in setup["options.package_data"]["bohb_nas"].split(",")]
    root = Path(bohb_nas.__file__).parent
    assets = [str(file.relative_to(root)) for file in (root / "report/html/assets").iterdir()]
    assert len(assets) > 5
    assert [name for name in assets if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_much_that_is_left_open_is_said_on_demand() -> None:
    study = findings()
    study["sentences"] = [{"about": "budgets", "text": f"question `{k}`", "holds": k == 0} for k in range(6)]
    text = page([study])
    shown, _, hidden = text.partition("5 more questions, which the statistics leave open</summary>")
    assert "question <code>0</code>" in shown
    assert "question <code>1</code>" not in shown
    assert hidden.count("Not claimed: ") == 5
    study["sentences"] = study["sentences"][:4]
    assert "leave open</summary>" not in page([study])


def test_the_values_of_a_curve_are_written_once() -> None:
    study = findings(n_configs=60)
    first, second = (b["parameters"] for b in study["budgets"][:2])
    name = first[0]["name"]
    other = next(p for p in second if p["name"] == name)
    assert first[0]["curve"] is not None
    assert other["curve"] is not None
    data = columns(study)
    assert data["grids"][name] == pytest.approx(first[0]["curve"]["at"], rel=1e-5)
    assert {str(p["curve"]["at"]) for one in data["importance"] for p in one["parameters"]} == {"None"}
    other["curve"]["at"] = [*other["curve"]["at"][:-1], 0.75]
    own = next(p for p in columns(study)["importance"][1]["parameters"] if p["name"] == name)
    assert own["curve"]["at"][-1] == 0.75


def test_a_good_region_is_of_losses_cut_off_and_tells_what_chance_reaches_there() -> None:
    study = findings()
    good = study["budgets"][0]["good"]
    assert good is not None
    good |= {"cutoff": 0.125, "rule": "given", "n_below": 7, "threshold": 0.4321}
    n = study["budgets"][0]["n"]
    text = page([study])
    assert f"every loss above the cut-off counts as the cut-off, 0.125 (given); 7 of {n} observations are not above it" in text
    assert "Chance reaches 43.2\u00a0%" in text
