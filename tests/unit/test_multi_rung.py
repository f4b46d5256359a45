"""The model of `bohb`: who is heard, where configurations enter, what is avoided."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from bohb_nas.errors import OptionError
from bohb_nas.knowledge import Constraint, Knowledge
from bohb_nas.methods import bohb, make_optimizer
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial, Value
from bohb_nas.samplers.earlier import _passed_over
from bohb_nas.samplers.multi_rung import MultiRung, Settings
from bohb_nas.space.encoding import Encoding

Loss = Callable[[Mapping[str, Value]], float | None]


def space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    kind, depth = Categorical("kind", ["a", "b", "c"]), Float("depth", (0.0, 1.0))
    space.add(Float("x", (0.0, 1.0)), kind, depth)
    space.add(EqualsCondition(depth, kind, "a"))
    return space


def sampler(*, n_rungs: int = 3, knowledge: Knowledge | None = None, **settings: Any) -> MultiRung:
    chosen = Settings(**settings)
    return MultiRung(Encoding(space()), n_rungs=n_rungs, seed=0, settings=chosen, knowledge=knowledge or Knowledge())


def number(config: Mapping[str, Value], name: str) -> float:
    value = config[name]
    assert isinstance(value, float)
    return value


def train(
    model: MultiRung, n: int, loss: Loss, *, rung: int = 0, first: int = 0, status: Status = Status.OK, seconds: Loss = lambda c: 1.0
) -> list[Mapping[str, Value]]:
    """N random configurations trained on a rung; those without a loss end with a status."""
    encoding = Encoding(space())
    configs: list[Mapping[str, Value]] = [encoding.sample(1000 + i) for i in range(first, first + n)]
    for i, config in enumerate(configs, start=first):
        tell(model, i, config, rung=rung, loss=loss(config), status=status, seconds=seconds(config) or 0.0)
    return configs


def tell(
    model: MultiRung,
    i: int,
    config: Mapping[str, Value],
    *,
    rung: int,
    loss: float | None,
    status: Status = Status.OK,
    seconds: float = 1.0,
) -> None:
    model.asked(i, config)
    result = Result(trial_id=f"t{i}", status=Status.OK if loss is not None else status, loss=loss, train_s=seconds)
    model.observe(i, rung=rung, loss=loss, result=result)


def picks(model: MultiRung, n: int = 200) -> list[dict[str, Value]]:
    found = [model.propose(np.random.default_rng(i)) for i in range(n)]
    return [p.config for p in found if p.origin is Origin.MODEL]


def line(*, n_rungs: int = 2, dimensions: int = 1, **settings: Any) -> MultiRung:
    """Of x0, x1, … between 0 and 1, without random picks."""
    numbers = ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(dimensions)})
    return MultiRung(Encoding(numbers), n_rungs=n_rungs, seed=0, settings=Settings(random_fraction=0.0, **settings))


def tell_both(model: MultiRung, n: int, sign: float, *, first: int = 0) -> None:
    """N configurations of a line with losses 0, 1, … on the cheapest rung, and these or their negatives on the next."""
    for i in range(first, first + n):
        config = {"x0": (i + 0.5) / 1000}
        tell(model, i, config, rung=0, loss=float(i))
        tell(model, i, config, rung=1, loss=sign * i)


def heard(model: MultiRung, seed: int = 0) -> list[dict[str, Any]]:
    """Who had a say in a pick; nobody in a random one."""
    explanation = model.propose(np.random.default_rng(seed)).explanation
    return [] if explanation is None else list(explanation["heard"])


def names(model: MultiRung) -> list[str]:
    return [h["model"] for h in heard(model)]


def test_the_model_starts_at_six_results_with_a_loss() -> None:
    model = sampler()
    train(model, 5, lambda c: number(c, "x"))
    train(model, 3, lambda c: None, first=5, status=Status.CRASHED)
    assert not picks(model)
    train(model, 1, lambda c: number(c, "x"), first=8)
    assert len(picks(model)) > 100


@pytest.mark.parametrize(("dimensions", "fewest"), [(8, 6), (12, 8), (16, 10), (40, 10)])
def test_a_model_of_many_dimensions_starts_at_up_to_ten_results(dimensions: int, fewest: int) -> None:
    """Two more than half of the dimensions, from 6 to 10."""
    model, rng = line(dimensions=dimensions), np.random.default_rng(0)
    for i in range(fewest):
        assert not heard(model)
        tell(model, i, {f"x{j}": float(x) for j, x in enumerate(rng.random(dimensions))}, rung=0, loss=float(i))
    assert heard(model)


def test_picks_are_near_the_best() -> None:
    model = sampler()
    train(model, 60, lambda c: abs(number(c, "x") - 0.8) + (c["kind"] != "b"))
    chosen = picks(model)
    assert np.mean([abs(number(c, "x") - 0.8) < 0.15 for c in chosen]) > 0.7, "by chance 0.3"
    assert np.mean([c["kind"] == "b" for c in chosen]) > 0.8


@pytest.mark.parametrize("status", [Status.CRASHED, Status.TIMED_OUT, Status.OUT_OF_MEMORY])
def test_what_fails_is_avoided(status: Status) -> None:
    model = sampler()
    train(model, 60, lambda c: None if number(c, "x") > 0.5 else 1.0 - number(c, "x"), status=status)
    assert np.mean([number(c, "x") > 0.5 for c in picks(model)]) < 0.2, "the loss falls towards the border at 0.5"


def test_what_ran_out_of_memory_is_avoided_on_every_rung() -> None:
    def share(*, avoid_memory: bool) -> float:
        model = sampler(avoid_memory=avoid_memory, all_rungs=False)
        train(model, 30, lambda c: None if number(c, "x") > 0.5 else 0.5, status=Status.OUT_OF_MEMORY)
        train(model, 8, lambda c: 0.3 + number(c, "depth") if "depth" in c else 0.2, first=30, rung=1)
        return float(np.mean([number(c, "x") > 0.5 for c in picks(model)]))

    assert share(avoid_memory=True) < share(avoid_memory=False) - 0.15


def test_what_crashed_is_avoided_on_its_own_rung_alone() -> None:
    def chosen(*, avoid_memory: bool) -> list[dict[str, Value]]:
        model = sampler(avoid_memory=avoid_memory, all_rungs=False)
        train(model, 30, lambda c: None if number(c, "x") > 0.5 else 0.5, status=Status.CRASHED)
        train(model, 8, lambda c: 0.3 + number(c, "depth") if "depth" in c else 0.2, first=30, rung=1)
        return picks(model, 20)

    assert chosen(avoid_memory=True) == chosen(avoid_memory=False)


def test_of_what_ran_out_of_memory_the_last_forty_are_avoided() -> None:
    """Eighty did, the first forty on the left and the others on the right; what is good lies on both sides of the middle."""
    model = line(all_rungs=False)
    for i in range(80):
        x = 0.4 * ((i % 40) + 0.5) / 40 + (0.6 if i >= 40 else 0.0)
        tell(model, i, {"x0": x}, rung=0, loss=None, status=Status.OUT_OF_MEMORY)
    for i, x in enumerate((0.52, 0.48, 0.55, 0.45, 0.7, 0.3, 0.9, 0.1)):
        tell(model, 80 + i, {"x0": x}, rung=1, loss=float(i))
    assert np.mean([number(c, "x0") < 0.5 for c in picks(model, 100)]) > 0.7


def test_an_agreeing_rung_is_trusted_and_a_contradicting_one_is_not() -> None:
    for sign, trusted in ((1.0, 0.8), (-1.0, -0.4)):
        model = sampler(n_rungs=2)
        configs = train(model, 12, lambda c: number(c, "x"))
        assert model.trusts() == [0.5, 1.0], "nothing is measured yet"
        for i, config in enumerate(configs):
            tell(model, i, config, rung=1, loss=sign * number(config, "x"))
        # (12 tau + 8 / 2) / (12 + 8) by hand, tau being 1 and -1
        assert model.trusts() == [pytest.approx(trusted), 1.0]


def test_the_last_hundred_configurations_that_two_rungs_share_say_how_they_agree() -> None:
    model = line()
    tell_both(model, 100, -1.0)
    assert model.trusts()[0] == pytest.approx((100 * -1 + 4) / 108)
    tell_both(model, 100, 1.0, first=100)
    assert model.trusts()[0] == pytest.approx((100 * 1 + 4) / 108)


def test_trust_follows_every_result_that_two_rungs_share() -> None:
    model = line()
    tell_both(model, 6, 1.0)
    assert model.trusts()[0] == pytest.approx((6 + 4) / 14)
    tell_both(model, 6, 1.0, first=6)
    assert model.trusts()[0] == pytest.approx((12 + 4) / 20)


def test_rungs_are_held_against_the_highest_with_four_results() -> None:
    model = line(n_rungs=3)
    tell_both(model, 12, 1.0)
    for i in range(3):
        tell(model, i, {"x0": (i + 0.5) / 1000}, rung=2, loss=-float(i))
    assert model.trusts() == [pytest.approx((12 + 4) / 20), 0.5, 1.0]
    tell(model, 3, {"x0": 3.5 / 1000}, rung=2, loss=-3.0)
    assert model.trusts() == [pytest.approx((4 * -1 + 4) / 12)] * 2 + [1.0]


@pytest.mark.parametrize(("all_rungs", "expected"), [(True, ["rung 0", "rung 1"]), (False, ["rung 1"])])
def test_the_highest_rung_is_asked_alone_where_that_is_wanted(expected: list[str], *, all_rungs: bool) -> None:
    model = line(all_rungs=all_rungs)
    tell_both(model, 12, 1.0)
    assert names(model) == expected


def test_candidates_are_drawn_around_the_good_of_the_highest_rung() -> None:
    """Of sixty on the cheap rung the best lie around .2; the others, around .75, went up."""
    model, rng = line(dimensions=6), np.random.default_rng(0)
    for i in range(60):
        up = i >= 40
        x = rng.uniform(0.6, 0.9, 6) if up else rng.uniform(0.05, 0.35, 6)
        config = {f"x{j}": float(value) for j, value in enumerate(x)}
        tell(model, i, config, rung=0, loss=float(rng.random() + up))
        if up:
            tell(model, i, config, rung=1, loss=float(np.abs(x - 0.75).sum()))
    assert names(model) == ["rung 0", "rung 1"]
    assert np.mean([np.mean([number(c, f"x{j}") for j in range(6)]) > 0.55 for c in picks(model, 50)]) > 0.8


def test_a_contradicting_rung_has_no_say() -> None:
    model = sampler(n_rungs=2)
    configs = train(model, 40, lambda c: number(c, "x"))
    for i, config in enumerate(configs[:20]):
        tell(model, i, config, rung=1, loss=-number(config, "x"))
    assert np.mean([number(c, "x") > 0.5 for c in picks(model)]) > 0.8
    heard = [model.propose(np.random.default_rng(i)).explanation for i in range(20)]
    assert all([h["model"] for h in e["heard"]] == ["rung 1"] for e in heard if e is not None)


def test_new_configurations_enter_at_the_cheapest_rung_until_the_top_has_a_result() -> None:
    model = sampler(n_rungs=2)
    configs = train(model, 20, lambda c: number(c, "x"))
    assert {model.entry(np.random.default_rng(i)) for i in range(50)} == {0}
    for i, config in enumerate(configs):
        tell(model, i, config, rung=1, loss=-number(config, "x"))
    # trust is (20 * -1 + 4) / 28 < 0.1, so the cheapest rung is taken with the least probability, 0.05
    entered = [model.entry(np.random.default_rng(i)) for i in range(1000)]
    assert np.mean(np.array(entered) == 0) == pytest.approx(0.05, abs=0.02)
    assert {sampler(n_rungs=2, learnt_entry=False).entry(np.random.default_rng(i)) for i in range(50)} == {0}


def test_the_cheaper_of_two_valleys_is_preferred() -> None:
    """Both are equally deep; seconds change by a factor of 400 over the range of x, and costs may rise either way."""

    def left(sign: float) -> float:
        shares = []
        for data in range(6):
            model = MultiRung(Encoding(space()), n_rungs=1, seed=data, settings=Settings())
            configs = [Encoding(space()).sample(100 * data + i) for i in range(60)]
            for i, config in enumerate(configs):
                x = number(config, "x") - 0.5
                tell(model, i, config, rung=0, loss=abs(abs(x) - 0.3), seconds=float(np.exp(6 * sign * x)))
            shares.append(np.mean([number(c, "x") < 0.5 for c in picks(model, 50)]))
        return float(np.mean(shares))

    assert left(1.0) > left(-1.0) + 0.3


def test_costs_are_those_of_the_highest_rung() -> None:
    """Two valleys; on the cheap rung the left one is cheaper, on the dear one the right."""
    model = line()
    for i, x in enumerate(np.random.default_rng(0).random(60).tolist()):
        loss = abs(abs(x - 0.5) - 0.3)
        tell(model, i, {"x0": x}, rung=0, loss=loss, seconds=float(np.exp(6 * (x - 0.5))))
        tell(model, i, {"x0": x}, rung=1, loss=loss, seconds=float(np.exp(-6 * (x - 0.5))))
    assert names(model) == ["rung 0", "rung 1"]
    assert np.mean([number(c, "x0") > 0.5 for c in picks(model, 50)]) > 0.7


def test_costs_that_are_alike_say_nothing() -> None:
    def chosen(*, cost_aware: bool) -> list[dict[str, Value]]:
        model = sampler(cost_aware=cost_aware)
        train(model, 60, lambda c: abs(number(c, "x") - 0.5), seconds=lambda c: 1 + number(c, "x") / 4)
        return picks(model, 20)

    assert chosen(cost_aware=True) == chosen(cost_aware=False)


def test_a_pick_names_the_good_ones_that_it_rests_on_most_first() -> None:
    """Five of nine, and the most important ones: with the prior they have more than their share of the whole."""
    model = line(n_rungs=1)
    for i, x in enumerate(np.random.default_rng(0).random(60).tolist()):
        tell(model, i, {"x0": x}, rung=0, loss=abs(x - 0.5))
    for seed in range(5):
        (said,) = heard(model, seed)
        shares = list(said["rests_on"].values())
        assert (said["good"], len(shares)) == (9, 5)
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) + said["prior"] > 5 / 9


def earlier(sign: float) -> Knowledge:
    encoding = Encoding(space())
    found = []
    for i in range(30):
        config = {"x": number(encoding.sample(i), "x")}  # the earlier space had nothing else
        trial = Trial(
            trial_id=f"w0-{i:05d}", config_id=f"w0-c{i}", config=config, budget=9.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM
        )
        details = {"study": "old", "trial": f"t{i:05d}"}
        result = Result(trial_id=trial.trial_id, status=Status.OK, loss=sign * abs(config["x"] - 0.8), train_s=1.0, details=details)
        found.append(Evaluation(trial=trial, result=result))
    return Knowledge(history=tuple(found))


def test_an_earlier_study_is_heard_from_the_start() -> None:
    chosen = picks(sampler(knowledge=earlier(1.0)))
    assert np.mean([abs(number(c, "x") - 0.8) < 0.2 for c in chosen]) > 0.8, "by chance 0.4"
    assert {c["kind"] for c in chosen} == {"a", "b", "c"}


def test_as_long_as_an_earlier_study_is_all_that_is_known_costs_are_its_own() -> None:
    """Two valleys, equally deep, the left or the right one of which was cheaper there."""

    def left(sign: float) -> float:
        def told(e: Evaluation) -> Evaluation:
            x = number(e.trial.config, "x") - 0.5
            return dataclasses.replace(e, result=dataclasses.replace(e.result, loss=abs(abs(x) - 0.3), train_s=float(np.exp(6 * sign * x))))

        model = sampler(knowledge=Knowledge(history=tuple(map(told, earlier(1.0).history))))
        return float(np.mean([number(c, "x") < 0.5 for c in picks(model, 60)]))

    assert left(1.0) > left(-1.0) + 0.3


def test_an_earlier_studys_observations_are_called_by_its_own_trials() -> None:
    knowledge = earlier(1.0)
    explanation = sampler(knowledge=knowledge).propose(np.random.default_rng(0)).explanation
    assert explanation is not None
    (heard,) = explanation["heard"]
    assert heard["model"] == "earlier study old, budget 9"
    good = sorted(knowledge.history, key=lambda e: e.result.loss or 0.0)[: heard["good"]]
    assert set(heard["rests_on"]) <= {f"t{e.trial.trial_id.partition('-')[2]}" for e in good}
    assert heard["rests_on"]


@pytest.mark.parametrize(("n", "budget"), [(9, 3), (10, 9)])
def test_an_earlier_studys_dearest_budget_with_ten_results_is_modelled(n: int, budget: int) -> None:
    dear = earlier(1.0).history
    cheap = [dataclasses.replace(e, trial=dataclasses.replace(e.trial, budget=3.0)) for e in dear]
    assert names(sampler(random_fraction=0.0, knowledge=Knowledge(history=(*cheap, *dear[:n])))) == [f"earlier study old, budget {budget}"]


def test_each_of_several_earlier_studies_has_a_say_of_its_own() -> None:
    """The second one has the losses of the first turned round: what is found here agrees with the first alone."""

    def of_another_study(e: Evaluation) -> Evaluation:
        name = e.trial.trial_id.replace("w0", "w1")
        result = dataclasses.replace(e.result, trial_id=name, details={**e.result.details, "study": "other"})
        return dataclasses.replace(e, trial=dataclasses.replace(e.trial, trial_id=name), result=result)

    history = earlier(1.0).history + tuple(map(of_another_study, earlier(-1.0).history))
    model = sampler(random_fraction=0.0, knowledge=Knowledge(history=history))
    assert [(h["model"], h["trust"]) for h in heard(model)] == [
        ("earlier study old, budget 9", 0.5),
        ("earlier study other, budget 9", 0.5),
    ]
    train(model, 60, lambda c: abs(number(c, "x") - 0.8))
    assert names(model) == ["earlier study old, budget 9", "rung 0"]


def measured(knowledge: Knowledge, params: Loss, *constraints: str) -> Knowledge:
    """The same with a metric of each earlier result, and constraints of the new study."""
    history = tuple(
        dataclasses.replace(e, result=dataclasses.replace(e.result, metrics={"params": params(e.trial.config) or 0.0}))
        for e in knowledge.history
    )
    return dataclasses.replace(knowledge, history=history, constraints=tuple(map(Constraint.parse, constraints)))


def test_earlier_results_that_break_a_constraint_of_this_study_count_as_bad() -> None:
    """The earlier losses are lowest at x = 0.8, but all above 0.5 is too large now."""
    knowledge = measured(earlier(1.0), lambda c: 9.0 if number(c, "x") > 0.5 else 1.0)
    assert np.mean([number(c, "x") > 0.5 for c in picks(sampler(knowledge=knowledge))]) > 0.8, "nothing is broken without a constraint"
    chosen = picks(sampler(knowledge=measured(knowledge, lambda c: 9.0 if number(c, "x") > 0.5 else 1.0, "params<=5")))
    assert np.mean([number(c, "x") > 0.5 for c in chosen]) < 0.2


def test_what_failed_in_an_earlier_study_is_never_good() -> None:
    """Of 30 results .15 are five, but two alone have a loss."""
    failed = Result(trial_id="w0-f", status=Status.CRASHED, loss=None, train_s=1.0, details={"study": "old", "trial": "f"})
    history = [dataclasses.replace(e, result=failed) if i > 1 else e for i, e in enumerate(earlier(1.0).history)]
    assert heard(sampler(random_fraction=0.0, knowledge=Knowledge(history=tuple(history))))[0]["good"] == 2


def test_an_earlier_budget_at_which_all_breaks_a_constraint_is_not_modelled() -> None:
    dear = measured(earlier(1.0), lambda c: 9.0).history
    cheap = tuple(
        dataclasses.replace(
            e, trial=dataclasses.replace(e.trial, budget=3.0), result=dataclasses.replace(e.result, metrics={"params": 1.0})
        )
        for e in dear
    )
    known = Knowledge(history=(*cheap, *dear), constraints=(Constraint.parse("params<=5"),))
    explanation = sampler(knowledge=known).propose(np.random.default_rng(0)).explanation
    assert explanation is not None
    assert [heard["model"] for heard in explanation["heard"]] == ["earlier study old, budget 3"]


def test_an_earlier_study_of_which_nothing_meets_the_constraints_is_no_obstacle() -> None:
    assert len(picks(sampler(knowledge=measured(earlier(1.0), lambda c: 9.0, "params<=5")), 20)) > 10


def selected(n_columns: int) -> tuple[MultiRung, int]:
    """Beside an earlier study whose 27 configurations lie evenly in every column at 1, the ten next to .3 of which went on to 3.

    Returns:
        The sampler, and how many observations of the earlier study count as good.
    """
    found = []
    for place in range(37):
        i, budget = (place, 1.0) if place < 27 else (place - 27 + 3, 3.0)  # numbers 3 to 12 lie at .13 to .463
        config = {f"x{j}": (i + 0.5) / 27 for j in range(n_columns)}
        trial = Trial(
            trial_id=f"w0-{place:05d}", config_id=f"w0-c{i}", config=config, budget=budget, bracket=0, rung=0, seed=0, origin=Origin.RANDOM
        )
        loss = abs(config["x0"] - 0.3) + 1 / budget
        result = Result(trial_id=trial.trial_id, status=Status.OK, loss=loss, train_s=budget, details={"study": "old"})
        found.append(Evaluation(trial=trial, result=result))
    line = Encoding(ConfigurationSpace({f"x{j}": (0.0, 1.0) for j in range(n_columns)}))
    knowledge = Knowledge(history=tuple(found))
    model = MultiRung(line, n_rungs=2, seed=0, settings=Settings(random_fraction=0.0, good_fraction=0.2), knowledge=knowledge)
    explanation = model.propose(np.random.default_rng(0)).explanation
    assert explanation is not None
    return model, explanation["heard"][0]["good"]


def test_what_an_earlier_study_passed_over_counts_where_dimensions_are_few() -> None:
    """By its dearest budget alone the best place would be the one farthest from all it knows: everything there is good."""
    model, n_good = selected(1)
    assert n_good == 6, "a fifth of 27, and not of 10"
    x = [number(model.propose(np.random.default_rng(i)).config, "x0") for i in range(30)]
    assert np.mean([abs(value - 0.3) < 0.25 for value in x]) > 0.8, "half of the line"


@pytest.mark.parametrize(("n_columns", "n_good"), [(6, 6), (7, 2)])
def test_dimensions_are_few_up_to_six(n_columns: int, n_good: int) -> None:
    assert selected(n_columns)[1] == n_good


def test_a_study_with_the_seed_of_the_earlier_one_draws_anew() -> None:
    def draws(knowledge: Knowledge) -> list[Trial]:
        optimizer = make_optimizer("bohb", space=space(), budgets=Budgets(min=1, max=9), seed=0, knowledge=knowledge)
        asked = [optimizer.ask() for _ in range(40)]
        return [t for t in asked if isinstance(t, Trial) and t.origin is Origin.RANDOM]

    def known(trials: list[Trial]) -> Knowledge:
        return Knowledge(history=tuple(evaluated(f"w0-{t.trial_id}", number(t.config, "x"), t.budget, seed=t.seed) for t in trials))

    first = draws(Knowledge())
    second = draws(known(first))
    third = draws(known(second))
    assert third
    for one, other in itertools.combinations((first, second, third), 2):
        assert not {number(t.config, "x") for t in one} & {number(t.config, "x") for t in other}
        assert not {t.seed for t in one} & {t.seed for t in other}


def evaluated(name: str, x: float, budget: float, *, seed: int = 0) -> Evaluation:
    """X at a budget, where its loss is x."""
    trial = Trial(trial_id=name, config_id=f"c{x}", config={"x": x}, budget=budget, bracket=0, rung=0, seed=seed, origin=Origin.RANDOM)
    return Evaluation(trial=trial, result=Result(trial_id=name, status=Status.OK, loss=x, train_s=1.0, details={"study": "o"}))


def test_what_an_earlier_constraint_kept_back_was_not_passed_over() -> None:
    """Of three at 1 the middle one went on to 3: the better one stayed for another reason than its loss, the worse one was ruled out."""
    found = [evaluated("a", 0.3, 1.0), evaluated("b", 0.6, 1.0), evaluated("c", 0.9, 1.0), evaluated("d", 0.6, 3.0)]
    for order in (found, found[::-1]):
        assert [e.trial.config["x"] for e in _passed_over(order, 3.0, Knowledge())] == [0.9]
    dearer = [evaluated("e", 0.7, 3.0), evaluated("f", 0.6, 9.0)]
    assert [e.trial.config["x"] for e in _passed_over(found + dearer, 3.0, Knowledge())] == [0.9], "what came to 3 is in the model itself"
    as_good = dataclasses.replace(found[1], trial=dataclasses.replace(found[1].trial, config_id="another"))
    assert _passed_over([*found, as_good], 3.0, Knowledge()) == [found[2], as_good]
    assert _passed_over(found[:3], 3.0, Knowledge()) == [], "nothing went on"


def test_a_random_pick_counts_a_single_result() -> None:
    model = sampler()
    tell(model, 0, {"x": 0.5, "kind": "b"}, rung=0, loss=0.5)
    assert model.propose(np.random.default_rng(0)).reason == "no model: 1 result with a loss on one rung, 6 needed"


def test_a_random_pick_says_that_an_earlier_study_is_not_heard() -> None:
    """Four losses and a failure in the order opposite to the earlier study's: (5 * -1 + 4) / (5 + 8) is a trust of -.08."""
    model = sampler(knowledge=earlier(1.0))
    for i, x in enumerate((0.7, 0.6, 0.5, 0.1)):
        tell(model, i, {"x": x, "kind": "b"}, rung=0, loss=x)
    tell(model, 4, {"x": 0.8, "kind": "b"}, rung=0, loss=None, status=Status.CRASHED)
    proposal = model.propose(np.random.default_rng(0))
    assert proposal.origin is Origin.RANDOM
    assert proposal.reason == (
        "no model: 4 results with a loss on one rung, 6 needed; earlier study old, budget 9 is not heard, its trust is -0.08"
    )


def test_an_earlier_study_that_contradicts_loses_its_say() -> None:
    model = sampler(knowledge=earlier(-1.0))
    train(model, 60, lambda c: abs(number(c, "x") - 0.8))
    explained = [e for i in range(20) if (e := model.propose(np.random.default_rng(i)).explanation) is not None]
    assert explained
    assert all([h["model"] for h in e["heard"]] == ["rung 0"] for e in explained)


def test_one_result_does_not_say_whether_an_earlier_study_agrees() -> None:
    model = sampler(random_fraction=0.0, knowledge=earlier(1.0))
    train(model, 1, lambda c: number(c, "x"))
    assert [h["trust"] for h in heard(model)] == [0.5]


def test_an_earlier_study_is_judged_by_the_last_hundred_results() -> None:
    model = sampler(random_fraction=0.0, knowledge=earlier(1.0))
    train(model, 100, lambda c: -abs(number(c, "x") - 0.8))
    assert names(model) == ["rung 0"]
    train(model, 100, lambda c: abs(number(c, "x") - 0.8), first=100)
    assert names(model) == ["earlier study old, budget 9", "rung 0"]


def test_an_earlier_study_is_judged_on_the_highest_modelled_rung() -> None:
    model = sampler(n_rungs=2, random_fraction=0.0, knowledge=earlier(1.0))
    configs = train(model, 60, lambda c: abs(number(c, "x") - 0.8))
    assert names(model) == ["earlier study old, budget 9", "rung 0"]
    for i, config in enumerate(configs[:30]):
        tell(model, i, config, rung=1, loss=-abs(number(config, "x") - 0.8))
    assert names(model) == ["rung 1"]


def test_what_was_tried_is_not_proposed_again() -> None:
    tiny = ConfigurationSpace({"kind": Categorical("kind", ["a", "b", "c", "d", "e", "f", "g", "h"])})
    model = MultiRung(Encoding(tiny), n_rungs=1, seed=0, settings=Settings(random_fraction=0.0))
    for i, kind in enumerate("abcdefg"):
        tell(model, i, {"kind": kind}, rung=0, loss=float(i))
    proposals = [model.propose(np.random.default_rng(i)) for i in range(40)]
    assert {p.config["kind"] for p in proposals if p.origin is Origin.MODEL} == {"h"}


@pytest.mark.parametrize("log", [False, True])
def test_a_value_that_was_tried_of_an_integer_of_many_is_not_proposed_again(*, log: bool) -> None:
    """129 values have no cells of their own (128 have), so that a candidate lies anywhere near one."""
    long = ConfigurationSpace({"x": Integer("x", (1, 129), log=log)})
    model = MultiRung(Encoding(long), n_rungs=1, seed=0, settings=Settings(random_fraction=0.0))
    for i, x in enumerate(x for x in range(1, 130) if x != 64):
        tell(model, i, {"x": x}, rung=0, loss=abs(x - 64.0))
    proposals = [model.propose(np.random.default_rng(i)) for i in range(40)]
    assert {p.config["x"] for p in proposals if p.origin is Origin.MODEL} == {64}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(bohb.Options)])
def test_every_option_refuses_what_makes_no_sense(field: str) -> None:
    with pytest.raises(OptionError, match=f"{field} .*accepted"):
        bohb.Options(**{field: "much"})  # type: ignore[arg-type]


def test_a_number_beyond_every_float_is_refused() -> None:
    with pytest.raises(OptionError, match=r"mutations is 1000.*accepted is a number above 0"):
        bohb.Options(mutations=10**400)
