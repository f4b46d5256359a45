"""Draws around beliefs, held to scipy's truncated normal distribution and to the formula by hand."""

from collections import Counter

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Constant, EqualsCondition, Float, ForbiddenEqualsClause, Integer, Normal
from scipy.stats import kstest, truncnorm

from bohb_nas.errors import KnowledgeError, SpaceError
from bohb_nas.knowledge import Belief, Constraint, Knowledge
from bohb_nas.records import Origin, Value
from bohb_nas.samplers.prior import columns, draw
from bohb_nas.samplers.uniform import Fresh, at_random
from bohb_nas.space.encoding import Encoding

NAN = float("nan")


@pytest.mark.parametrize(("center", "confidence"), [(0.2, 0.25), (0.9, 0.5), (0.0, 0.75), (0.5, 0.999)])
def test_numbers_are_normal_around_the_centre_and_cut_off(center: float, confidence: float) -> None:
    drawn = draw(
        np.random.default_rng(3),
        np.full((4000, 2), 0.25),
        centers=np.array([center, NAN]),
        confidences=np.array([confidence, NAN]),
        levels=np.array([0, 0]),
    )
    spread = (1 - confidence) / 2
    expected = truncnorm(-center / spread, (1 - center) / spread, loc=center, scale=spread)
    assert kstest(drawn[:, 0], expected.cdf).pvalue > 0.01
    assert (drawn[:, 1] == 0.25).all(), "nothing is believed of this one"


def test_a_confidence_close_to_one_stays_finite_and_inside() -> None:
    points = np.zeros((1000, 2))
    sure = np.array([1 - 1e-12, 1 - 1e-12])
    drawn = draw(np.random.default_rng(0), points, centers=np.array([0.0, 1.0]), confidences=sure, levels=np.array([0, 0]))
    assert np.isfinite(drawn).all()
    assert (points == 0).all(), "what was given is left alone"
    assert np.abs(drawn - [0.0, 1.0]).max() < 1e-9


def test_levels_by_hand() -> None:
    n = 20_000
    drawn = draw(np.random.default_rng(1), np.zeros((n, 1)), centers=np.array([2.0]), confidences=np.array([0.4]), levels=np.array([4]))
    shares = np.bincount(drawn[:, 0].astype(int), minlength=4) / n
    # 0.4 + 0.6 / 4 for the centre, 0.6 / 4 for each other level; the standard error is below 0.0036
    assert shares == pytest.approx([0.15, 0.15, 0.55, 0.15], abs=0.012)


def space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    kind, slope = Categorical("kind", ["a", "b", "c", "d"]), Float("slope", (1.0, 100.0), log=True)
    space.add(kind, slope, Integer("layers", (1, 9)), Float("lr", (0.0, 1.0)))
    space.add(EqualsCondition(slope, kind, "b"))
    return space


def test_beliefs_become_columns() -> None:
    encoding = Encoding(space())
    centers, confidences = columns(encoding, {"kind": Belief(center="c", confidence=0.5), "slope": Belief(center=10.0, confidence=0.75)})
    by_name = dict(zip(encoding.names, zip(centers, confidences, encoding.levels, strict=True), strict=True))
    assert by_name["kind"] == (2.0, 0.5, 4)
    assert by_name["slope"] == (pytest.approx(0.5), 0.75, 0), "halfway between 1 and 100 on the logarithm"
    assert np.isnan(by_name["lr"][:2]).all()
    for wrong in ({"speed": 1.0}, {"lr": 2.0}, {"kind": "e"}):
        with pytest.raises(SpaceError):
            columns(encoding, {name: Belief(center=value, confidence=0.5) for name, value in wrong.items()})


def drawn(knowledge: Knowledge, n: int) -> list[tuple[Origin, dict[str, Value]]]:
    fresh = Fresh(Encoding(space()), knowledge=knowledge)
    proposals = [fresh.draw(np.random.default_rng((5, k)), reason="a test") for k in range(n)]
    return [(p.origin, p.config) for p in proposals]


def test_half_of_the_draws_follow_the_beliefs_and_half_ignore_them() -> None:
    knowledge = Knowledge(prior={"kind": Belief(center="b", confidence=0.8), "slope": Belief(center=10.0, confidence=0.9)})
    found = drawn(knowledge, 600)
    assert sum(origin is Origin.PRIOR for origin, _ in found) == pytest.approx(300, abs=60)  # five standard errors of 12
    kinds = Counter(config["kind"] for origin, config in found if origin is Origin.PRIOR)
    assert kinds["b"] / sum(kinds.values()) == pytest.approx(0.85, abs=0.11)
    slopes = [float(config["slope"]) for origin, config in found if origin is Origin.PRIOR and "slope" in config]
    assert np.median(np.log10(slopes)) == pytest.approx(1.0, abs=0.05)
    others = Counter(config["kind"] for origin, config in found if origin is Origin.RANDOM)
    assert others["b"] / sum(others.values()) == pytest.approx(0.25, abs=0.13)
    assert {origin for origin, _ in drawn(Knowledge(), 50)} == {Origin.RANDOM}


def test_what_a_belief_makes_active_comes_from_the_spaces_own_distribution() -> None:
    weighted = ConfigurationSpace()
    kind, scale = Categorical("kind", ["a", "b"], weights=[99, 1]), Categorical("scale", ["safe", "rare", "never"], weights=[3, 1, 0])
    wide = Float("wide", (0.0, 1.0), distribution=Normal(0.2, 0.01))
    weighted.add(kind, scale, wide)
    weighted.add(EqualsCondition(scale, kind, "b"), EqualsCondition(wide, kind, "b"))
    fresh = Fresh(Encoding(weighted), knowledge=Knowledge(prior={"kind": Belief(center="b", confidence=0.9)}))
    found = [fresh.draw(np.random.default_rng((5, k)), reason="a test") for k in range(400)]
    believed = [p.config for p in found if p.origin is Origin.PRIOR and p.config["kind"] == "b"]
    scales = Counter(config["scale"] for config in believed)
    assert scales["rare"] / len(believed) == pytest.approx(0.25, abs=0.16)  # five standard errors of 190
    assert set(scales) == {"safe", "rare"}
    assert all(abs(float(config["wide"]) - 0.2) < 0.06 for config in believed), "six standard deviations"
    again = fresh.draw(np.random.default_rng((5, 1)), reason="a test")
    assert again == found[1], "the generator alone decides"


def layers(config: object) -> dict[str, float]:
    assert isinstance(config, dict)
    return {"layers": float(config["layers"])}


def test_a_belief_in_what_has_no_choice_draws_nothing() -> None:
    fixed = ConfigurationSpace({"c": Constant("c", 1), "x": (0.0, 1.0)})
    fresh, rng = Fresh(Encoding(fixed), knowledge=Knowledge(prior={"c": Belief(center=1, confidence=0.5)})), np.random.default_rng(0)
    assert {fresh.draw(rng, reason="a test").origin for _ in range(20)} == {Origin.RANDOM}


def test_draws_around_beliefs_keep_the_constraints_and_say_when_they_cannot() -> None:
    at_most_3 = (Constraint(metric="layers", relation="<=", bound=3.0),)
    near = Knowledge(prior={"layers": Belief(center=3, confidence=0.5)}, constraints=at_most_3, size=layers)
    assert {config["layers"] for _, config in drawn(near, 100)} == {1, 2, 3}
    far = Knowledge(prior={"layers": Belief(center=9, confidence=0.99)}, constraints=at_most_3, size=layers)
    fresh = Fresh(Encoding(space()), knowledge=far)
    proposals = [fresh.draw(np.random.default_rng(k), reason="a test") for k in range(12)]
    assert {p.origin for p in proposals} == {Origin.RANDOM}
    assert {p.reason for p in proposals} == {"a test", "a test; 100 draws around the prior's centres are all forbidden"}


def test_nothing_allowed_is_an_error_not_an_endless_loop() -> None:
    tiny = ConfigurationSpace({"lr": (0.0, 1.0)})
    with pytest.raises(KnowledgeError, match="10000 configurations drawn at random, and none meets"):
        at_random(Encoding(tiny), np.random.default_rng(0), reason="a test", allowed=lambda config: False)


def test_forbidden_combinations_are_never_drawn() -> None:
    forbidding = space()
    forbidding.add(ForbiddenEqualsClause(forbidding["kind"], "b"))
    fresh = Fresh(Encoding(forbidding), knowledge=Knowledge(prior={"kind": Belief(center="c", confidence=0.2)}))
    kinds = {fresh.draw(np.random.default_rng(k), reason="a test").config["kind"] for k in range(80)}
    assert kinds == {"a", "c", "d"}
