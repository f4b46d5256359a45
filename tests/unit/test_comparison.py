"""Baselines beside the incumbent: intervals and tests from books and by hand, and equal time only."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from analysis_fakes import Run, make_study
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bohb_nas.analysis.comparison import trained, validation, wilson
from bohb_nas.analysis.findings import Comparison
from bohb_nas.analysis.observations import read
from bohb_nas.records import Origin, Status
from bohb_nas.store.study_dir import StudyDir

SIZE = {"params": 1e6, "flops": 2e6}


def baseline(name: str, loss: float | Status, *, seed: int = 0, budget: float = 9.0, n: float | None = 1000.0) -> Run:
    metrics = SIZE | ({} if n is None else {"n_valid": n})
    return Run(config_id=f"baseline-{name}-0123abcd", budget=budget, loss=loss, seed=seed, origin=Origin.BASELINE, metrics=metrics)


def searched(config_id: str, loss: float, *, seed: int = 0, budget: float = 9.0, n: float = 1000.0, **more: Any) -> Run:
    return Run(config_id=config_id, budget=budget, loss=loss, seed=seed, metrics={"n_valid": n}, **more)


def compared(tmp_path: Path, *runs: Run) -> Comparison:
    found = validation(read(make_study(tmp_path / "s", runs)))
    assert found is not None
    return found


def test_wilson_is_that_of_a_published_example() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3: 81 of 263, and 0 of 20
    assert wilson(81 / 263, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx([0.0, 0.1611], abs=5e-5)
    assert wilson(1.5, 20) is None
    assert wilson(0.5, None) is None


def test_seeds_by_hand(tmp_path: Path) -> None:
    found = compared(tmp_path, *(baseline("a", loss, seed=k) for k, loss in enumerate((0.1, 0.2, 0.3))))
    (row,) = found["rows"]
    assert (row["name"], row["kind"], row["n_seeds"], row["n_images"]) == ("a", "baseline", 3, 1000)
    assert (row["error"], row["sd"]) == pytest.approx((0.2, 0.1))
    assert row["seed_interval"] == pytest.approx([0.0, 0.2 + 0.248414], abs=1e-5)  # t of 2: 4.302653, times .1 / sqrt(3)
    assert (row["params"], row["flops"], row["train_s"]) == (1e6, 2e6, 9.0)
    assert (row["difference"], row["p_value"], row["test"]) == (None, None, None)  # nothing to compare with


@pytest.mark.parametrize(
    ("losses", "n", "expected"),
    [
        ((0.8, 0.9, 1.0), 1000.0, [0.9 - 0.248414, 1.0]),
        ((0.1, 0.2, 0.3), None, [-0.048414, 0.448414]),
        ((4.0, 5.0, 6.0), 10.0, [2.51586, 7.48414]),
    ],
)
def test_what_is_no_share_of_images_may_lie_anywhere(
    tmp_path: Path, losses: tuple[float, ...], n: float | None, expected: list[float]
) -> None:
    (row,) = compared(tmp_path, *(baseline("a", loss, seed=k, n=n) for k, loss in enumerate(losses)))["rows"]
    assert row["seed_interval"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("error", [0.1, 0.137, 0.5])
def test_equal_seeds_have_no_interval(tmp_path: Path, error: float) -> None:
    (row,) = compared(tmp_path, *(baseline("a", error, seed=k) for k in range(3)))["rows"]
    assert (row["sd"], row["seed_interval"]) == (0.0, None)


def test_one_seed_each_is_tested_on_its_images(tmp_path: Path) -> None:
    found = compared(tmp_path, baseline("a", 0.13), searched("x", 0.10), searched("y", 0.4))
    row, own = found["rows"]
    assert (own["name"], own["kind"], own["error"]) == ("x-9-0", "incumbent", 0.10)
    assert row["difference"] == pytest.approx(0.03)
    z = 0.03 / math.sqrt(0.115 * 0.885 * 2 / 1000)
    assert row["p_value"] == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert row["test"] is not None
    assert row["test"].startswith("the two-proportion z-test on 1,000 and 1,000 images")


def test_images_and_size_of_several_seeds_are_those_of_the_incumbent(tmp_path: Path) -> None:
    """Whichever of them was told first."""
    found = compared(tmp_path, baseline("b", 0.4), searched("a", 0.3, n=500.0), searched("a", 0.2, seed=1))
    own = found["rows"][-1]
    assert (own["name"], own["n_seeds"], own["n_images"]) == ("a-9-1", 2, 1000)
    assert own["wilson"] == pytest.approx(proportion_confint(200, 1000, method="wilson"))


def test_one_seed_is_held_against_the_spread_of_several(tmp_path: Path) -> None:
    seeds = [baseline("resnet", loss, seed=k) for k, loss in enumerate((0.25, 0.4, 0.45))]
    row = compared(tmp_path, *seeds, searched("c1", 0.3))["rows"][0]
    assert row["test"] is not None
    assert row["test"].startswith("the t-test of one seed against 3")
    t = (11 / 30 - 0.3) / 0.104083 / (4 / 3) ** 0.5  # mean 11/30, standard deviation sqrt(0.0216667 / 2)
    assert row["p_value"] == pytest.approx(1 - t / (2 + t * t) ** 0.5, abs=1e-4)  # Student's t has this tail with two degrees of freedom


def test_several_seeds_each_are_tested_by_welch(tmp_path: Path) -> None:
    runs = [baseline("a", loss, seed=k) for k, loss in enumerate((0.3, 0.4, 0.5))]
    found = compared(tmp_path, *runs, searched("x", 0.1), searched("x", 0.2, seed=1))
    row, own = found["rows"]
    assert own["n_seeds"] == 2
    assert own["error"] == pytest.approx(0.15)
    # t = .25 / sqrt(.01 / 3 + .005 / 2), Welch's degrees of freedom (.01 / 3 + .005 / 2)^2 / ((.01 / 3)^2 / 2 + (.005 / 2)^2)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(3.27327, 2.8824), abs=1e-4)
    assert row["test"] == "Welch's t-test over seeds"


@pytest.mark.parametrize("seeds", [1, 2])
def test_seeds_that_do_not_differ_say_nothing_of_how_much_seeds_differ(tmp_path: Path, seeds: int) -> None:
    runs = [*(baseline("a", 0.1, seed=k) for k in range(3)), *(searched("x", 0.05, seed=k) for k in range(seeds))]
    row, own = compared(tmp_path, *runs)["rows"]
    assert (row["n_seeds"], own["n_seeds"]) == (3, seeds)
    assert row["difference"] == pytest.approx(0.05)
    assert (row["p_value"], row["p_holm"]) == (None, None)
    assert row["test"] is not None
    assert row["test"].startswith("no test: the seeds of neither differ")


def test_p_values_are_adjusted_over_the_baselines(tmp_path: Path) -> None:
    found = compared(tmp_path, baseline("a", 0.13), baseline("b", 0.2), baseline("c", 0.11, n=None), searched("x", 0.10))
    a, b, c, _ = found["rows"]
    assert a["p_value"] is not None
    assert b["p_value"] is not None
    assert (a["p_holm"], b["p_holm"]) == pytest.approx((a["p_value"], 2 * b["p_value"]))
    assert (c["p_value"], c["p_holm"], c["wilson"]) == (None, None, None)
    assert c["test"] is not None
    assert c["test"].startswith("no test")


def test_only_equal_time_is_compared(tmp_path: Path) -> None:
    baselines = [baseline("a", 0.3, budget=3.0), baseline("b", 0.1, budget=27.0)]
    found = compared(tmp_path, *baselines, searched("x", 0.2, budget=3.0), searched("y", 0.01, budget=9.0))
    assert found["budget"] == 3.0
    assert [(row["name"], row["error"]) for row in found["rows"]] == [("a", 0.3), ("x-3-0", 0.2)]


def test_the_dearest_baselines_stand_alone_where_the_search_has_no_such_budget(tmp_path: Path) -> None:
    found = compared(tmp_path, baseline("a", 0.3, budget=3.0), baseline("b", 0.1, budget=27.0), searched("y", 0.01))
    assert (found["budget"], [row["name"] for row in found["rows"]]) == (27.0, ["b"])


def test_what_breaks_a_constraint_or_failed_is_not_compared(tmp_path: Path) -> None:
    runs = [
        baseline("a", 0.3),
        baseline("b", Status.CRASHED),
        searched("x", 0.1, details={"violates": ["params <= 1"]}),
        searched("y", 0.2),
    ]
    assert [row["name"] for row in compared(tmp_path, *runs)["rows"]] == ["a", "y-9-0"]


def test_a_budget_at_which_only_weights_were_shared_has_nothing_to_compare_with(tmp_path: Path) -> None:
    baselines = [baseline("a", 0.3, budget=3.0), baseline("a", 0.2)]
    found = compared(tmp_path, *baselines, searched("x", 0.25, budget=3.0), searched("y", 0.05, origin=Origin.SEARCH))
    assert (found["budget"], [row["name"] for row in found["rows"]]) == (3.0, ["a", "x-3-0"])


def test_without_baselines_there_is_none(tmp_path: Path) -> None:
    assert validation(read(make_study(tmp_path / "s", [searched("x", 0.1)]))) is None


def test_losses_that_are_no_shares_are_compared_without_images(tmp_path: Path) -> None:
    row, own = compared(tmp_path, baseline("a", 3.0), searched("x", 2.0))["rows"]
    assert (row["difference"], row["wilson"], own["wilson"], row["p_value"]) == (1.0, None, None, None)


def test_no_error_at_all_is_no_difference(tmp_path: Path) -> None:
    row, _ = compared(tmp_path, baseline("a", 0.0), searched("x", 0.0))["rows"]
    assert row["p_value"] == 1.0


def test_no_image_right_is_no_difference(tmp_path: Path) -> None:
    row, _ = compared(tmp_path, baseline("a", 1.0), searched("x", 1.0))["rows"]
    assert row["p_value"] == 1.0


def test_models_trained_for_good_have_test_errors(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s")
    assert trained(study, [1.0, 9.0]) is None
    for seed, (error, config) in enumerate([(0.1, {"width": 4}), (0.2, {"width": 4})]):
        folder = study.trained / f"seed-{seed}"
        folder.mkdir(parents=True)
        facts = {"test_error": error, "n_test": 500, "params": 7.0, "flops": 8.0, "train_s": 9.05, "seed": seed, "config": config}
        (folder / "model.json").write_text(json.dumps(facts))
    (study.trained / "seed-7").mkdir()
    (study.trained / "seed-7" / "model.json").write_text("no JSON")
    found = trained(study, [1.0, 9.0])
    assert found is not None
    assert (found["measured"], found["budget"]) == ("test", 9.0)
    (row,) = found["rows"]
    assert (row["name"], row["n_seeds"], row["n_images"]) == ("trained for good", 2, 500)
    assert row["error"] == pytest.approx(0.15)
    assert row["wilson"] == wilson(0.1, 500)


def model(study: StudyDir, seed: int, error: float, train_s: float, **facts: Any) -> None:
    """A model trained for good."""
    folder = study.trained / f"seed-{seed}"
    folder.mkdir(parents=True)
    told = {"test_error": error, "n_test": 500, "train_s": train_s, "seed": seed, "config": {"width": 4}, **facts}
    (folder / "model.json").write_text(json.dumps(told))


def test_seeds_of_an_earlier_training_for_good_are_rows_of_their_own(tmp_path: Path) -> None:
    """Three seeds were trained for an hour, then one anew for two, then one on other data, and one on other images of that name."""
    study = make_study(tmp_path / "s")
    model(study, 0, 0.04, 7200.0, budget_s=7200.0, dataset="cifar10", fingerprint="a")
    model(study, 1, 0.08, 3600.0, budget_s=3600.0, dataset="cifar10", fingerprint="a")
    model(study, 2, 0.06, 3400.0, budget_s=3600.0, dataset="cifar10", fingerprint="a")
    model(study, 3, 0.02, 3600.0, budget_s=3600.0, dataset="svhn", fingerprint="b")
    model(study, 4, 0.03, 3600.0, budget_s=3600.0, dataset="svhn", fingerprint="c")
    found = trained(study, [3600.0])
    assert found is not None
    assert found["budget"] is None
    assert [(row["name"], row["budget"], row["n_seeds"], row["error"]) for row in found["rows"]] == [
        ("trained for good, 1, 2h, cifar10", 7200.0, 1, 0.04),
        ("trained for good, 2, 1h, cifar10", 3600.0, 2, pytest.approx(0.07)),
        ("trained for good, 3, 1h, svhn", 3600.0, 1, 0.02),
        ("trained for good, 4, 1h, svhn", 3600.0, 1, 0.03),
    ]


def test_the_budget_of_models_is_that_which_they_tell_and_not_what_they_took(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s")
    model(study, 0, 0.04, 3100.0, budget_s=3600.0)
    model(study, 1, 0.05, 3550.0, budget_s=3600.0, training={"max_steps": 9})
    found = trained(study, [3100.0])
    assert found is not None
    assert (found["budget"], [row["budget"] for row in found["rows"]]) == (3600.0, [3600.0, 3600.0])


def test_models_of_another_configuration_than_the_incumbent_s_say_so(tmp_path: Path) -> None:
    """As where the search went on and found a better one."""
    study = make_study(tmp_path / "s")
    model(study, 0, 0.04, 60.0)
    for incumbent, name in (({"width": 4}, "trained for good"), ({"width": 8}, "trained for good, not the incumbent")):
        found = trained(study, [60.0], incumbent)
        assert found is not None
        assert [row["name"] for row in found["rows"]] == [name]
    model(study, 1, 0.02, 60.0, config={"width": 8})
    both = trained(study, [60.0], {"width": 8})
    assert both is not None
    assert [row["name"] for row in both["rows"]] == ["trained for good, 1, not the incumbent", "trained for good, 2"]


def test_trainings_that_differ_in_more_than_the_seed_are_rows_of_their_own(tmp_path: Path) -> None:
    """One without and two with a policy, and two of a version that did not tell its training."""
    study = make_study(tmp_path / "s")
    plain: dict[str, Any] = {"policy": [], "schedule": "cosine", "max_steps": None}
    model(study, 0, 0.1, 60.0, budget_s=60.0, training=plain)
    for seed, error in ((1, 0.2), (2, 0.4)):
        model(study, seed, error, 60.0, budget_s=60.0, training={**plain, "policy": [{"choices": [], "bins": None}]})
    for seed, error in ((3, 0.5), (4, 0.7)):
        model(study, seed, error, 60.0, budget_s=60.0)
    found = trained(study, [60.0])
    assert found is not None
    assert [(row["n_seeds"], row["error"]) for row in found["rows"]] == [(1, 0.1), (2, pytest.approx(0.3)), (2, pytest.approx(0.6))]


def test_models_that_do_not_tell_their_budget_go_by_their_time(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s")
    for seed, train_s in enumerate([100.0, 101.5, 103.0]):
        model(study, seed, 0.1, train_s, dataset="cifar10", fingerprint="a")
    found = trained(study, [100.0])
    assert found is not None
    assert [(row["name"], row["n_seeds"]) for row in found["rows"]] == [
        ("trained for good, 1, 100s", 2),
        ("trained for good, 2, 103s", 1),
    ]
    assert [row["budget"] for row in found["rows"]] == [100.0, 103.0]
    assert found["budget"] is None
