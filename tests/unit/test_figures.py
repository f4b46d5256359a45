"""What the figures of an analysis show, read back from their SVGs; what is expected is counted in the findings."""

import collections
import io
import itertools
import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import findings_fakes
import matplotlib.image
import numpy as np
import pytest

from bohb_nas.analysis.findings import Compared, Findings, RankCorrelation, Row
from bohb_nas.errors import StorageError
from bohb_nas.report.figures import draw

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def usual() -> Findings:
    return findings_fakes.findings(n_axes=6)


@pytest.fixture(scope="module")
def drawn(usual: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    draw([usual], folder, formats=("svg",))
    return folder


def least(
    *,
    seed: int = 0,
    name: str = "study",
    n_configs: int = 1,
    budgets: tuple[float, ...] = (400.0,),
    names: tuple[str, ...] = ("learning_rate",),
) -> Findings:
    """A study with few figures."""
    found = findings_fakes.findings(seed=seed, name=name, n_configs=n_configs, budgets=budgets, names=names, n_axes=len(names), family=None)
    found["comparison"] = found["ablation"] = None
    for budget in found["budgets"]:
        budget["good"], budget["pairs"] = None, []
    assert found["incumbent"] is not None
    found["incumbent"]["curve"] = []
    return found


def rows(*told: tuple[str, float, str, float | str]) -> list[Row]:
    """Trials of configuration, budget, origin, and a loss or how they failed; all values are equal but those of the learning rate."""
    template = least()["trials"][0]
    found = []
    for k, (config_id, budget, origin, end) in enumerate(told):
        row: Row = {**template, "trial_id": f"t{k}", "config_id": config_id, "budget": budget, "origin": origin}
        row["config"] = {"learning_rate": 0.001 * (1 + sorted({one[0] for one in told}).index(config_id))}
        row["status"], row["loss"] = ("ok", end) if isinstance(end, float) else (end, None)
        found.append(row)
    return found


def with_good(chance: float | None) -> Findings:
    """A study with few figures, and a good region."""
    found = least(n_configs=12)
    of = found["budgets"][0]["parameters"]
    found["budgets"][0]["good"] = {"cutoff": 0.2, "rule": "given", "n_below": 3, "threshold": chance, "parameters": of}
    return found


def correlation(low: float, high: float, *, n: int, spearman: float | None = None, note: str | None = None) -> RankCorrelation:
    return {
        "low": low,
        "high": high,
        "n": n,
        "spearman": spearman,
        "interval": None,
        "p_value": None,
        "kendall": None,
        "kendall_p_value": None,
        "note": note,
    }


def texts(path: Path) -> list[str]:
    return ["".join(one.itertext()).strip() for one in ET.parse(path).iter(f"{SVG}text")]  # noqa: S314


def group(path: Path, name: str) -> ET.Element:
    return next(one for one in ET.parse(path).iter(f"{SVG}g") if one.get("id") == name)  # noqa: S314


def groups(path: Path, beginning: str) -> list[ET.Element]:
    return [one for one in ET.parse(path).iter(f"{SVG}g") if (one.get("id") or "").startswith(beginning)]  # noqa: S314


def points(one: ET.Element) -> list[tuple[float, float]]:
    """The corners of the first path in a group."""
    path = next(one.iter(f"{SVG}path"))
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path.get("d") or "")]


def ticks(path: Path, axis: str) -> dict[str, float]:
    """Where the labelled ticks of the first panel's axis are."""
    which = {"x": "matplotlib.axis_1", "y": "matplotlib.axis_2"}[axis]
    found = {}
    for tick in group(path, which).iter(f"{SVG}g"):
        if re.match(r"[xy]tick_\d+$", tick.get("id") or ""):
            use = next(tick.iter(f"{SVG}use"))
            found["".join(tick.itertext()).strip()] = float(use.get(axis) or "nan")
    return found


def shares(places: Sequence[float]) -> list[float]:
    """Where marks are if the first is at 0 and the second at 1."""
    first, second = places[:2]
    return [(place - first) / (second - first) for place in places]


def marks(path: Path, name: str) -> list[tuple[float, float]]:
    return [(float(use.get("x") or "nan"), float(use.get("y") or "nan")) for use in group(path, name).iter(f"{SVG}use")]


def test_every_kind_has_its_file(usual: Findings, drawn: Path) -> None:
    names = {path.stem for path in drawn.iterdir() if path.suffix}
    assert {one for one in names if not one.startswith("marginal-")} == {
        "trajectory", "importance", "importance-good", "marginals-strongest", "pairs-400", "pairs-1200", "rank-correlation",
        "loss-by-budget", "model", "device-hours", "ablation", "parallel-coordinates", "architecture", "learning-curve", "comparison",
    }  # fmt: skip
    assert {one for one in names if one.startswith("marginal-")} == {f"marginal-{one['name']}" for one in usual["hyperparameters"]}


def test_a_mark_for_every_evaluation(usual: Findings, drawn: Path) -> None:
    for budget, n in collections.Counter(p["budget"] for p in usual["trajectory"]).items():
        marks = list(group(drawn / "trajectory.svg", f"evaluations-{budget:g}").iter(f"{SVG}use"))
        assert len(marks) == n
        assert f"(n = {n})" in " ".join(texts(drawn / "trajectory.svg"))


def test_validation_errors_of_hand_designed_networks_are_lines_in_the_trajectory(usual: Findings, drawn: Path, tmp_path: Path) -> None:
    found = least()
    assert usual["comparison"] is not None
    at_400: list[Compared] = [{**row, "budget": 400.0} for row in usual["comparison"]["rows"]]
    found["comparison"] = {"measured": "validation", "budget": 400.0, "rows": at_400}
    draw([found], tmp_path, formats=("svg",))
    assert "ResNet-20 at 400s" in texts(tmp_path / "trajectory.svg")
    assert not any("ResNet-20" in text for text in texts(drawn / "trajectory.svg"))  # test errors are no losses


def test_a_learning_curve_whose_clock_ran_backwards_is_drawn_in_seconds(tmp_path: Path) -> None:
    found = least()
    assert found["incumbent"] is not None
    found["incumbent"]["curve"] = [{"seconds": -3.0, "valid_error": 0.5}, {"seconds": -2.0, "valid_error": 0.4}]
    draw([found], tmp_path, formats=("svg",))
    assert "time in training [s]" in texts(tmp_path / "learning-curve.svg")


def test_the_incumbents_line_has_a_step_for_each_of_them(usual: Findings, drawn: Path) -> None:
    line = points(group(drawn / "trajectory.svg", "incumbent"))
    assert len({y for _, y in line}) == len({p["loss"] for p in usual["incumbents"]})


def test_what_breaks_a_constraint_is_a_mark_and_never_the_lowest_loss_so_far(tmp_path: Path) -> None:
    found = least(n_configs=12)
    point = found["trajectory"][0]
    told = [(400.0, 0.5, False), (400.0, 0.1, True), (400.0, 0.4, False), (400.0, 0.3, True), (1200.0, 0.2, True)]
    found["trajectory"] = [
        {**point, "time": 10.0 * k, "budget": budget, "loss": loss, "violates": violates} for k, (budget, loss, violates) in enumerate(told)
    ]
    draw([found], tmp_path, formats=("svg",))
    file = tmp_path / "trajectory.svg"
    lowest, height = points(group(file, "best-400")), [y for _, y in marks(file, "evaluations-400")]
    assert sorted({y for _, y in lowest}) == pytest.approx(sorted([height[0], height[2]]), abs=1e-3)
    assert len(height) == 4
    assert len(marks(file, "evaluations-1200")) == 1
    assert not groups(file, "best-1200")


def test_bars_are_as_long_as_their_shares_and_grey_below_chance(usual: Findings, drawn: Path) -> None:
    file = drawn / "importance.svg"
    at = {float(label.removesuffix(" %")) / 100: x for label, x in ticks(file, "x").items()}
    low, high = min(at), max(at)
    claimed = set()
    for k, parameter in enumerate(usual["budgets"][0]["parameters"]):
        bar = group(file, f"bar-{k}")
        left, right = (side(x for x, _ in points(bar)) for side in (min, max))
        share = low + (right - at[low]) / (at[high] - at[low]) * (high - low)
        assert left == pytest.approx(at[0.0], abs=1e-3)
        assert share == pytest.approx(parameter["with_parents"], abs=1e-3)
        style = next(bar.iter(f"{SVG}path")).get("style") or ""
        assert ("#0072b2" in style) == parameter["claimed"]
        assert ("#9a9a9a" in style) == (not parameter["claimed"])
        claimed.add(parameter["claimed"])
    assert claimed == {True, False}
    threshold = points(group(file, "threshold"))[0][0]
    assert low + (threshold - at[low]) / (at[high] - at[low]) * (high - low) == pytest.approx(usual["budgets"][0]["threshold"], abs=1e-3)


def test_where_chance_is_unknown_among_good_configurations_there_is_no_line(tmp_path: Path) -> None:
    draw([with_good(None)], tmp_path, formats=("svg",))
    assert groups(tmp_path / "importance-good.svg", "bar-")
    assert not groups(tmp_path / "importance-good.svg", "threshold")
    assert not any("chance" in text for text in texts(tmp_path / "importance-good.svg"))


def test_chance_among_good_configurations_is_a_line_of_its_own(tmp_path: Path) -> None:
    found = with_good(0.07)
    draw([found], tmp_path, formats=("svg",))
    file = tmp_path / "importance-good.svg"
    at = {float(label.removesuffix(" %")) / 100: x for label, x in ticks(file, "x").items()}
    low, high = min(at), max(at)
    threshold = points(group(file, "threshold"))[0][0]
    assert low + (threshold - at[low]) / (at[high] - at[low]) * (high - low) == pytest.approx(0.07, abs=1e-3)
    assert f"3 of n = {found['budgets'][0]['n']} not above it (given)" in texts(file)
    assert "400s, loss ≤ 0.2" in texts(file)
    assert "chance 7%" in texts(file)


def test_what_importance_rests_on_is_written_beside_it(usual: Findings, drawn: Path) -> None:
    said = texts(drawn / "importance.svg")
    for budget in usual["budgets"][:2]:
        assert f"n = {budget['n']}, R² {budget['oob_r2']:.2f}, chance {budget['threshold']:.0%}" in said
    assert "6 observations; importance needs" in said  # the last budget's refusal, on two lines
    conditional = [p for p in usual["budgets"][0]["parameters"] if p["n_active"] < usual["budgets"][0]["n"]]
    assert conditional
    assert said.count(f"n = {conditional[0]['n_active']}") >= len(conditional)


def test_a_tick_in_the_rug_for_every_active_observation(usual: Findings, drawn: Path) -> None:
    configs = [row["config"] for row in usual["trials"] if row["budget"] == 400.0 and row["loss"] is not None]
    counts = {name: sum(name in config for config in configs) for name in ("learning_rate", "dropout", "batch_size")}
    assert counts["dropout"] < counts["learning_rate"]  # it is conditional
    for name in ("learning_rate", "dropout", "batch_size"):
        rug = next(group(drawn / f"marginal-{name}.svg", "rug").iter(f"{SVG}path")).get("d") or ""
        assert rug.count("M") == counts[name]


def test_the_rug_counts_what_importance_counts(tmp_path: Path) -> None:
    found = least(n_configs=12)
    found["trials"] = rows(
        ("a", 400.0, "random", 0.1),
        ("b", 400.0, "model", 0.2),
        ("b", 400.0, "promoted", 0.3),  # the same again
        ("c", 400.0, "random", "diverged"),
        ("d", 400.0, "probe", 0.4),
        ("e", 400.0, "random", 0.5),
        ("f", 400.0, "baseline", 0.1),
        ("g", 400.0, "random", "crashed"),
        ("h", 1200.0, "random", 0.1),
    )
    found["trials"][5]["config"] = found["trials"][0]["config"]  # drawn twice
    draw([found], tmp_path, formats=("svg",))
    rug = next(group(tmp_path / "marginal-learning_rate.svg", "rug").iter(f"{SVG}path")).get("d") or ""
    assert rug.count("M") == 4  # a, b, c and d


def test_the_incumbents_value_stands_on_a_logarithmic_axis(usual: Findings, drawn: Path) -> None:
    file = drawn / "marginal-learning_rate.svg"
    assert usual["incumbent"] is not None
    value = usual["incumbent"]["config"]["learning_rate"]
    assert isinstance(value, float)
    at = ticks(file, "x")
    (low, left), (high, right) = [(math.log(float(label)), x) for label, x in at.items()][:: len(at) - 1]
    x = points(group(file, "incumbent"))[0][0]
    assert low + (x - left) / (right - left) * (high - low) == pytest.approx(math.log(value), abs=1e-3)


def test_levels_stand_side_by_side(drawn: Path) -> None:
    assert list(ticks(drawn / "marginal-optimizer.svg", "x")) == ["sgd", "adam", "muon"]
    assert list(ticks(drawn / "marginal-batch_size.svg", "x")) == ["32", "64", "128", "256"]


def test_rank_correlations_of_search_and_probes_stand_side_by_side(usual: Findings, drawn: Path) -> None:
    said = texts(drawn / "rank-correlation.svg")
    for name, entries in (("search", usual["rank_correlation"]), ("probes", usual["rank_probe"])):
        for one in entries:
            assert f"{name}, n = {one['n']}" in said
            assert f"ρ = {one['spearman']:.2f}" in said
            assert one["interval"] is not None
            assert f"[{one['interval'][0]:.2f}, {one['interval'][1]:.2f}]" in said
    both = next(r for r in usual["rank_correlation"] if (r["low"], r["high"]) == (400, 1200))
    assert len(list(group(drawn / "rank-correlation.svg", "search-400-1200").iter(f"{SVG}use"))) == both["n"]


def test_losses_against_losses_are_those_of_the_table(tmp_path: Path) -> None:
    found = least()
    found["trials"] = rows(
        *((config_id, budget, "random", loss) for budget in (400.0, 1200.0) for config_id, loss in (("a", 0.1), ("b", 0.2), ("c", 0.5))),
        ("d", 400.0, "model", 0.3),
        ("d", 1200.0, "promoted", "diverged"),  # the worst of all at 1200, which is r's
        ("e", 400.0, "random", 0.2),
        ("e", 400.0, "random", 0.4),  # 0.3 is their mean
        ("e", 1200.0, "promoted", 0.4),
        ("f", 400.0, "random", 0.2),
        ("f", 1200.0, "promoted", "crashed"),
        ("g", 400.0, "baseline", 8.0),
        ("g", 1200.0, "baseline", 8.0),
        ("h", 400.0, "random", 1.7),
        *((config_id, budget, "probe", loss) for budget in (400.0, 1200.0) for config_id, loss in (("p", 0.1), ("q", 0.2), ("r", 0.9))),
        ("s", 400.0, "probe", "diverged"),  # the worst of all at 400, which is h's
        ("s", 1200.0, "probe", 0.3),
    )
    found["rank_correlation"] = [correlation(400.0, 1200.0, n=5, spearman=0.6)]
    draw([found], tmp_path, formats=("svg",))
    x, y = zip(*marks(tmp_path / "rank-correlation.svg", "search-400-1200"), strict=True)  # a to e
    assert shares(x) == pytest.approx([0, 1, 4, 2, 2], abs=1e-3)
    assert shares(y) == pytest.approx([0, 1, 4, 8, 3], abs=1e-3)
    x, y = zip(*marks(tmp_path / "rank-correlation.svg", "probe-400-1200"), strict=True)
    assert shares(x) == pytest.approx([0, 1, 8, 16], abs=1e-3)
    assert shares(y) == pytest.approx([0, 1, 8, 2], abs=1e-3)


@pytest.mark.parametrize(
    ("origin", "search", "probes", "there"),
    [("promoted", 0.4, 0.8, True), ("random", 0.4, 0.8, False), ("promoted", 0.4, None, False), ("promoted", None, 0.8, False)],
)
def test_promotions_are_blamed_where_there_are_some_and_a_figure_without_them(
    origin: str, search: float | None, probes: float | None, there: bool, tmp_path: Path
) -> None:
    found = least()
    found["trials"] = rows(("a", 400.0, "random", 0.1), ("a", 1200.0, origin, 0.1))
    found["rank_correlation"] = [correlation(400.0, 1200.0, n=8, spearman=search)]
    found["rank_probe"] = [correlation(400.0, 1200.0, n=8, spearman=probes)]
    draw([found], tmp_path, formats=("svg",))
    said = texts(tmp_path / "rank-correlation.svg")
    assert "rank correlation ρ (Spearman) with 95 % interval" in said
    assert ("the search's is usually lower for its promotions" in said) == there


def test_a_pair_of_budgets_without_a_correlation_says_why(tmp_path: Path) -> None:
    found = least()
    found["trials"] = rows(("a", 400.0, "random", 0.1), ("a", 1200.0, "promoted", 0.1))
    found["rank_correlation"] = [correlation(400.0, 1200.0, n=9, note="nothing to rank: all 9 in common have one loss at 400s")]
    draw([found], tmp_path, formats=("svg",))
    said = " ".join(texts(tmp_path / "rank-correlation.svg"))
    assert "search, n = 9 nothing to rank: all 9 in common have one loss at 400s" in said
    assert "too few" not in said


def test_the_models_test_is_written_over_its_panel(usual: Findings, drawn: Path) -> None:
    one = usual["model"][0]
    said = texts(drawn / "model.svg")
    assert one["p_value"] is not None
    assert one["p_holm"] is not None
    assert f"p = {one['p_value']:.2g} (Holm: p = {one['p_holm']:.2g})" in said
    for origin, n in (("model", one["n_model"]), ("random", one["n_random"])):
        assert len(list(group(drawn / "model.svg", f"{origin}-400").iter(f"{SVG}use"))) == n


def test_the_models_panel_shows_what_is_tested(tmp_path: Path) -> None:
    found = least()
    found["trials"] = rows(
        ("a", 400.0, "model", 0.1),
        ("b", 400.0, "model", 0.2),
        ("c", 400.0, "model", "diverged"),  # the worst of all there, which is i's
        ("d", 400.0, "model", 0.2),
        ("d", 400.0, "random", 0.4),  # 0.3 is their mean
        ("e", 400.0, "random", 0.1),
        ("f", 400.0, "random", 0.2),
        ("g", 400.0, "promoted", 0.5),
        ("h", 400.0, "model", "crashed"),
        ("i", 400.0, "probe", 0.7),
        ("j", 400.0, "baseline", 0.8),
        ("k", 1200.0, "model", 0.9),
    )
    found["model"] = [{**found["model"][0], "budget": 400.0, "n_model": 4, "n_random": 2}]
    draw([found], tmp_path, formats=("svg",))
    model, random = ([y for _, y in marks(tmp_path / "model.svg", f"{origin}-400")] for origin in ("model", "random"))
    assert shares(model) == pytest.approx([0, 1, 6, 2], abs=1e-3)
    assert random == pytest.approx(model[:2], abs=1e-3)


def test_a_line_for_every_configuration_with_gaps_where_it_is_inactive(usual: Findings, drawn: Path) -> None:
    dearest = [r for r in usual["trials"] if r["budget"] == 3600 and r["loss"] is not None]
    shown = {one.get("id"): one for one in groups(drawn / "parallel-coordinates.svg", "configuration-")}
    assert set(shown) == {f"configuration-{r['trial_id']}" for r in dearest}
    names = [one["name"] for one in usual["hyperparameters"]]  # importance was refused there: the space's own order
    for row in dearest:
        both = sum(a in row["config"] and b in row["config"] for a, b in itertools.pairwise(names))
        assert len(list(shown[f"configuration-{row['trial_id']}"].iter(f"{SVG}path"))) == both
    assert len({len(row["config"]) for row in dearest}) > 1


@pytest.mark.parametrize("most", [400, 2])
def test_the_thick_line_is_the_incumbent_s_where_a_probe_is_better(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bohb_nas.report.figures.parallel._MOST_LINES", most)
    found = findings_fakes.findings(n_axes=6)
    best = found["incumbent"]
    assert best is not None
    dearest = [r for r in found["trials"] if r["budget"] == best["budget"] and r["loss"] is not None]
    probe = next(r for r in dearest if r["config_id"] != best["config_id"])
    probe["origin"], probe["loss"] = "probe", best["loss"] / 2
    draw([found], tmp_path, formats=("svg",))
    file = tmp_path / "parallel-coordinates.svg"
    thick = [one.get("id") for one in groups(file, "configuration-") if b"stroke-width: 1.8" in ET.tostring(one)]
    assert thick == [f"configuration-{best['trial_id']}"]
    said = " ".join(texts(file))
    assert f"{len(dearest)} evaluations at 1h" in said
    assert said.count("thick: the incumbent") == 1


def test_a_better_configuration_of_another_budget_is_no_thick_line(tmp_path: Path) -> None:
    found = findings_fakes.findings(n_axes=6)
    assert found["incumbent"] is not None
    found["incumbent"]["trial_id"] = "elsewhere"
    draw([found], tmp_path, formats=("svg",))
    file = tmp_path / "parallel-coordinates.svg"
    assert not any(b"stroke-width: 1.8" in ET.tostring(one) for one in groups(file, "configuration-"))
    assert "thick" not in " ".join(texts(file))


def test_medians_of_different_configurations_are_not_joined(usual: Findings, drawn: Path) -> None:
    median = group(drawn / "loss-by-budget.svg", "median")
    budgets = {budget for shape in usual["shapes"] for budget, _ in shape["losses"]}
    assert len(list(median.iter(f"{SVG}use"))) == len(budgets)
    assert not any(
        "stroke: #000000" in (path.get("style") or "") and "fill: none" in (path.get("style") or "") for path in median.iter(f"{SVG}path")
    )
    assert "median of those there" in texts(drawn / "loss-by-budget.svg")


def test_workers_that_nobody_noted_are_not_counted(usual: Findings, drawn: Path, tmp_path: Path) -> None:
    assert any("(dashed)" in text for text in texts(drawn / "device-hours.svg"))
    found = findings_fakes.findings(n_axes=6)
    found["pace"]["n_workers"] = 0
    draw([found], tmp_path, formats=("svg",))
    assert not any("worker" in text for text in texts(tmp_path / "device-hours.svg"))


def test_the_way_to_the_incumbent_names_each_change(usual: Findings, drawn: Path) -> None:
    said = texts(drawn / "ablation.svg")
    assert usual["ablation"] is not None
    assert "the space's default" in said
    for step in usual["ablation"]["steps"]:
        assert any(line.startswith(f"{step['names'][0]}: ") and " → " in line for line in said)


def test_networks_are_ordered_by_their_error(usual: Findings, drawn: Path) -> None:
    file = drawn / "comparison.svg"
    named = [one for one in group(file, "matplotlib.axis_2").iter(f"{SVG}g") if (one.get("id") or "").startswith("ytick_")]
    assert ["".join(one.itertext()).strip() for one in named] == ["incumbent", "ResNet-20", "WRN-28-10", "VGG-like"]
    assert "3 seeds, 2 M params, 200 M FLOPs, p = 0.03 (Holm)" in texts(file)


def test_what_was_tested_has_a_figure_of_its_own(usual: Findings, tmp_path: Path) -> None:
    found = least()
    found["tested"] = usual["comparison"]
    assert "comparison-tested" in {path.stem for path in draw([found], tmp_path, formats=("svg",))}
    assert "test error after 1h each" in texts(tmp_path / "comparison-tested.svg")
    assert usual["comparison"] is not None
    found["tested"] = {**usual["comparison"], "budget": None}
    draw([found], tmp_path, formats=("svg",))
    assert "test error" in texts(tmp_path / "comparison-tested.svg"), "models that were trained for different times"


def test_names_are_no_mathematics_no_marks_and_no_paths(tmp_path: Path) -> None:
    odd = least(name="../$a$ <b>", n_configs=12, names=findings_fakes.ODD_NAMES)
    written = draw([odd], tmp_path / "out", formats=("svg",))
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", path.name) for path in written)
    own = [path for path in written if path.name.startswith("marginal-")]
    assert len(own) == len({path.name.lower() for path in own}) == len(findings_fakes.ODD_NAMES)
    said = [text for path in own for text in texts(path)]
    for name in findings_fakes.ODD_NAMES:
        assert len(name) > 40 or any(text in (name, f"{name} (where a_b_c == 'sgd')") for text in said)
    assert {name for name in findings_fakes.ODD_NAMES if len(name) < 24} <= set(texts(tmp_path / "out" / "importance.svg"))


def test_a_refusal_is_written_where_the_bars_would_be(tmp_path: Path) -> None:
    refused = findings_fakes.findings(refused="the forest predicts nothing", n_configs=12, family=None)
    names = {path.stem for path in draw([refused], tmp_path, formats=("svg",))}
    assert texts(tmp_path / "importance.svg").count("the forest predicts nothing") == 4  # three budgets and all of them
    assert not groups(tmp_path / "importance.svg", "bar-")
    assert not {one for one in names if one.startswith(("marginal", "pairs", "architecture", "importance-good"))}


def test_a_study_without_evaluations_has_no_figure(tmp_path: Path) -> None:
    assert draw([findings_fakes.nothing()], tmp_path / "out") == []
    assert draw([findings_fakes.nothing(), findings_fakes.nothing()], tmp_path / "out") == []
    assert draw([], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_figures_that_are_not_drawn_again_do_not_stay(tmp_path: Path) -> None:
    folder, kept = tmp_path / "report", ("importance-mine.svg", "marginal-mine.png", "report.html")
    small = [
        findings_fakes.findings(name=name, n_configs=1, budgets=(400.0,), n_axes=2, family=None, refused="too few") for name in ("a", "b")
    ]
    for one in small:
        one |= {"comparison": None, "incumbent": None}

    def there() -> set[Path]:
        return {path for path in folder.rglob("*") if path.is_file() and path.name != ".figures"}

    draw(small, folder, formats=("svg",))
    mine = {folder / name for name in kept}
    for path in mine:
        path.write_text("not ours")
    drawn = draw(small[:1], folder, formats=("svg",))
    assert there() == {*drawn, *mine}, "nothing of the two studies"
    draw([findings_fakes.nothing()], folder)
    assert there() == mine


@pytest.mark.parametrize(
    "listed",
    ["../precious.svg", "/{place}/precious.svg", "report.html", "link.svg/../../precious.svg", "study-x/precious.svg", "\udcff\0.svg"],
)
def test_nothing_but_figures_in_the_folder_is_taken_away(listed: str, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "study-x").symlink_to(tmp_path)
    precious = [tmp_path / "precious.svg", folder / "report.html"]
    for path in precious:
        path.write_text("precious")
    (folder / ".figures").write_bytes(listed.format(place=tmp_path).encode(errors="surrogateescape") + b"\n")
    draw([findings_fakes.nothing()], folder)
    assert [path.read_text() for path in precious] == ["precious", "precious"]


def test_one_evaluation_is_enough_for_some(tmp_path: Path) -> None:
    one = findings_fakes.findings(n_configs=1, budgets=(400.0,), n_axes=2, family=None)
    names = {path.stem for path in draw([one], tmp_path, formats=("svg",))}
    assert names == {"trajectory", "importance", "device-hours", "learning-curve", "comparison"}


def test_several_studies_share_a_trajectory(tmp_path: Path) -> None:
    studies = [
        findings_fakes.findings(seed=k, name=name, n_configs=1, n_axes=1, budgets=(400.0,), family=None)
        for k, name in enumerate(("a", "b", "A"))
    ]
    written = draw(studies, tmp_path, formats=("svg",))
    folders = {path.parent.name for path in written if path.parent != tmp_path}
    assert len(folders) == 3
    assert {"study-a", "study-b"} < folders
    assert [path.name for path in written if path.parent == tmp_path] == ["trajectory.svg"]
    for k, study in enumerate(studies):
        marks = [use for one in groups(tmp_path / "trajectory.svg", f"evaluations-{k}-") for use in one.iter(f"{SVG}use")]
        assert len(marks) == len(study["trajectory"])
        assert f"{study['study']['name']} (n = {len(study['trajectory'])})" in texts(tmp_path / "trajectory.svg")


def test_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    found = least()
    first, second = (draw([found], tmp_path / name, formats=("png", "svg", "pdf")) for name in ("first", "second"))
    assert [path.suffix for path in first[:3]] == [".png", ".svg", ".pdf"]
    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert first[2].read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in first[2].read_bytes()


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    studies = [least(name="a", n_configs=10), least(name="b")]
    pictures = [None, png(8, 16)]
    one, two = (draw(studies, tmp_path / str(jobs), formats=("png", "svg", "pdf"), pictures=pictures, jobs=jobs) for jobs in (1, 2))
    assert [path.relative_to(tmp_path / "1") for path in one] == [path.relative_to(tmp_path / "2") for path in two]
    assert len(one) > 6 * 3
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_more_processes_than_figures(tmp_path: Path) -> None:
    found = findings_fakes.nothing()
    assert draw([found], tmp_path / "out", jobs=3) == []


def test_an_svg_is_the_same_with_and_without_other_formats(tmp_path: Path) -> None:
    found = least(n_configs=10)
    alone = draw([found], tmp_path / "alone", formats=("svg",))
    beside = draw([found], tmp_path / "beside", formats=("png", "svg"))
    assert [path.name for path in alone] == [path.name for path in beside if path.suffix == ".svg"]
    for path in alone:
        assert path.read_bytes() == (tmp_path / "beside" / path.name).read_bytes()


LOSSES = {
    "huge": [1e300, 1e299, 3.0, 2.0],
    "largest": [1.7e308, -1.7e308, 0.0, 1.0],
    "zero": [0.0] * 4,
    "negative": [-1e6, -3.0, -2.0, 5.0],
    "tiny": [1e-320, 1e-310, 1e-300, 1e-290],
}


@pytest.mark.parametrize("values", list(LOSSES.values()), ids=list(LOSSES))
def test_losses_of_any_size_can_be_drawn(values: list[float], tmp_path: Path) -> None:
    found = least(n_configs=8, budgets=(400.0, 1200.0))
    k = 0
    replaced: dict[str, float] = {}
    for row in found["trials"]:
        if row["loss"] is not None:
            replaced[row["trial_id"]] = row["loss"] = values[k % 4]
            k += 1
    for point in found["trajectory"] + found["incumbents"]:
        point["loss"] = replaced[point["trial_id"]]
    for shape in found["shapes"]:
        shape["losses"] = [[budget, values[j % 4]] for j, (budget, _) in enumerate(shape["losses"])]
    names = {path.stem for path in draw([found], tmp_path, formats=("svg",))}
    assert {"trajectory", "loss-by-budget", "parallel-coordinates", "rank-correlation", "model"} <= names


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_that_cannot_be_made_is_named(jobs: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"cannot write {tmp_path / 'file' / 'figures'}"):
        draw([least()], tmp_path / "file" / "figures", formats=("svg",), jobs=jobs)


def test_thousands_of_evaluations_are_files_of_moderate_size(tmp_path: Path) -> None:
    found = least(n_configs=12)
    losses = [0.5 + 0.4 * math.sin(k) for k in range(3000)]
    found["trials"] = rows(*((f"c{k:04}", 400.0, "random", loss) for k, loss in enumerate(losses)))
    for k, row in enumerate(found["trials"]):
        row["asked"], row["told"] = 10.0 * k, 10.0 * k + 9.0
    point = found["trajectory"][0]
    found["trajectory"] = [{**point, "time": 10.0 * k, "budget": 400.0, "loss": loss} for k, loss in enumerate(losses)]
    found["hours"] = [{"budget": 400.0, "times": [10.0 * k for k in range(3000)], "hours": [9.0 * k / 3600 for k in range(3000)]}]
    written = draw([found], tmp_path, formats=("svg",))
    assert max(path.stat().st_size for path in written) < 500_000
    assert not list(group(tmp_path / "trajectory.svg", "best-400").iter(f"{SVG}use"))
    assert len(points(group(tmp_path / "trajectory.svg", "best-400"))) < 30  # where it falls
    assert len(list(ET.parse(tmp_path / "trajectory.svg").iter(f"{SVG}image"))) == 1  # noqa: S314
    assert "evaluations-400" not in {one.get("id") for one in groups(tmp_path / "trajectory.svg", "")}
    assert "400s (n = 3000)" in texts(tmp_path / "trajectory.svg")
    rug = next(group(tmp_path / "marginal-learning_rate.svg", "rug").iter(f"{SVG}path")).get("d") or ""
    assert 100 < rug.count("M") <= 300
    shown = [one.get("id") for one in groups(tmp_path / "parallel-coordinates.svg", "configuration-")]
    assert len(shown) == 400
    assert {f"configuration-t{losses.index(worst_or_best)}" for worst_or_best in (max(losses), min(losses))} <= set(shown)
    assert any("3000 evaluations at 400s (400 of them as lines)" in text for text in texts(tmp_path / "parallel-coordinates.svg"))


def png(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    matplotlib.image.imsave(stream, np.zeros((height, width, 3), dtype=np.uint8), format="png")
    return stream.getvalue()


def test_sample_images_have_a_caption(tmp_path: Path) -> None:
    found = least()
    assert found["incumbent"] is not None
    draw([found], tmp_path, formats=("svg",), pictures=[png(128, 256)])
    assert f"training images as incumbent {found['incumbent']['trial_id']} saw them at 400s" in texts(tmp_path / "samples.svg")
    assert list(ET.parse(tmp_path / "samples.svg").iter(f"{SVG}image"))  # noqa: S314


def test_a_picture_that_is_none_is_said(tmp_path: Path) -> None:
    found = least()
    for picture in (b"", b"no picture", png(8, 8)[:40]):
        draw([found], tmp_path, formats=("svg",), pictures=[picture])
        assert any("cannot be read" in text for text in texts(tmp_path / "samples.svg"))


def test_texts_that_no_xml_may_hold_are_drawn_without_that(tmp_path: Path) -> None:
    found = findings_fakes.findings(n_configs=12, n_axes=3, budgets=(1.0, 3.0))
    name = found["hyperparameters"][0]["name"]
    odd = json.loads(json.dumps(found).replace(f'"{name}"', json.dumps(f"{name}\x00\x1b\ud800")))
    draw([odd], tmp_path, formats=("svg",))
    for path in tmp_path.glob("*.svg"):
        ET.parse(path)  # noqa: S314
