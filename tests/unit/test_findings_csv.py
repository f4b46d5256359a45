"""Every number of findings as CSV, read back by Python's own reader."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from analysis_fakes import Run, explain, make_study
from findings_fakes import findings as usual

from bohb_nas.analysis.study import find
from bohb_nas.report.findings_csv import TABLES, text, write


def rows(name: str, found: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(TABLES[name](found)))))


def findings(path: Path) -> Any:
    """Of one evaluation, with an importance, a comparison and a path as figures would have them."""
    found: Any = find(make_study(path, [Run(config_id="a", loss=0.25, message='of "two"\nlines')]), explain=explain)
    shares = {"main": 0.4, "with_parents": 0.5, "total": 0.6, "p_active": 1.0, "n_active": 20, "when_active": None}
    curve = {"at": [1, "x"], "place": [0.0, 1.0], "mean": [0.3, 0.2], "low": [0.1, 0.1], "high": [0.5, 0.4]}
    lr = {"name": "lr", **shares, "spread": [0.45, 0.55], "claimed": True, "curve": curve}
    pair = {"names": ["lr", "width"], "share": 0.1, "spread": [0.0, 0.2], "map": {"at": [[1, 2], [3]], "mean": [[0.1], [0.2]]}}
    good = {"cutoff": 0.3, "rule": "best quarter", "n_below": 5, "threshold": 0.2, "parameters": [lr | {"curve": None, "claimed": False}]}
    said = {"n": 20, "refused": None, "oob_r2": 0.5, "threshold": 0.1, "parameters": [lr], "pairs": [pair], "good": good}
    found["budgets"][0] |= said
    found["over_budgets"] = said | {"good": None}
    row = {"name": "wrn", "kind": "baseline", "budget": 9.0, "error": 0.2, "seed_interval": None, "wilson": [0.1, 0.3]}
    found["comparison"] = {"budget": 9.0, "measured": "validation", "rows": [row]}
    found["tested"] = {"budget": None, "measured": "test", "rows": [row, row | {"budget": 27.0}]}
    before, after = {"lr": 0.1, "width": None}, {"lr": 0.2, "width": 4}
    step = {"names": ["lr", "width"], "before": before, "after": after, "loss": 0.1, "spread": [0.0, 0.2]}
    found["ablation"] = {"start": "default", "budget": 9.0, "loss": 0.3, "spread": [0.2, 0.4], "steps": [step]}
    return found


def test_importance_of_budgets_regions_and_all(tmp_path: Path) -> None:
    found = rows("importance", findings(tmp_path / "s"))
    assert [(row["budget"], row["region"], row["claimed"]) for row in found] == [
        ("1.0", "all", "true"),
        ("1.0", "good", "false"),
        ("all", "all", "true"),
    ]
    assert (found[0]["name"], found[0]["with_parents"], found[0]["when_active"], found[0]["spread_high"]) == ("lr", "0.5", "", "0.55")


def test_pairs_curves_and_maps(tmp_path: Path) -> None:
    found = findings(tmp_path / "s")
    assert rows("pairs", found)[0] == {
        **{"budget": "1.0", "first": "lr", "second": "width", "share": "0.1"},
        **{"spread_low": "0.0", "spread_high": "0.2"},
    }
    assert [(row["at"], row["mean"], row["high"]) for row in rows("curves", found)[:2]] == [("1", "0.3", "0.5"), ("x", "0.2", "0.4")]
    assert [(row["first_at"], row["second_at"], row["mean"]) for row in rows("maps", found)[:2]] == [("1", "3", "0.1"), ("2", "3", "0.2")]


def test_budgets_have_their_counts_and_losses(tmp_path: Path) -> None:
    row = rows("budgets", findings(tmp_path / "s"))[0]
    assert (row["budget"], row["n"], row["median"], row["status.ok"], row["origin.random"]) == ("1.0", "20", "0.25", "1", "1")


def test_what_an_importance_rests_on_stands_beside_the_budget_and_all(tmp_path: Path) -> None:
    found = findings(tmp_path / "s")
    found["over_budgets"] |= {"n": 21, "refused": "too few"}
    row, over = rows("budgets", found)
    assert [row[f"good.{name}"] for name in ("cutoff", "rule", "n_below", "threshold")] == ["0.3", "best quarter", "5", "0.2"]
    assert [over[name] for name in ("budget", "n", "oob_r2", "threshold", "refused")] == ["all", "21", "0.5", "0.1", "too few"]
    assert (over["good.cutoff"], over["n_told"]) == ("", "")


def test_the_study_the_incumbent_and_its_curve(tmp_path: Path) -> None:
    found = findings(tmp_path / "s")
    found["incumbent"] |= {"params": 1e6, "flops": 2e9, "curve": [{"step": 1.0, "seconds": 2.0}, {"step": 2.0, "valid_error": 0.25}]}
    (facts,) = rows("study", found)
    assert (facts["method"], facts["budgets"], facts["n_trials"], facts["seed"]) == ("bohb", "[1.0,3.0,9.0]", "1", "3")
    assert (facts["status.ok"], facts["origin.random"], facts["done"]) == ("1", "1", "true")
    (best,) = rows("incumbent", found)
    assert (best["trial_id"], best["params"], best["flops"], best["config.width"]) == ("a-1-0", "1000000.0", "2000000000.0", "4")
    assert [(row["trial_id"], row["step"], row["valid_error"]) for row in rows("learning_curve", found)] == [
        ("a-1-0", "1.0", ""),
        ("a-1-0", "2.0", "0.25"),
    ]


def test_a_field_of_a_workers_curve_replaces_neither_study_nor_trial(tmp_path: Path) -> None:
    found = findings(tmp_path / "s")
    found["incumbent"]["curve"] = [{"study": 1.0, "trial_id": 2.0, "step": 3.0}]
    write([found], tmp_path / "csv")
    assert (tmp_path / "csv" / "learning_curve.csv").read_text() == "study,trial_id,step\ns,a-1-0,3.0\n"


def test_comparison_and_tests_stand_in_one_table(tmp_path: Path) -> None:
    found = rows("comparison", findings(tmp_path / "s"))
    assert [(row["measured"], row["budget"], row["name"], row["wilson_high"], row["seed_interval_low"]) for row in found] == [
        ("validation", "9.0", "wrn", "0.3", ""),
        ("test", "9.0", "wrn", "0.3", ""),
        ("test", "27.0", "wrn", "0.3", ""),
    ]


def test_the_path_and_the_trials(tmp_path: Path) -> None:
    found = findings(tmp_path / "s")
    start, step = rows("ablation", found)
    assert (start["step"], start["changed"], start["loss"]) == ("0", "default", "0.3")
    assert [(row["budget"], row["start"]) for row in (start, step)] == [("9.0", "default")] * 2
    assert (step["changed"], step["before"]) == ("lr", '{"lr":0.1,"width":null}')
    (trial,) = rows("trials", found)
    assert (trial["trial_id"], trial["loss"], trial["config.width"], trial["config.optimizer"]) == ("a-1-0", "0.25", "4", "adam")


def test_rows_of_different_columns_stand_in_one_table_and_no_row_has_a_header() -> None:
    assert text([{"a": 1}, {"b": [1, "x"], "a": None}, {"c": True}]) == 'a,b,c\r\n1,,\r\n,"[1,""x""]",\r\n,,true\r\n'
    assert text([]) == "study\r\n"
    assert text([{"a": "10 %\r100 %"}]) == 'a\r\n"10 %\r100 %"\r\n', "a lone carriage return ends no line"


def test_every_number_of_findings_is_in_a_table() -> None:
    """But for the drawing of the incumbent's network."""
    found: Any = usual()
    found["incumbent"]["network"] = None
    written = {cell for name in TABLES for row in rows(name, found) for cell in _numbers(row.values())}
    assert {number for number in _leaves(found) if number not in written} == set()


def _leaves(value: Any) -> set[float]:
    match value:
        case bool() | str() | None:
            return set()
        case dict():
            return {number for entry in value.values() for number in _leaves(entry)}
        case list():
            return {number for entry in value for number in _leaves(entry)}
    return {float(value)}


def _numbers(cells: Iterable[str]) -> Iterator[float]:
    for cell in cells:
        try:
            yield from _leaves(json.loads(cell))
        except ValueError:
            continue
