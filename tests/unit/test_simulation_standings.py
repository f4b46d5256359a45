"""What a comparison says, on runs small enough to work out by hand."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from rich.console import Console
from simulation_fakes import CONDITIONS, finished

from bohb_nas.errors import UsageError
from bohb_nas.simulation import csv_files, tables
from bohb_nas.simulation.curves import best_known, comparisons
from bohb_nas.simulation.figures import draw
from bohb_nas.simulation.results import Finished
from bohb_nas.simulation.standings import choose_reference, standings

HORIZON_20 = replace(CONDITIONS, horizon=20.0)


def figures(runs: list[Finished], reference: str | None = None) -> dict[str, Any]:
    stored = {run.key: run for run in runs}
    (one,) = comparisons(stored, best=best_known(runs), methods=list(dict.fromkeys(r.key.method for r in runs)))
    return standings(one, reference=reference)


def constant(method: str, problem: str, seed: int, loss: float) -> Finished:
    """A run whose only incumbent, of the highest rung, is found at time 1."""
    return finished(method, problem, seed, recommended=[(1.0, loss, 1)])


def row(table: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [r for r in table if all(r[name] == value for name, value in wanted.items())]
    return found


def test_regret_at_checkpoints() -> None:
    # incumbents 0.6 at 0.5 (low rung), 0.8 at 1.5 (high rung), 0.2 at 4; best 0.1 is known by the other run only, median 1.1
    runs = [
        finished("a", median=1.1, best=0.3, recommended=[(0.5, 0.6, 0), (1.5, 0.8, 1), (4.0, 0.2, 1)]),
        finished("b", median=1.1, best=0.3, recommended=[(20.0, 0.1, 1)]),
    ]
    found = figures(runs)
    assert found["checkpoints"] == [1, 2, 5, 10]
    assert row(found["methods"], method="a")["mean_regret"] == pytest.approx([0.5, 0.7, 0.1, 0.1])
    assert row(found["methods"], method="a")["mean_strict_regret"] == pytest.approx([1.0, 0.7, 0.1, 0.1])
    assert row(found["methods"], method="b")["mean_regret"] == [1, 1, 1, 1]


def test_the_horizon_is_the_last_checkpoint() -> None:
    found = figures(
        [finished("a", conditions=replace(CONDITIONS, horizon=7.0)), finished("b", conditions=replace(CONDITIONS, horizon=7.0))]
    )
    assert found["checkpoints"] == [1, 2, 5, 7]
    found = figures(
        [finished("a", conditions=replace(CONDITIONS, horizon=0.5)), finished("b", conditions=replace(CONDITIONS, horizon=0.5))]
    )
    assert found["checkpoints"] == [0.5]
    assert found["methods"][0]["area"] is None


def test_ranks_on_seed_means_and_on_paired_seeds() -> None:
    # seed means a .4, b .3; by seed a wins two of three
    losses = {"a": (0.1, 0.1, 1.0), "b": (0.2, 0.2, 0.5)}
    found = figures([constant(m, "p", s, loss) for m, values in losses.items() for s, loss in enumerate(values)])
    assert row(found["methods"], method="a")["mean_rank"][-1] == 2
    assert row(found["methods"], method="a")["mean_rank_paired"][-1] == pytest.approx((1 + 1 + 2) / 3)
    assert row(found["by_problem"], method="a")["standard_error"][-1] == pytest.approx(0.3)  # sd of .1, .1, 1 is .3 sqrt 3


def test_quantiles_over_seeds_at_each_checkpoint() -> None:
    # at first all .9; at the end, of .1 to .8, those at the places 1, 2, 3 and 3.6 of 0 … 4
    seeds = enumerate((0.4, 0.1, 0.8, 0.3, 0.2))
    runs = [finished(m, "p", s, recommended=[(0.5, 0.9, 1), (9.0, x, 1)]) for s, x in seeds for m in "ab"]
    here = row(figures(runs)["by_problem"], method="a")
    assert [here[name][0] for name in ("q25", "median", "q75", "p90")] == [0.9] * 4
    assert [here[name][-1] for name in ("q25", "median", "q75", "p90")] == pytest.approx([0.2, 0.3, 0.4, 0.64])


def test_means_are_over_the_problems_that_all_have() -> None:
    runs = [constant("a", "p", 0, 0.5), constant("b", "p", 0, 0.25), constant("a", "q", 0, 0.0)]
    found = figures(runs)
    assert (found["problems"], found["problems_left_out"]) == (["p"], ["q"])
    assert row(found["methods"], method="a")["mean_regret"][-1] == 0.5
    assert row(found["by_problem"], method="a", problem="q")["mean"][-1] == 0.0


def test_nine_tenths_areas_and_strict_regrets_are_over_the_same_problems() -> None:
    # all .9 until 9; then on p .1 to .8, with a mean of .36 and .64 at nine tenths, on q half of that; b has not run on the last one
    seeds = enumerate((0.4, 0.1, 0.8, 0.3, 0.2))
    scales = (("p", 1.0), ("q", 0.5))
    runs = [finished(m, p, s, recommended=[(0.5, 0.9, 1), (9.0, scale * x, 1)]) for s, x in seeds for p, scale in scales for m in "ab"]
    of_a = row(figures([*runs, finished("a", "last", recommended=[(0.5, 0.0, 1)])])["methods"], method="a")
    assert of_a["p90"] == pytest.approx((0.64 + 0.32) / 2)
    late = math.log(10 / 9) / math.log(10)  # of the way from 1 to 10
    assert of_a["area"] == pytest.approx(0.9 * (1 - late) + (0.36 + 0.18) / 2 * late)
    assert of_a["mean_strict_regret"] == pytest.approx([0.9, 0.9, 0.9, 0.27])


def test_shares_of_workers_and_failures_are_over_the_same_problems() -> None:
    # on p one of four failed, .25 s; on q, which b has not run on, all
    p, q = constant("a", "p", 0, 0.5), replace(constant("a", "q", 0, 0.0), failed=4, busy=1.0, cpu_s=8.0)
    found = row(figures([p, q, constant("b", "p", 0, 0.25)])["methods"], method="a")
    assert (found["busy"], found["failed"], found["cpu_ms"]) == (0.5, 0.25, 62.5)
    apart = figures([q, constant("b", "p", 0, 0.25)])
    assert [(r["busy"], r["failed"], r["cpu_ms"]) for r in apart["methods"]] == [(None, None, None)] * 2
    assert "0 problems, without p, q" in shown(apart)


def test_fewer_seeds_are_shown_and_paired_as_far_as_they_go() -> None:
    runs = [constant("a", "p", s, 0.5) for s in range(6)] + [constant("b", "p", s, 0.25) for s in range(3)]
    found = figures(runs, reference="a")
    assert row(found["methods"], method="b")["n_seeds"] == [3, 3]
    test = row(found["against_reference"], method="b")["by_problem"][0]
    assert (test["n_pairs"], test["difference"], test["p"]) == (3, -0.25, 2 / 2**3)


def test_speed_up_is_relative_to_random_search_at_its_end() -> None:
    # random search ends at .3; fast is there at 2, slow never
    runs = [
        finished("random_search", recommended=[(1.0, 0.9, 1), (8.0, 0.3, 1)]),
        finished("fast", recommended=[(2.0, 0.3, 1)]),
        finished("slow", recommended=[(2.0, 0.31, 1)]),
    ]
    found = figures(runs)
    shown = {r["method"]: (r["speed_up"], r["never_as_good"]) for r in found["methods"]}
    assert shown == {"random_search": (10 / 8, 0), "fast": (5.0, 0), "slow": (1.0, 1)}


def reaches(method: str, problem: str, times: list[float | None]) -> list[Finished]:
    """A seed for each time at which a method comes to .3; None never does."""
    return [
        finished(method, problem, s, recommended=[(0.5, 0.9, 1)] if t is None else [(0.5, 0.9, 1), (t, 0.3, 1)])
        for s, t in enumerate(times)
    ]


def test_speed_ups_are_medians_over_seeds_and_then_over_problems() -> None:
    # p: 1, 2, 4, 8 and never: 10 / 4; q: 10 / 1; r: three of four never, 10 / 10
    runs = [run for problem in "pqr" for run in reaches("random_search", problem, [8.0] * 5)]
    runs += reaches("a", "p", [1.0, 2.0, 4.0, 8.0, None]) + reaches("a", "q", [1.0] * 5) + reaches("a", "r", [1.0, None, None, None])
    found = figures(runs)
    assert {r["problem"]: r["speed_up"] for r in found["by_problem"] if r["method"] == "a"} == {"p": 2.5, "q": 10.0, "r": 1.0}
    of_a = row(found["methods"], method="a")
    assert (of_a["speed_up"], of_a["never_as_good"]) == (2.5, 1)


def test_where_half_of_the_seeds_get_there_a_method_is_as_good() -> None:
    # the median of 2, 2, never and never, which count with the horizon, is 6
    runs = reaches("random_search", "p", [8.0] * 4) + reaches("a", "p", [2.0, 2.0, None, None])
    of_a = row(figures(runs)["methods"], method="a")
    assert (of_a["speed_up"], of_a["never_as_good"]) == (pytest.approx(10 / 6), 0)


def test_the_speed_up_refers_to_the_median_seed_of_random_search() -> None:
    # which ends at .3, of .1 to .8: the other is there at 5
    runs = [finished("random_search", "p", s, recommended=[(0.5, 0.9, 1), (9.0, x, 1)]) for s, x in enumerate((0.1, 0.2, 0.3, 0.4, 0.8))]
    runs += [finished("a", "p", s, recommended=[(0.5, 0.5, 1), (1.0, 0.35, 1), (5.0, 0.3, 1), (7.0, 0.2, 1)]) for s in range(5)]
    assert row(figures(runs)["methods"], method="a")["speed_up"] == 2.0


def test_without_random_search_there_is_no_speed_up_and_no_safety() -> None:
    found = figures([constant("a", "p", 0, 0.5), constant("b", "p", 0, 0.25)])
    assert [r["speed_up"] for r in found["methods"]] == [None, None]
    assert found["safety"] == []


def test_safety_names_where_a_method_is_worse_than_random_search() -> None:
    # ten seeds, always worse on p: 2^-10 at each of 5 and 10; two problems, four tests: 4 / 1024
    runs = [constant("random_search", problem, s, 0.3 + s / 100) for problem in "pq" for s in range(10)]
    runs += [constant("a", "p", s, 0.4 + s / 90) for s in range(10)] + [constant("a", "q", s, 0.2 + s / 110) for s in range(10)]
    safety = row(figures(runs)["safety"], method="a")
    assert [(w["problem"], w["checkpoint"]) for w in safety["worse"]] == [("p", 5.0), ("p", 10.0)]
    assert safety["smallest_p"] == pytest.approx(4 / 1024)
    assert (safety["n_tests"], safety["n_pairs"], safety["cannot_tell"]) == (4, [10, 10], [])


def test_safety_says_how_much_worse_a_method_is() -> None:
    runs = [constant(m, "p", s, loss + s / 50) for m, loss in (("random_search", 0.2), ("a", 0.5)) for s in range(10)]
    (safety,) = figures(runs)["safety"]
    assert [(w["checkpoint"], w["difference"]) for w in safety["worse"]] == [(5.0, pytest.approx(0.3)), (10.0, pytest.approx(0.3))]


def test_safety_says_when_there_are_too_few_seeds_to_tell() -> None:
    runs = [constant(m, "p", s, loss) for m, loss in (("random_search", 0.1), ("a", 0.9)) for s in range(5)]
    safety = figures(runs)["safety"][0]
    assert (safety["worse"], safety["cannot_tell"]) == ([], ["p"])  # 2^-5 twice is 1/16


def test_safety_names_the_problems_with_too_few_seeds() -> None:
    runs = [constant(m, "p", s, loss) for m, loss in (("random_search", 0.2), ("a", 0.1)) for s in range(20)]
    runs += [constant(m, "q", s, loss) for m, loss in (("random_search", 0.2), ("a", 0.1)) for s in range(2)]
    runs += [constant("random_search", "r", s, 0.2) for s in range(20)] + [constant("a", "r", s, 0.3 if s < 3 else 0.2) for s in range(20)]
    found = figures(runs)
    assert (found["safety"][0]["cannot_tell"], found["safety"][0]["n_pairs"]) == (["q", "r"], [2, 20])
    assert row(found["against_reference"], method="a")["by_problem"][2]["n_differing"] == 3
    assert "nowhere, but too few seeds that differ to tell on q, r" in shown(found)


def test_what_is_worse_could_be_told() -> None:
    # p: 2^-10 at 5 and at 10; q: 2^-6, which two of four tests are left for: 2 / 64 < .05, though 4 / 64 is not
    runs = [constant("random_search", problem, s, 0.1) for problem in "pq" for s in range(10)]
    runs += [constant("a", problem, s, 0.3 + s / 10) for problem, n in (("p", 10), ("q", 6)) for s in range(n)]
    safety = row(figures(runs)["safety"], method="a")
    assert {w["problem"] for w in safety["worse"]} == {"p", "q"}
    assert safety["cannot_tell"] == []


def test_a_problem_without_common_seeds_is_no_test() -> None:
    runs = [constant(m, "p", s, loss + s / 100) for m, loss in (("random_search", 0.1), ("a", 0.5)) for s in range(6)]
    runs += [constant("random_search", "q", s, 0.2) for s in range(6)] + [constant("a", "q", s, 0.1) for s in range(6, 12)]
    found = figures(runs)
    safety = row(found["safety"], method="a")
    assert (safety["n_tests"], safety["n_pairs"], safety["cannot_tell"]) == (2, [0, 6], ["q"])  # on p at 5 and 10: 2 / 2^6 < .05
    assert "0.525 +- 0.008!" in shown(found), "2 / 2^6 in one test"
    assert "cannot show" not in shown(found)


def test_marks_that_so_many_ties_cannot_show() -> None:
    runs = [constant("a", "p", s, 0.2) for s in range(20)] + [constant("b", "p", s, 0.1 if s < 4 else 0.2) for s in range(20)]
    found = figures(runs, reference="a")
    assert found["against_reference"][0]["by_problem"][0]["p"] == pytest.approx(2 / 2**4)
    assert "which so few seeds that differ cannot show" in shown(found)


@pytest.mark.parametrize("losses", [((0.1, 0.2, 0.3), (0.3, 0.2, 0.1)), ((0.1, 0.2), (0.15, 0.15))])
def test_means_that_only_rounding_tells_apart_are_equal(losses: tuple[tuple[float, ...], ...]) -> None:
    runs = [constant(m, f"p{k}", s, x) for m, own in zip("ab", losses, strict=True) for k in range(8) for s, x in enumerate(own)]
    found = figures(runs, reference="b")
    assert [r["mean_rank"][-1] for r in found["methods"]] == [1.5, 1.5]
    test = found["against_reference"][0]["over_problems"][-1]
    assert (test["better_on"], test["p"]) == (0, 1.0)
    assert found["across"][-1]["not_told_apart"] == [["a", "b"]]


@pytest.mark.parametrize(("n_seeds", "said"), [(5, True), (8, False)])
def test_marks_that_so_few_seeds_cannot_show(n_seeds: int, said: bool) -> None:
    """Over four problems at best 4 x 2 / 2^5 = .25, and 4 x 2 / 2^8 = .03."""
    runs = [constant(m, f"p{k}", s, loss) for m, loss in (("a", 0.1), ("b", 0.2)) for k in range(4) for s in range(n_seeds)]
    text = shown(figures(runs, reference="a"))
    assert "* better, ! worse than a (Holm)" in text
    assert ("which so few seeds that differ cannot show" in text) is said


def test_tests_over_problems() -> None:
    # b is lower than a on each of six problems, half of its regret
    runs = [constant("a", f"p{k}", 0, (k + 1) / 10) for k in range(6)] + [constant("b", f"p{k}", 0, (k + 1) / 20) for k in range(6)]
    found = row(figures(runs, reference="a")["against_reference"], method="b")
    test = found["over_problems"][-1]
    assert (test["better_on"], test["n_problems"], test["rank_difference"]) == (6, 6, [-1, None, None])
    assert test["p"] == pytest.approx(2 / 2**6)
    assert test["regret_reduction"] == pytest.approx(0.5)


def test_against_a_reference_without_regret_there_is_no_reduction() -> None:
    tests = figures([constant("a", "p", 0, 0.5), constant("b", "p", 0, 0.0)], reference="b")["against_reference"][0]["over_problems"]
    assert [test["regret_reduction"] for test in tests] == [None] * 4


def test_the_ratio_of_regrets_is_over_the_checkpoints_from_5_on() -> None:
    # a is worse until 3; at 5 and at 10 (.09 + .01) / (.19 + .01) on p, (.39 + .01) / (.49 + .01) on q
    runs = [finished("a", p, recommended=[(0.5, 0.9, 1), (3.0, x, 1)]) for p, x in (("p", 0.09), ("q", 0.39))]
    runs += [constant("b", p, 0, x) for p, x in (("p", 0.19), ("q", 0.49))]
    assert row(figures(runs, reference="b")["against_reference"], method="a")["ratio"] == pytest.approx(math.sqrt(0.5 * 0.8))


def test_each_problem_is_tested_at_the_end() -> None:
    # a is worse in each of six pairs at first, and better from 6 on
    runs = [finished("a", "p", s, recommended=[(0.5, 0.9, 1), (6.0, 0.1 + s / 100, 1)]) for s in range(6)]
    runs += [constant("b", "p", s, 0.2 + s / 50) for s in range(6)]
    (test,) = row(figures(runs, reference="b")["against_reference"], method="a")["by_problem"]
    assert (test["difference"], test["p"]) == (pytest.approx(-0.125), 2 / 2**6)


def test_the_mark_is_that_of_the_test_where_one_seed_turns_the_mean() -> None:
    # worse by little on 19 seeds, ranks 1 ... 19, and better by far on one, rank 20: (190 - 20) / 210
    runs = [constant("bohb_2018", "p", s, 0.30 if s < 19 else 1.0) for s in range(20)]
    runs += [constant("random_search", "p", s, 0.30 if s < 19 else 1.0) for s in range(20)]
    runs += [constant("mine", "p", s, 0.31 + s / 10_000 if s < 19 else 0.0) for s in range(20)]
    found = figures(runs)
    (test,) = row(found["against_reference"], method="mine")["by_problem"]
    assert test["difference"] < 0
    assert (test["rank_biserial"], test["p_holm"] < 0.01) == (pytest.approx(170 / 210), True)
    (line,) = [line for line in shown(found).splitlines() if line.split()[0:1] == ["p"]]
    assert ("!" in line, "*" in line) == (True, False)
    (line,) = [line for line in shown(found).splitlines() if "p at 5" in line]
    assert "(-" not in line, "the mean difference says that it is better"


def test_runs_on_an_older_version_of_a_problem_say_nothing_of_its_best() -> None:
    now = [constant("a", "p", 0, 0.5), constant("b", "p", 0, 0.3)]
    beside = [constant("c", "p", 0, 0.2), replace(constant("d", "p", 0, -1.0), problem_code="old"), constant("e", "q", 0, -2.0)]
    lowest = min(run.best for run in now)
    assert lowest <= 0.2
    assert best_known(now, beside=beside) == {"p": lowest}
    assert best_known(now, beside=[constant("c", "p", 0, lowest - 0.1)]) == {"p": lowest - 0.1}


def test_problems_on_which_runs_of_different_code_are_compared_are_named() -> None:
    runs = [constant(m, p, 0, 0.5) for m in "ab" for p in "pq"]
    assert figures(runs)["problems_of_different_code"] == []
    mixed = figures([replace(runs[0], problem_code="old"), *runs[1:]])
    assert mixed["problems_of_different_code"] == ["p"]
    assert "runs on different code of p: their regrets may not be comparable" in shown(mixed)


def test_comparisons_under_other_conditions_are_apart() -> None:
    runs = [finished("a", conditions=replace(CONDITIONS, workers=w)) for w in (16, 1, 4)]
    found = comparisons({run.key: run for run in runs}, best={"p": 0.0})
    assert [c.conditions.workers for c in found] == [1, 4, 16]


def test_methods_stand_in_the_order_in_which_they_were_named_and_the_others_by_name() -> None:
    runs = [constant(method, "p", 0, 0.5) for method in "bdca"]
    (one,) = comparisons({run.key: run for run in runs}, best={"p": 0.0}, methods=["d", "b"])
    assert one.methods == ("d", "b", "a", "c")


def test_the_reference() -> None:
    assert choose_reference(["asha", "random_search", "bohb_2018"], None) == "bohb_2018"
    assert choose_reference(["asha", "random_search"], None) == "random_search"
    assert choose_reference(["asha", "bohb"], None) == "asha"
    assert choose_reference(["asha", "bohb"], "bohb") == "bohb"
    with pytest.raises(UsageError, match=r"'x'.*asha, bohb"):
        choose_reference(["asha", "bohb"], "x")


@pytest.fixture
def many() -> list[Finished]:
    """Four methods on three problems, three seeds; one method saw two seeds only and came of two versions of the code."""
    runs = [
        finished(m, p, s, recommended=[(0.3, 0.9, 0), (1.0 + s, 0.5 / (k + 1), 1)], conditions=HORIZON_20)
        for k, m in enumerate(("random_search", "hyperband", "asha", "slow"))
        for p in ("rankcross/0", "lcbench/1", "nb301_v0/cifar10")
        for s in range(3)
        if m != "slow" or s < 2
    ]
    return [*runs[:-1], replace(runs[-1], code="0ther")]


def shown(found: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=240, highlight=False)
    console.print(tables.standings(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_show_everything(many: list[Finished]) -> None:
    text = shown(figures(many))
    for words in (
        "W = 4, promoted configurations restart, overhead none, horizon 20",
        "runs of different code: slow",
        "at 20",
        "strict",
        "too few seeds that differ to tell on lcbench/1, nb301_v0/cifar10, rankcross/0",
    ):
        assert words in text
    assert "nan" not in text.lower().replace("name", "")
    assert "critical difference 2.71" in text  # 2.569 sqrt(4 * 5 / (6 * 3))


def test_csv_files_hold_the_figures(tmp_path: Path, many: list[Finished]) -> None:
    found = figures(many)
    written = csv_files.write([found], tmp_path)
    assert [path.name for path in written] == ["methods.csv", "problems.csv", "tests.csv", "tests_by_problem.csv", "safety.csv"]
    rows = list(csv.DictReader((tmp_path / "problems.csv").read_text().splitlines()))
    assert len(rows) == 4 * 3 * 5
    last = row([dict(r) for r in rows], method="hyperband", problem="rankcross/0", checkpoint="20.0")
    assert (last["workers"], last["n_seeds"], float(last["mean"])) == ("4", "3", 0.25)
    safe = row([dict(r) for r in csv.DictReader((tmp_path / "safety.csv").read_text().splitlines())], method="slow")
    assert (safe["n_pairs"], safe["cannot_tell"]) == ("2 2", "lcbench/1 nb301_v0/cifar10 rankcross/0")


def test_the_csv_file_of_tests_has_the_limits_of_the_difference_of_ranks_in_order(tmp_path: Path) -> None:
    # a is better on the first six of eight problems: differences of -1 and 1
    runs = [constant(m, f"p{k}", 0, x) for k in range(8) for m, x in (("a", 0.2 if k < 6 else 0.4), ("b", 0.3))]
    csv_files.write([figures(runs, reference="b")], tmp_path)
    last = list(csv.DictReader((tmp_path / "tests.csv").read_text().splitlines()))[-1]
    low, mean, high = (float(last[f"rank_difference{name}"]) for name in ("_low", "", "_high"))
    assert mean == -0.5
    assert low < mean < high


def test_figures_are_the_same_bytes_for_the_same_runs(tmp_path: Path, many: list[Finished]) -> None:
    stored = {run.key: run for run in many}
    (one,) = comparisons(stored, best=best_known(many))
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written = draw(one, standings(one), tmp_path / name)
        contents.append({path.name: path.read_bytes() for path in written})
    assert contents[0] == contents[1]
    assert {name for name in contents[0] if name.endswith(".svg")} == {
        "regret-by-problem-w4-restart-20.svg",
        "regret-w4-restart-20.svg",
        "critical-difference-w4-restart-20-at-10.svg",
        "critical-difference-w4-restart-20-at-20.svg",
    }
    assert b"hyperband" in contents[0]["regret-w4-restart-20.svg"]


def test_a_mean_regret_of_none_stays_on_the_logarithmic_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, step = {}, Axes.step

    def seen(place: Axes, times: Any, values: Any, **how: Any) -> Any:
        shown[how["label"]] = values
        return step(place, times, values, **how)

    monkeypatch.setattr(Axes, "step", seen)
    runs = [constant(m, "p", s, x) for m, x in (("random_search", 0.5), ("a", 0.0)) for s in range(2)]
    (one,) = comparisons({run.key: run for run in runs}, best=best_known(runs))
    draw(one, standings(one), tmp_path)
    assert shown["a"][-1] == 1e-4
    assert shown["random_search"][-1] == 0.5


def test_one_of_something_is_not_told_in_the_plural() -> None:
    one = {"checkpoint": 5.0, "n_problems": 1, "mean_rank": {"bohb": 1.0}, "p": None, "critical_difference": None, "not_told_apart": []}
    two = {**one, "n_problems": 2, "mean_rank": {"bohb": 1.0, "asha": 2.0}}
    assert tables.across({"across": [one, two]}) == [
        "",
        "at 5 costs, 1 problem, 1 method: too few for Friedman's test",
        "at 5 costs, 2 problems, 2 methods: too few for Friedman's test",
    ]


def test_methods_that_do_not_differ_are_not_too_few_for_friedmans_test() -> None:
    lines = tables.across(figures([constant(m, p, s, 0.5) for m in "abcd" for p in "pqr" for s in range(3)]))
    assert len(lines) == 2
    assert "3 problems, 4 methods: no Friedman's test, as no method differs from another" in lines[1]
