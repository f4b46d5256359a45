import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, ForbiddenAndConjunction, ForbiddenEqualsClause

import bohb_nas
from bohb_nas import refs
from bohb_nas.errors import OptionError, RefError, SpaceError, UsageError
from bohb_nas.methods import Method, bohb, bohb_2018, hyperband, make_optimizer
from bohb_nas.records import Budgets, Idle, Origin, Result, Status, Trial
from bohb_nas.samplers.tpe import hpbandster_choice
from bohb_nas.search_spaces import toy
from bohb_nas.testing import check_file

BUDGETS = Budgets(min=400, max=10800, eta=3)
ONE_RUNG = Budgets(min=1, max=1)


def space(d: int = 2) -> ConfigurationSpace:
    return ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(d)})


def result(trial: Trial, loss: float | None) -> Result:
    return Result(trial_id=trial.trial_id, status=Status.CRASHED if loss is None else Status.OK, loss=loss, train_s=1.0)


def ask(optimizer: Method) -> Trial:
    trial = optimizer.ask()
    assert isinstance(trial, Trial)
    return trial


def test_catalogue() -> None:
    assert {"asha", "bohb", "bohb_2018", "hyperband", "random_search"} <= set(refs.names("method"))


def test_public_names_are_there() -> None:
    assert all(hasattr(bohb_nas, name) for name in dir(bohb_nas))
    assert bohb_nas.make_optimizer is make_optimizer
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        bohb_nas.nothing_of_ours  # noqa: B018


def test_one_round_of_brackets_with_one_worker() -> None:
    optimizer = make_optimizer("hyperband", space=space(), budgets=BUDGETS, options=hyperband.Options(n_brackets=4))
    seen = []
    while isinstance(trial := optimizer.ask(), Trial):
        seen.append((trial.bracket, trial.rung, trial.budget))
        optimizer.tell(result(trial, trial.seed / 2**31))
    assert trial is Idle.DONE
    assert [(*place, len(list(group))) for place, group in itertools.groupby(seen)] == [
        (3, 0, 400, 27), (3, 1, 1200, 9), (3, 2, 3600, 3), (3, 3, 10800, 1),
        (2, 1, 1200, 9), (2, 2, 3600, 3), (2, 3, 10800, 1),
        (1, 2, 3600, 6), (1, 3, 10800, 2),
        (0, 3, 10800, 4),
    ]  # fmt: skip


def test_the_lowest_losses_move_up_with_their_seed() -> None:
    optimizer = make_optimizer("hyperband", space=space(), budgets=BUDGETS)
    first = [ask(optimizer) for _ in range(27)]
    for n, trial in enumerate(first):
        optimizer.tell(result(trial, float(abs(n - 20))))
    promoted = [ask(optimizer) for _ in range(9)]
    assert [t.config_id for t in promoted] == [f"c{n:05d}" for n in range(16, 25)]
    assert [(t.config, t.seed) for t in promoted] == [(t.config, t.seed) for t in first[16:25]]
    assert {t.origin for t in promoted} == {Origin.PROMOTED}
    assert optimizer.reason == "among the best 9 of 27 on budget 400"


def test_the_nth_configuration_is_the_same_however_many_promotions_came_before() -> None:
    told, untold = (make_optimizer("hyperband", space=space(), budgets=BUDGETS, seed=3) for _ in range(2))
    trials = []
    for _ in range(60):
        trials.append(ask(told))
        told.tell(result(trials[-1], 1.0))
    assert Origin.PROMOTED in {t.origin for t in trials}
    expected = {t.config_id: (t.config, t.seed) for t in (ask(untold) for _ in range(60))}
    assert {t.config_id: (t.config, t.seed) for t in trials} == {
        f"c{n:05d}": expected[f"c{n:05d}"] for n in range(len({t.config_id for t in trials}))
    }


def test_nobody_waits_for_a_rung_that_is_finishing() -> None:
    optimizer = make_optimizer("hyperband", space=space(), budgets=BUDGETS)
    trials = [ask(optimizer) for _ in range(30)]
    assert [t.bracket for t in trials] == [3] * 27 + [2] * 3
    for trial in trials[:27]:
        optimizer.tell(result(trial, 1.0))
    assert [(t.bracket, t.rung) for t in (ask(optimizer) for _ in range(10))] == [(3, 1)] * 9 + [(2, 1)]


def test_the_last_bracket_makes_idle_workers_wait() -> None:
    optimizer = make_optimizer("hyperband", space=space(), budgets=ONE_RUNG, options=hyperband.Options(n_brackets=1))
    trial = ask(optimizer)
    assert optimizer.ask() is Idle.WAIT
    assert optimizer.reason == "no trial until a result of the last brackets comes; running: 1"
    optimizer.tell(result(trial, None))
    assert optimizer.ask() is Idle.DONE


def test_failures_shrink_the_next_rung() -> None:
    optimizer = make_optimizer("hyperband", space=space(), budgets=BUDGETS, options=hyperband.Options(n_brackets=1))
    for n, trial in enumerate([ask(optimizer) for _ in range(27)]):
        optimizer.tell(result(trial, float(n) if n < 4 else None))
    seen = []
    while isinstance(answer := optimizer.ask(), Trial):
        seen.append((answer.rung, answer.config_id))
        optimizer.tell(result(answer, 1.0))
    assert seen == [(1, f"c0000{n}") for n in range(4)] + [(2, f"c0000{n}") for n in range(3)] + [(3, "c00000")]


def test_promotable_by_hand() -> None:
    """Of 1, 3 and 9 nine enter bracket 2, three bracket 1, and at the top, where nothing goes on, three bracket 0."""
    budgets = Budgets(min=1, max=9)
    optimizer = hyperband.make(space=space(), budgets=budgets, seed=0, n_workers=1, options=hyperband.Options())
    assert optimizer.promotable() == set()
    first = [ask(optimizer) for _ in range(15)]
    beside = {"c00009", "c00010", "c00011"}
    assert optimizer.promotable() == {f"c{n:05d}" for n in range(9)} | beside
    for n, trial in enumerate(first[:9]):
        optimizer.tell(result(trial, float(-n)))
    assert optimizer.promotable() == {"c00006", "c00007", "c00008"} | beside
    for trial in [ask(optimizer) for _ in range(3)]:
        optimizer.tell(result(trial, float(trial.config_id != "c00007")))
    top = ask(optimizer)
    assert optimizer.promotable() == {"c00007"} | beside, "at the top it still has to read what it continues"
    optimizer.tell(result(top, 0.0))
    assert optimizer.promotable() == beside


def test_fewer_brackets_on_resume_leave_the_open_ones_whole() -> None:
    before = make_optimizer("hyperband", space=space(), budgets=BUDGETS)
    asked = [ask(before) for _ in range(40)]  # 27 of bracket 3, 9 of bracket 2, 4 of bracket 1
    after = make_optimizer("hyperband", space=space(), budgets=BUDGETS, options=hyperband.Options(n_brackets=1))
    for trial in asked:
        after.replay(trial)
    rest = [ask(after), ask(after)]
    assert [(t.bracket, t.rung) for t in rest] == [(1, 2)] * 2
    assert after.ask() is Idle.WAIT
    for trial in asked + rest:
        after.tell(result(trial, 1.0))
    assert ask(after).bracket == 3


def test_replay_trusts_the_recorded_configuration_and_ignores_resume_from() -> None:
    before, after = (make_optimizer("hyperband", space=space(), budgets=BUDGETS) for _ in range(2))
    for _ in range(27):
        trial = ask(before)
        after.replay(dataclasses.replace(trial, config={"x0": 0.25, "x1": 0.75}, resume_from="t99999"))
        after.tell(result(trial, 1.0))
    promoted = ask(after)
    assert (promoted.origin, promoted.config, promoted.resume_from) == (Origin.PROMOTED, {"x0": 0.25, "x1": 0.75}, None)


def test_many_replays_with_all_results_outstanding() -> None:
    """Walks no list of open brackets: quadratic work would not end within the time limit of a test."""
    trials = [
        Trial(
            trial_id=f"t{n:05d}",
            config_id=f"c{n:05d}",
            config={"x0": 0.5, "x1": 0.5},
            budget=1.0,
            bracket=0,
            rung=0,
            seed=n,
            origin=Origin.RANDOM,
        )
        for n in range(100_000)
    ]
    optimizer = make_optimizer("bohb_2018", space=space(), budgets=ONE_RUNG)
    for trial in trials:
        optimizer.replay(trial)
    for trial in trials:
        optimizer.tell(result(trial, 1.0))
    assert ask(optimizer).trial_id == "t100000"


@pytest.mark.parametrize("method", refs.names("method"))
def test_what_becomes_of_an_asked_configuration_is_nothing_to_the_search(method: str) -> None:
    alone, beside = (make_optimizer(method, space=toy.space(), budgets=Budgets(min=1, max=9), seed=1) for _ in range(2))
    for _ in range(80):
        expected, asked = alone.ask(), beside.ask()
        assert asked == expected
        if not isinstance(asked, Trial):
            break
        assert isinstance(asked.config, dict)
        asked.config.clear()
        for optimizer in (alone, beside):  # without a configuration, so that a search in the worker is asked again
            optimizer.tell(result(asked, asked.seed / 2**31))


def test_random_search_trains_everything_at_the_top() -> None:
    optimizer = make_optimizer("random_search", space=space(), budgets=BUDGETS)
    trials = [ask(optimizer) for _ in range(20)]
    assert {(t.budget, t.rung, t.bracket, t.origin) for t in trials} == {(10800, 3, 0, Origin.RANDOM)}
    assert len({t.config_id for t in trials}) == 20


def tell_n(optimizer: Method, n: int) -> Trial:
    for _ in range(n):
        trial = ask(optimizer)
        optimizer.tell(result(trial, sum(float(v) for v in trial.config.values())))
    return ask(optimizer)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_model_starts_at_2_d_plus_1_results(d: int) -> None:
    def origins(n: int) -> set[str]:
        optimizers = [make_optimizer("bohb_2018", space=space(d), budgets=ONE_RUNG, seed=seed) for seed in range(12)]
        return {tell_n(optimizer, n).origin for optimizer in optimizers} | {o.reason for o in optimizers}

    start = 2 * (d + 1)
    assert origins(start - 1) == {Origin.RANDOM, f"no model: {start - 1} results at budget 1, {start} needed"}
    assert origins(start) == {Origin.RANDOM, Origin.MODEL, "random fraction", f"model on budget 1 from {start} results"}


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (bohb_2018.Options(min_points_in_model=1, random_fraction=0), 6),
        (bohb_2018.Options(min_points_in_model=7, random_fraction=0), 10),  # 7 good, 3 bad
        (bohb_2018.Options(top_n_percent=90, random_fraction=0), 21),  # 18 of 21 good, 3 bad
    ],
)
def test_when_the_model_starts_by_option(options: bohb_2018.Options, start: int) -> None:
    def origin(n: int) -> Origin:
        return tell_n(make_optimizer("bohb_2018", space=space(2), budgets=ONE_RUNG, options=options), n).origin

    assert (origin(start - 1), origin(start)) == (Origin.RANDOM, Origin.MODEL)


def test_the_model_of_the_largest_budget_is_used() -> None:
    options = bohb_2018.Options(random_fraction=0)
    optimizer = make_optimizer("bohb_2018", space=space(1), budgets=Budgets(min=1, max=9), options=options)
    reasons = []
    for _ in range(40):
        trial = ask(optimizer)
        if trial.origin is Origin.MODEL:
            reasons.append(optimizer.reason)
        optimizer.tell(result(trial, float(trial.config["x0"])))
    assert reasons[0] == "model on budget 1 from 4 results"
    # bracket 1 ends with 3 results on budget 3, one below what is needed; the 4th is bracket 2's first
    assert reasons[5:8] == ["model on budget 1 from 9 results", "model on budget 3 from 4 results", "model on budget 3 from 5 results"]


def test_the_model_finds_the_better_half() -> None:
    options = bohb_2018.Options(random_fraction=0)
    optimizer = make_optimizer("bohb_2018", space=space(2), budgets=ONE_RUNG, options=options)
    tell_n(optimizer, 60)
    late = [tell_n(optimizer, 1) for _ in range(20)]
    assert np.mean([sum(map(float, t.config.values())) for t in late]) < 0.5  # random: 1.0


def test_crashes_count_as_bad() -> None:
    options = bohb_2018.Options(random_fraction=0)
    optimizer = make_optimizer("bohb_2018", space=space(1), budgets=ONE_RUNG, options=options)
    for _ in range(80):
        trial = ask(optimizer)
        x = float(trial.config["x0"])
        optimizer.tell(result(trial, None if x < 0.5 else x))
    picks = [float(ask(optimizer).config["x0"]) for _ in range(20)]
    assert np.median(picks) > 0.5


def test_a_forbidden_vector_becomes_random_and_says_so() -> None:
    names = [f"c{i}" for i in range(4)]
    crowded = ConfigurationSpace({**{name: ["a", "b"] for name in names}, "x": (0.0, 1.0)})
    for one, two in itertools.combinations(names, 2):
        crowded.add(ForbiddenAndConjunction(ForbiddenEqualsClause(crowded[one], "b"), ForbiddenEqualsClause(crowded[two], "b")))
    optimizer = make_optimizer("bohb_2018", space=crowded, budgets=ONE_RUNG)
    seen = set()
    for _ in range(150):
        trial = ask(optimizer)
        seen.add((optimizer.reason, trial.origin))
        optimizer.tell(result(trial, -float(sum(trial.config[n] == "b" for n in names)) + float(trial.config["x"])))
    assert ("forbidden vector", Origin.RANDOM) in seen


def test_conditional_space_with_both_densities() -> None:
    for densities in (False, True):
        options = bohb_2018.Options(random_fraction=0, corrected_densities=densities)
        mixed = ConfigurationSpace()
        mixed.add(Categorical("c", ["a", "b", "d"]), Categorical("e", ["a", "b"]), Float("x", (0.0, 1.0)))
        optimizer = make_optimizer("bohb_2018", space=mixed, budgets=ONE_RUNG, options=options)
        for _ in range(40):
            trial = ask(optimizer)
            optimizer.tell(result(trial, (trial.config["c"] != "b") + float(trial.config["x"])))
        assert "model" in optimizer.reason


def test_choice_among_hpbandster_densities() -> None:
    def choose(good: list[float], bad: list[float]) -> int | None:
        return hpbandster_choice(np.array(good), np.array(bad))

    nan, inf = float("nan"), float("inf")
    assert choose([1, 2, 4], [1, 1, 3]) == 1
    assert choose([1, -2], [1, 1]) == 0
    assert choose([1, 1], [3, -5]) == 1
    assert choose([9, 1, 1], [1, inf, inf]) == 1  # a level that the bad ones never had is taken at once
    assert choose([nan, 1], [1, 1]) == 1
    assert choose([nan, nan], [1, 1]) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"n_brackets": 0},
        {"min_points_in_model": 0},
        {"top_n_percent": 0},
        {"top_n_percent": 100},
        {"n_candidates": 0},
        {"random_fraction": 1.5},
        {"bandwidth_factor": 0.0},
        {"min_bandwidth": 0.0},
        {"n_brackets": 1.0},
        {"n_brackets": True},
        {"min_points_in_model": 3.0},
        {"min_points_in_model": 10**9},
        {"top_n_percent": 15.5},
        {"top_n_percent": True},
        {"n_candidates": 64.0},
        {"n_candidates": 10**9},
        {"n_candidates": "64"},
        {"random_fraction": float("nan")},
        {"random_fraction": True},
        {"bandwidth_factor": float("inf")},
        {"bandwidth_factor": "3"},
        {"min_bandwidth": None},
        {"corrected_densities": 1},
    ],
)
def test_options_out_of_range_or_of_another_type_are_named(bad: dict[str, Any]) -> None:
    name, value = next(iter(bad.items()))
    with pytest.raises(OptionError, match=f"{name} is {value!r}; accepted"):
        bohb_2018.Options(**bad)


@pytest.mark.parametrize("n", [0, 10**9])
def test_candidates_that_no_memory_holds_are_refused(n: int) -> None:
    with pytest.raises(OptionError, match=f"n_candidates is {n}; accepted is a whole number from 1 to 100000"):
        bohb.Options(n_candidates=n)


@pytest.mark.parametrize("method", ["bohb", "bohb_2018", "random_search"])
@pytest.mark.parametrize("no_space", [{"x": (0, 1)}, None, "joint"])
def test_a_space_that_is_none_of_configspace_s_is_refused(method: str, no_space: Any) -> None:
    with pytest.raises(SpaceError, match=r"^space .*: accepted is a ConfigSpace\.ConfigurationSpace, such as") as refused:
        make_optimizer(method, space=no_space, budgets=BUDGETS)
    assert repr(no_space) in str(refused.value)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (ConfigurationSpace(), r"^space 'space' leaves nothing to search"),
        (ConfigurationSpace({"n": (-(2**62), 2**62)}), r"^space 'space': n is a whole number from .* narrow it$"),
        (ConfigurationSpace("mine", space={"x": [(1, 2), (3, 4)]}), r"^space 'mine': x has the value \(1, 2\); accepted are"),
    ],
)
def test_a_space_that_a_command_refuses_is_refused(bad: ConfigurationSpace, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        make_optimizer("random_search", space=bad, budgets=BUDGETS)


def test_a_number_of_brackets_ends_the_search_of_a_model() -> None:
    options = bohb_2018.Options(n_brackets=1)
    optimizer = make_optimizer("bohb_2018", space=space(), budgets=Budgets(min=1, max=9), options=options)
    optimizer.tell(result(tell_n(optimizer, 9 + 3), 1.0))
    assert optimizer.ask() is Idle.DONE


@pytest.mark.parametrize("method", [bohb_2018, hyperband])
def test_a_number_of_brackets_is_whole(method: Any) -> None:
    with pytest.raises(OptionError, match=r"n_brackets is 2\.0; accepted"):
        method.Options(n_brackets=2.0)


def test_make_optimizer_refuses_by_name() -> None:
    with pytest.raises(RefError, match=r"bayes.*hyperband"):
        make_optimizer("bayes", space=space(), budgets=BUDGETS)
    for reference in (None, 3, ["bohb"]):
        with pytest.raises(
            RefError, match=rf"^method {re.escape(repr(reference))}: accepted is a text: one of .*hyperband.*, FILE\.py or module"
        ):
            make_optimizer(reference, space=space(), budgets=BUDGETS)  # type: ignore[arg-type]
    with pytest.raises(RefError, match="does not offer"):
        make_optimizer("json:dumps", space=space(), budgets=BUDGETS)
    with pytest.raises(OptionError, match="hyperband"):
        make_optimizer("hyperband", space=space(), budgets=BUDGETS, options=bohb_2018.Options())
    with pytest.raises(OptionError, match="seed -1"):
        make_optimizer("hyperband", space=space(), budgets=BUDGETS, seed=-1)
    with pytest.raises(OptionError, match="0 workers"):
        make_optimizer("hyperband", space=space(), budgets=BUDGETS, n_workers=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": None}, "seed None: accepted is a whole number from 0"),
        ({"seed": 1.0}, r"seed 1\.0: accepted is a whole number from 0"),
        ({"n_workers": None}, "None workers: accepted is a whole number from 1"),
        ({"budgets": (1, 9)}, r"budgets \(1, 9\): accepted is a bohb_nas\.Budgets, such as Budgets\(min=1, max=9\)"),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}$"):
        make_optimizer("hyperband", **{"space": space(), "budgets": BUDGETS, **given})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("None", "NoneType without ask and tell"),
        ("options", "Options without ask and tell"),
        ("type('Mute', (), {'ask': lambda self: None})()", "Mute without tell"),
        ("type('Flat', (), {'ask': 3, 'tell': print})()", "Flat without ask"),
    ],
)
def test_what_a_method_makes_can_be_asked_and_told(tmp_path: Path, made: str, said: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        f"from bohb_nas.methods.random_search import Options\ndef make(*, space, budgets, seed, n_workers, options): return {made}\n"
    )
    wanted = f"mine.py' has a make() that returns a {said}; accepted is an optimizer, with ask() -> Trial | Idle and tell(result)"
    with pytest.raises(RefError, match=re.escape(wanted)):
        make_optimizer(str(file), space=space(), budgets=BUDGETS)
    assert {finding.problem for finding in check_file(str(file), space="toy", budget=1.0)} == {f"method '{tmp_path}/{wanted}"}


def test_a_seed_of_numpy_is_as_good_as_pythons() -> None:
    seeds: list[Any] = [3, np.int64(3)]
    python, other = (ask(make_optimizer("bohb", space=space(), budgets=BUDGETS, seed=seed)) for seed in seeds)
    assert python == other
