"""Constraints as text and as judges of results; what is known is made to fit a space."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from ConfigSpace import ConfigurationSpace, Constant, Float, Integer

from bohb_nas import make_optimizer
from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import Belief, Constraint, Knowledge, number_text, parse_number
from bohb_nas.methods._knowledge import fitted
from bohb_nas.records import Budgets, Evaluation, Origin, Result, Status, Trial, Value


@pytest.mark.parametrize(
    ("text", "metric", "relation", "bound"),
    [
        ("params<=5e6", "params", "<=", 5_000_000.0),
        (" params <= 5M ", "params", "<=", 5_000_000.0),
        ("images_per_s>=1.5k", "images_per_s", ">=", 1500.0),
        ("flops<=2G", "flops", "<=", 2e9),
        ("valid.gap>=-0.25", "valid.gap", ">=", -0.25),
    ],
)
def test_constraints_are_read(text: str, metric: str, relation: str, bound: float) -> None:
    found = Constraint.parse(text)
    assert (found.metric, found.relation, found.bound) == (metric, relation, bound)
    assert Constraint.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "params", "params<5e6", "params=5e6", "<=5e6", "params<=", "params<=five", "params<=nan", "params<=inf", "a b<=1", "1<=2<=3"],
)
def test_what_is_no_constraint_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(KnowledgeError, match=r"accepted is"):
        Constraint.parse(text)


@pytest.mark.parametrize(
    ("number", "text"), [(5e6, "5e+06"), (0.1, "0.1"), (1234567.0, "1234567"), (1234567.5, "1234567.5"), (1 / 3, "0.3333333333333333")]
)
def test_a_number_survives_as_text(number: float, text: str) -> None:
    assert number_text(number) == text
    assert parse_number(text) == number


def test_the_bound_itself_is_met() -> None:
    at_most, at_least = Constraint.parse("x<=3"), Constraint.parse("x>=3")
    assert [at_most.met_by(v) for v in (2.0, 3.0, 3.1)] == [True, True, False]
    assert [at_least.met_by(v) for v in (2.0, 3.0, 3.1)] == [False, True, True]


def result(loss: float | None, **metrics: Any) -> Result:
    status = Status.OK if loss is not None else Status.CRASHED
    return Result(trial_id="t0", status=status, loss=loss, train_s=1.0, metrics=metrics)


def test_what_a_result_counts_as() -> None:
    knowledge = Knowledge(
        constraints=(Constraint.parse("params<=10"), Constraint.parse("latency<=0.5")), size=lambda config: {"params": float(config["x"])}
    )
    assert knowledge.loss(result(0.25, latency=0.5)) == 0.25
    assert knowledge.loss(result(0.25, latency=0.6)) is None
    assert knowledge.loss(result(0.25, latency=0.1, params=11)) is None, "what was measured counts, too"
    assert knowledge.loss(result(None, latency=0.1)) is None
    assert list(map(str, knowledge.unmet({"latency": 0.6, "params": 11}))) == ["params<=10", "latency<=0.5"]
    assert knowledge.untold({"x": 1}, result(0.25)) == ("latency",)
    assert knowledge.untold({"x": 1}, result(0.25, latency=0.1)) == ()
    assert knowledge.untold({"x": 1}, result(None)) == (), "a failed result need not tell"
    assert Knowledge().untold({"x": 1}, result(0.25)) == ()


@pytest.mark.parametrize(
    ("told", "broken", "untold"), [(math.nan, True, False), (-math.inf, True, False), ("fast", False, True), (None, False, True)]
)
def test_a_metric_without_a_finite_number_meets_no_bound_and_one_that_is_no_number_is_not_told(
    told: Any, broken: bool, untold: bool
) -> None:
    knowledge = Knowledge(constraints=(Constraint.parse("latency<=0.5"),))
    of = result(0.25, latency=told)
    assert (knowledge.loss(of) is None) is broken
    assert list(map(str, knowledge.broken(of))) == ["latency<=0.5"] * broken
    assert knowledge.untold({}, of) == ("latency",) * untold


def test_what_is_allowed_before_training() -> None:
    knowledge = Knowledge(constraints=(Constraint.parse("params<=10"), Constraint.parse("latency<=0.5")))
    assert knowledge.allowed({"x": 100}), "nothing is known without a size"
    sized = Knowledge(constraints=knowledge.constraints, size=lambda config: {"params": float(config["x"])})
    assert (sized.allowed({"x": 10}), sized.allowed({"x": 11})) == (True, False)


def space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(Float("lr", (0.0, 1.0)), Integer("layers", (1, 4)), Constant("epochs", 3))
    return space


def test_values_are_written_as_the_space_writes_them() -> None:
    knowledge = Knowledge(initial=({"lr": 1, "layers": 2.0},))
    trial = make_optimizer("random_search", space=space(), budgets=Budgets(), knowledge=knowledge).ask()
    assert isinstance(trial, Trial)
    assert trial.config == {"lr": 1.0, "layers": 2, "epochs": 3}
    assert [type(trial.config[name]) for name in ("lr", "layers", "epochs")] == [float, int, int]


@pytest.mark.parametrize(
    ("knowledge", "said"),
    [
        (Knowledge(initial=({"lr": 0.5, "layers": 1}, {"lr": 0.5, "layers": 9})), "initial configuration 2: layers = 9"),
        (Knowledge(prior={"speed": Belief(center=1, confidence=0.5)}), "prior of 'speed'"),
        (Knowledge(prior={"lr": Belief(center=2.0, confidence=0.5)}), "prior of lr: lr = 2.0; accepted is a number from 0.0 to 1.0"),
        (Knowledge(constraints=cast(Any, ["params<=5"])), r"constraint 'params<=5': accepted is a Constraint, such as Constraint\.parse"),
    ],
)
def test_what_does_not_fit_the_space_is_refused(knowledge: Knowledge, said: str) -> None:
    with pytest.raises(KnowledgeError, match=said):
        make_optimizer("hyperband", space=space(), budgets=Budgets(), knowledge=knowledge)


def earlier(**config: Value) -> Evaluation:
    """An evaluation of an earlier study."""
    trial = Trial(trial_id="w0", config_id="w0", config=config, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)
    return Evaluation(trial=trial, result=Result(trial_id="w0", status=Status.OK, loss=1.0, train_s=1.0))


def test_of_an_earlier_study_counts_what_the_space_knows() -> None:
    history = (earlier(lr=0.5, width=3, epochs=3), earlier(lr=7.5, layers=2.0), earlier(width=3), earlier(lr=7.5))
    known = fitted(Knowledge(history=history), space())
    assert [e.trial.config for e in known.history] == [{"lr": 0.5}, {"layers": 2}]
    assert known.history[0].result == history[0].result
    assert isinstance(make_optimizer("bohb", space=space(), budgets=Budgets(), knowledge=Knowledge(history=history)).ask(), Trial)
    with pytest.raises(KnowledgeError, match="history: nothing of its 2 evaluations is known to the space, which has epochs, layers, lr"):
        fitted(Knowledge(history=history[2:]), space())


@pytest.mark.parametrize("method", ["bohb", "hyperband"])
def test_an_initial_configuration_that_breaks_a_bound_is_not_asked(method: str) -> None:
    large, small = {"lr": 0.5, "layers": 4}, {"lr": 0.25, "layers": 2}
    bound = Knowledge(constraints=(Constraint.parse("params<=3"),), size=lambda config: {"params": float(config["layers"])})
    trial = make_optimizer(method, space=space(), budgets=Budgets(), knowledge=replace(bound, initial=(large, small))).ask()
    assert isinstance(trial, Trial)
    assert (trial.origin, trial.config) == (Origin.INITIAL, small | {"epochs": 3})
    trial = make_optimizer(method, space=space(), budgets=Budgets(), knowledge=replace(bound, initial=(large,))).ask()
    assert isinstance(trial, Trial)
    assert trial.origin is not Origin.INITIAL


@pytest.mark.parametrize("method", ["bohb", "hyperband"])
def test_an_initial_configuration_that_drops_out_later_leaves_the_others_their_turn(method: str) -> None:
    initial = tuple({"lr": 0.5, "layers": n, "epochs": 3} for n in (4, 1, 2, 3))
    bound = Knowledge(
        initial=initial, constraints=(Constraint.parse("params<=4"),), size=lambda config: {"params": float(config["layers"])}
    )
    before = make_optimizer(method, space=space(), budgets=Budgets(), knowledge=bound)
    asked = [trial for trial in (before.ask(), before.ask()) if isinstance(trial, Trial)]
    assert [trial.config for trial in asked] == [*initial[:2]]
    assert before.reason == "given at the start, 2 of 4"
    tight = replace(bound, constraints=(Constraint.parse("params<=3"),))
    after = make_optimizer(method, space=space(), budgets=Budgets(), knowledge=tight)
    for trial in asked:
        after.replay(trial)
    rest = [trial for trial in (after.ask() for _ in range(3)) if isinstance(trial, Trial)]
    assert [trial.config for trial in rest[:2]] == [*initial[2:]]
    assert [trial.origin for trial in rest] == [Origin.INITIAL, Origin.INITIAL, Origin.RANDOM]


def test_a_size_that_takes_its_configuration_apart_takes_a_copy() -> None:
    def size(config: Mapping[str, Value]) -> Mapping[str, float]:
        return {"params": float(cast(dict[str, Value], config).pop("layers"))}

    known = Knowledge(initial=({"lr": 0.5, "layers": 2},), constraints=(Constraint.parse("params<=3"),), size=size)
    optimizer = make_optimizer("hyperband", space=space(), budgets=Budgets(), knowledge=known)
    trials = [trial for trial in (optimizer.ask(), optimizer.ask()) if isinstance(trial, Trial)]
    assert [trial.config.keys() for trial in trials] == [{"lr", "layers", "epochs"}] * 2
    config = {"lr": 0.5, "layers": 2}
    assert known.untold(config, result(0.25)) == ()
    assert config == {"lr": 0.5, "layers": 2}


@pytest.mark.parametrize("method", ["asha", "bohb", "bohb_2018", "hyperband", "random_search"])
def test_every_method_draws_by_beliefs_and_keeps_bounds(method: str) -> None:
    bound = Knowledge(constraints=(Constraint.parse("params<=0.5"),), size=lambda config: {"params": float(config["lr"])})
    known = replace(bound, prior={"lr": Belief(center=0.25, confidence=0.9)})
    optimizer = make_optimizer(method, space=space(), budgets=Budgets(min=1, max=9), knowledge=known)
    trials = [trial for trial in (optimizer.ask() for _ in range(40)) if isinstance(trial, Trial)]
    assert {trial.origin for trial in trials} == {Origin.PRIOR, Origin.RANDOM}
    assert all(float(trial.config["lr"]) <= 0.5 for trial in trials)


@pytest.mark.parametrize("method", ["hyperband", "random_search", "bohb_2018", "asha"])
def test_methods_that_cannot_learn_from_an_earlier_study_say_so(method: str) -> None:
    history = (earlier(lr=0.1),)
    with pytest.raises(KnowledgeError, match=f"method {method} cannot learn from an earlier study"):
        make_optimizer(method, space=space(), budgets=Budgets(), knowledge=Knowledge(history=history))


@pytest.mark.parametrize("confidence", ["high", None, True, 0.0, 1.0, float("nan")])
def test_a_confidence_that_is_none_is_refused_where_it_is_written(confidence: Any) -> None:
    with pytest.raises(KnowledgeError, match=f"^confidence {confidence!r}; accepted is a number above 0 and below 1$"):
        Belief(center=0.5, confidence=confidence)
