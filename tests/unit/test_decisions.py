"""Search spaces as categorical decisions: bases, draws, blends, decoding, all worked out by hand or by ConfigSpace itself."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    Configuration,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenGreaterThanRelation,
    ForbiddenInClause,
    ForbiddenLessThanRelation,
    GreaterThanCondition,
    Integer,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
    OrdinalHyperparameter,
)
from numpy.typing import NDArray
from space_fakes import everything

from bohb_nas.errors import OptionError
from bohb_nas.oneshot.decisions import Decisions
from bohb_nas.search_spaces import cell, joint, toy
from bohb_nas.space.encoding import Encoding


def uniform(decisions: Decisions) -> dict[str, NDArray[np.float64]]:
    return {name: np.full(n, 1 / n) for name, n in decisions.sizes.items()}


def spiky(decisions: Decisions, seed: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return {name: rng.dirichlet(np.ones(n)) for name, n in decisions.sizes.items()}


def nested() -> ConfigurationSpace:
    """Conditions of several kinds under And and Or, a constant, and clauses over categoricals and over floats."""
    space = ConfigurationSpace()
    op, depth = Categorical("op", ["conv", "pool", "skip"]), Integer("depth", (1, 4), default=2)
    size, rate = OrdinalHyperparameter("size", ["s", "m", "l"], default_value="m"), Float("rate", (0.01, 1.0), log=True)
    low, high = Float("low", (0.0, 1.0), default=0.0), Float("high", (0.0, 1.0), default=1.0)
    both, either, inner = Float("both", (0.0, 1.0)), Categorical("either", [True, False]), Integer("inner", (1, 3))
    space.add(op, depth, size, rate, low, high, both, either, inner, Constant("epochs", 3))
    space.add(
        AndConjunction(EqualsCondition(both, op, "conv"), GreaterThanCondition(both, depth, 2)),
        OrConjunction(NotEqualsCondition(either, op, "conv"), LessThanCondition(either, size, "m")),
        EqualsCondition(inner, either, True),
    )
    space.add(
        ForbiddenAndConjunction(ForbiddenEqualsClause(op, "skip"), ForbiddenInClause(depth, [3, 4])),
        ForbiddenGreaterThanRelation(low, high),
    )
    return space


def test_the_bases_of_the_toy_space() -> None:
    found = {d.name: d for d in Decisions(toy.space()).decisions}
    assert found["lr"].values == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert (found["lr"].log, found["lr"].number, found["lr"].default) == (True, True, 2)
    assert found["width"].values == (1, 4, 8, 12, 16)  # from 1, 4.75, 8.5, 12.25, 16, and its default is 4
    assert (found["width"].number, found["width"].default) == (False, 1)
    assert found["momentum"].values == pytest.approx((0.0, 0.2475, 0.495, 0.7425, 0.99), rel=1e-12)
    assert (found["momentum"].log, found["momentum"].default) == (False, 2)
    assert (found["optimizer"].values, found["optimizer"].number, found["optimizer"].default) == (("sgd", "adam"), False, 1)


@pytest.mark.parametrize(
    ("bounds", "log", "default", "n", "values"),
    [
        ((1, 8), False, 3, 5, (1, 2, 3, 4, 5, 6, 7, 8)),
        ((1, 9), False, 3, 5, (1, 3, 5, 7, 9)),
        ((1, 9), False, 4, 5, (1, 4, 5, 7, 9)),  # of 3 and 5, equally near, the lower
        ((1, 100), True, 30, 5, (1, 3, 10, 30, 100)),  # from 1, 3.16, 10, 31.6, 100
        ((1, 20), True, 1, 10, (1, 2, 3, 4, 5, 6, 7, 10, 14, 20)),  # from 1, 1.4, 1.9, 2.7, 3.8, 5.3, 7.4, 10.3, 14.3, 20
        ((-10, 10), False, 0, 3, (-10, 0, 10)),
    ],
)
def test_the_bases_of_integers_are_different_and_have_the_default(
    bounds: tuple[int, int], log: bool, default: int, n: int, values: tuple[int, ...]
) -> None:
    space = ConfigurationSpace(space=[Integer("n", bounds, log=log, default=default)])
    (found,) = Decisions(space, n_bases=n).decisions
    assert found.values == values
    assert {type(value) for value in found.values} == {int}
    assert found.values[found.default] == default


def test_floats_of_the_architecture_and_those_that_conditions_look_at_are_no_blends() -> None:
    space = nested()
    found = {d.name: d.number for d in Decisions(space, architecture=["both", "never"]).decisions}
    assert [name for name, number in found.items() if number] == ["rate"]  # low and high are in a clause
    assert {d.name for d in Decisions(space).decisions if d.number} == {"rate", "both"}


def test_what_is_held_stays_at_its_default_where_it_is_active() -> None:
    decisions = Decisions(nested(), held={"inner": "acts in no step", "batch_size": "of another space"})
    assert decisions.held == {"inner": (2, "acts in no step"), "epochs": (3, "it has one value")}
    indices = {"op": 1, "depth": 0, "size": 0, "rate": 4, "low": 0, "high": 4, "either": 0}
    found = decisions.config(indices)
    assert found == {"op": "pool", "depth": 1, "size": "s", "rate": 1.0, "low": 0.0, "high": 1.0, "epochs": 3, "either": True, "inner": 2}
    assert "inner" not in decisions.config(indices | {"either": 1})
    assert "inner" not in decisions.sizes


def test_a_space_with_nothing_to_decide_is_refused() -> None:
    space = ConfigurationSpace(space=[Constant("epochs", 3), Float("lr", (0.1, 0.5), default=0.2)])
    with pytest.raises(OptionError, match=r"nothing to decide: .*epochs = 3 \(it has one value\); lr = 0\.2 \(not today\); it needs one"):
        Decisions(space, held={"lr": "not today"})
    with pytest.raises(OptionError, match="it has no hyperparameters; it needs one"):
        Decisions(ConfigurationSpace())


@pytest.mark.parametrize("space", [joint.space(), cell.space(), toy.space(), nested()], ids=["joint", "cell", "toy", "nested"])
def test_draws_are_legal_and_leave_out_what_is_inactive(space: ConfigurationSpace) -> None:
    decisions = Decisions(space, held={"batch_size": "acts in no step"})
    rng = np.random.default_rng(5)
    probabilities = spiky(decisions, 3)
    for _ in range(200):
        draw = decisions.sample(probabilities, rng)
        found = decisions.config(draw)
        legal = Configuration(space, values=found)  # raises where an active one is missing, an inactive one given or a clause broken
        assert set(found) == set(legal)
        assert set(draw) == set(found) - set(decisions.held)
        assert {type(value) for value in found.values()} <= {bool, int, float, str}
        Configuration(space, values=decisions.blended(draw, probabilities))


def test_what_exists_is_what_the_encoding_says_of_every_kind_of_condition() -> None:
    space = everything()
    decisions, encoding = Decisions(space), Encoding(space)
    rng = np.random.default_rng(0)
    for _ in range(100):
        found = decisions.config(decisions.sample(uniform(decisions), rng))
        assert encoding.decode(encoding.encode([found])[0]).keys() == found.keys()


def test_draws_follow_the_probabilities() -> None:
    """Four standard errors of a share of 0.2 among 2000 draws are 0.036."""
    decisions = Decisions(toy.space())
    probabilities = uniform(decisions) | {"optimizer": np.array([0.2, 0.8])}
    rng = np.random.default_rng(1)
    draws = [decisions.sample(probabilities, rng) for _ in range(2000)]
    sgd = [draw for draw in draws if draw["optimizer"] == 0]
    assert abs(len(sgd) / 2000 - 0.2) < 0.036
    assert sgd == [draw for draw in draws if "momentum" in draw]


def clashing(n: int, *forbidden: dict[str, int]) -> ConfigurationSpace:
    space = ConfigurationSpace({"a": list(range(n)), "b": list(range(n)), "c": list(range(n))})
    for clause in forbidden:
        space.add(ForbiddenAndConjunction(*(ForbiddenEqualsClause(space[name], value) for name, value in clause.items())))
    return space


def test_a_draw_that_a_clause_forbids_is_drawn_again() -> None:
    """Of nine pairs one is forbidden; the others keep their shares, 1/8 each: four standard errors among 2000 are 0.03."""
    decisions = Decisions(clashing(3, {"a": 1, "b": 1}))
    rng = np.random.default_rng(2)
    drawn = [decisions.sample(uniform(decisions), rng) for _ in range(2000)]
    shares = {pair: sum((one["a"], one["b"]) == pair for one in drawn) / 2000 for pair in itertools.product(range(3), repeat=2)}
    assert shares.pop((1, 1)) == 0
    assert all(abs(share - 1 / 8) < 0.03 for share in shares.values())


def test_draws_that_clauses_always_forbid_are_given_up() -> None:
    decisions = Decisions(clashing(3, {"a": 1, "b": 0}), held={"b": "for the test"})
    with pytest.raises(OptionError, match=r"forbid each of 1000 draws in a row; held fixed: b = 0 \(for the test\); write as conditions"):
        decisions.sample(uniform(decisions) | {"a": np.array([0.0, 1.0, 0.0])}, np.random.default_rng(0))


def test_blended_numbers() -> None:
    """Half of 0.01, half of 1 on a logarithmic scale is 0.1, where an arithmetic mean would say 0.505."""
    decisions = Decisions(toy.space())
    draw = {"lr": 0, "width": 4, "optimizer": 0, "momentum": 1}
    probabilities = uniform(decisions) | {"lr": np.array([0, 0, 0.5, 0, 0.5]), "momentum": np.array([0.1, 0.2, 0.7, 0.0, 0.0])}
    found = decisions.blended(draw, probabilities)
    assert found == {"lr": pytest.approx(0.1), "width": 16, "optimizer": "sgd", "momentum": pytest.approx(0.2 * 0.2475 + 0.7 * 0.495)}
    assert decisions.config(draw) == {"lr": 1e-4, "width": 16, "optimizer": "sgd", "momentum": 0.2475}
    assert decisions.blended(draw, probabilities, among={"lr", "beta"}) == decisions.config(draw) | {"lr": pytest.approx(0.1)}
    assert decisions.blended(draw, probabilities, among=()) == decisions.config(draw)
    adam = decisions.blended({"lr": 0, "width": 4, "optimizer": 1}, probabilities)
    assert "momentum" not in adam


def test_a_blend_stays_within_the_bounds() -> None:
    lower, upper = 3.6, 7.1
    assert math.exp(math.log(lower)) < lower
    assert math.exp(math.log(upper)) > upper
    decisions = Decisions(ConfigurationSpace(space=[Float("lr", (lower, upper), log=True)]))
    for end, value in ((0, lower), (-1, upper)):
        certain = np.zeros(5)
        certain[end] = 1.0
        assert decisions.decode({"lr": certain}) == {"lr": value}


def test_decoding_takes_the_likeliest_and_blends_numbers() -> None:
    decisions = Decisions(toy.space())
    probabilities = uniform(decisions) | {"optimizer": np.array([0.6, 0.4]), "width": np.array([0.1, 0.1, 0.2, 0.4, 0.2])}
    assert decisions.decode(probabilities) == {
        "lr": pytest.approx(0.01),
        "width": 12,
        "optimizer": "sgd",
        "momentum": pytest.approx(0.495),
    }


def test_of_equally_likely_values_the_default_is_decoded_then_the_first() -> None:
    decisions = Decisions(toy.space())
    found = decisions.decode(uniform(decisions))
    assert (found["optimizer"], found["width"]) == ("adam", 4)
    assert decisions.decode(uniform(decisions) | {"width": np.array([0.1, 0.1, 0.3, 0.3, 0.2])})["width"] == 8


def test_decoding_evades_a_clause_at_the_least_price() -> None:
    """The products are .5*.6 (forbidden), .5*.3 = .15, .4*.6 = .24."""
    decisions = Decisions(clashing(3, {"a": 1, "b": 1}))
    probabilities = {"a": np.array([0.4, 0.5, 0.1]), "b": np.array([0.3, 0.6, 0.1]), "c": np.array([0.2, 0.2, 0.6])}
    assert decisions.decode(probabilities) == {"a": 0, "b": 1, "c": 2}


def test_decoding_evades_a_clause_by_what_has_a_chance_at_all() -> None:
    decisions = Decisions(clashing(3, {"a": 1, "b": 1}))
    certain = np.array([0.0, 1.0, 0.0])
    assert decisions.decode({"a": certain, "b": np.array([0.0, 0.9, 0.1]), "c": certain}) == {"a": 1, "b": 2, "c": 1}
    found = decisions.decode({"a": certain, "b": certain, "c": certain})
    assert (found["a"], found["b"]) != (1, 1), "nothing that is legal has a chance"


@pytest.mark.parametrize("seed", range(20))
def test_decoding_finds_the_likeliest_of_all_legal_assignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clauses = [{"a": int(rng.integers(3)), "b": int(rng.integers(3))} for _ in range(4)]
    clauses += [dict(zip("abc", map(int, rng.integers(3, size=3)), strict=True)) for _ in range(8)]
    clauses = [clause for clause in clauses if any(clause.values())]  # the default has to stay legal
    decisions = Decisions(clashing(3, *clauses))
    p = spiky(decisions, seed)
    triples = [dict(zip("abc", values, strict=True)) for values in itertools.product(range(3), repeat=3)]
    legal = [one for one in triples if not any(clause.items() <= one.items() for clause in clauses)]
    assert decisions.decode(p) == max(legal, key=lambda one: math.prod(p[name][value] for name, value in one.items()))


def test_evading_a_clause_does_not_flee_into_the_branch_with_fewer_decisions() -> None:
    """In `big` x goes from 0.4 to 0.3, `small` would be 0.4 for 0.6; by a product over all decisions `small`, which has none, would win."""
    kind, x, y = Categorical("kind", ["big", "small"]), Categorical("x", ["a", "b", "c"]), Categorical("y", ["a", "b", "c"], default="b")
    space = ConfigurationSpace(space=[kind, x, y])
    space.add(EqualsCondition(x, kind, "big"), EqualsCondition(y, kind, "big"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(x, "a"), ForbiddenEqualsClause(y, "a")))
    p = {"kind": np.array([0.6, 0.4]), "x": np.array([0.4, 0.3, 0.3]), "y": np.array([0.5, 0.25, 0.25])}
    assert Decisions(space).decode(p) == {"kind": "big", "x": "b", "y": "a"}


def test_decoding_gives_up_where_nothing_is_legal() -> None:
    """Legal is 0.2 alone, and the bases of `low` are 0, 0.25, 0.5, 0.75, 1."""
    low, high = Float("low", (0.0, 1.0), default=0.2), Float("high", (0.0, 1.0), default=0.2)
    space = ConfigurationSpace(space=[low, high])
    space.add(ForbiddenGreaterThanRelation(low, high), ForbiddenLessThanRelation(low, high))
    decisions = Decisions(space, held={"high": "for the test"})
    with pytest.raises(OptionError, match=r"no assignment .* allow; held fixed: high = 0\.2 \(for the test\)"):
        decisions.decode(uniform(decisions))


@pytest.mark.parametrize("space", [joint.space(), cell.space(), nested()], ids=["joint", "cell", "nested"])
def test_what_is_decoded_is_legal(space: ConfigurationSpace) -> None:
    decisions = Decisions(space)
    for seed in range(30):
        Configuration(space, values=decisions.decode(spiky(decisions, seed)))


def test_the_corners_of_the_toy_space() -> None:
    default: dict[str, Any] = {"lr": 0.01, "width": 4, "optimizer": "adam"}
    sgd = default | {"optimizer": "sgd", "momentum": 0.5}
    decisions = Decisions(toy.space())
    expected = [default, *(default | {"lr": lr} for lr in (1e-4, 1e-3, 0.1, 1.0)), *(default | {"width": n} for n in (1, 8, 12, 16))]
    expected += [sgd, *(sgd | {"momentum": momentum} for momentum in (0.0, 0.2475, 0.495, 0.7425, 0.99))]
    found = [*decisions.corners()]
    assert all(one in found for one in expected)
    assert len(found) == len(expected)
    assert found[0] == default


@pytest.mark.parametrize("space", [joint.space(), nested()], ids=["joint", "nested"])
def test_corners_are_legal_and_show_every_value(space: ConfigurationSpace) -> None:
    decisions = Decisions(space)
    shown = set()
    for corner in decisions.corners():
        Configuration(space, values=corner)
        shown |= set(corner.items())
    assert {(d.name, value) for d in decisions.decisions for value in d.values} <= shown


def test_the_score_is_the_gradient_of_the_log_probability() -> None:
    decisions = Decisions(toy.space())
    logits = {name: np.random.default_rng(7).normal(size=n) for name, n in decisions.sizes.items()}
    draw = {"lr": 3, "width": 0, "optimizer": 1}

    def log_probability(name: str, i: int, h: float) -> float:
        moved = {key: values + (h * np.eye(len(values))[i] if key == name else 0.0) for key, values in logits.items()}
        return decisions.log_probability(draw, {key: np.exp(z) / np.exp(z).sum() for key, z in moved.items()})

    score = decisions.score(draw, {key: np.exp(z) / np.exp(z).sum() for key, z in logits.items()})
    assert set(score) == {"lr", "width", "optimizer"}
    for name, gradient in score.items():
        numeric = [(log_probability(name, i, 1e-5) - log_probability(name, i, -1e-5)) / 2e-5 for i in range(len(gradient))]
        assert gradient == pytest.approx(numeric, abs=1e-8)


def test_the_log_probability_of_a_draw() -> None:
    decisions = Decisions(clashing(2))
    p = {"a": np.array([0.25, 0.75]), "b": np.array([0.5, 0.5]), "c": np.array([0.0, 1.0])}
    assert decisions.log_probability({"a": 0, "b": 1, "c": 1}, p) == pytest.approx(math.log(0.125))
    assert decisions.log_probability({"a": 0, "b": 1, "c": 0}, p) == -math.inf


def test_the_space_itself_is_left_alone() -> None:
    space = nested()
    before = space.to_serialized_dict()
    decisions = Decisions(space)
    decisions.sample(uniform(decisions), np.random.default_rng(0))
    assert space.to_serialized_dict() == before
