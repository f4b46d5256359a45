"""Our model beside HpBandSter 0.7.4's own generator: same results in, same model out, same picks in distribution."""

import logging
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenInClause,
    Integer,
)
from ConfigSpace.hyperparameters import FloatHyperparameter
from scipy import stats

from bohb_nas.records import Origin, Value
from bohb_nas.samplers import kde
from bohb_nas.samplers.tpe import Settings, Tpe
from bohb_nas.space.encoding import Encoding

pytestmark = [pytest.mark.hpbandster, pytest.mark.filterwarnings("ignore")]

BUDGET = 9.0


def flat_space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(Categorical("act", ["a", "b", "c"]), Categorical("flag", [True, False]))
    space.add(Float("lr", (1e-4, 1.0), log=True), Float("drop", (0.0, 0.5)), Integer("layers", (1, 6)))
    return space


def conditional_space() -> ConfigurationSpace:
    space = flat_space()
    slope = Float("slope", (0.0, 1.0))
    space.add(slope)
    space.add(EqualsCondition(slope, space["act"], "b"))
    return space


def constant_space() -> ConfigurationSpace:
    """Two hyperparameters without a choice, which count."""
    space = flat_space()
    space.add(Constant("classes", 10), Categorical("only", ["one"]))
    return space


def forbidding_space() -> ConfigurationSpace:
    """A clause on a hyperparameter that is mostly inactive where the loss is low."""
    space = flat_space()
    kind = Categorical("kind", ["y", "x"])
    space.add(kind)
    space.add(EqualsCondition(kind, space["act"], "a"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(kind, "x"), ForbiddenInClause(space["layers"], [3, 4, 5])))
    return space


def loss_of(config: dict[str, Value]) -> float:
    layers, drop = config["layers"], config["drop"]
    assert isinstance(layers, int)
    assert isinstance(drop, float)
    return (config["act"] != "b") + abs(layers - 4) / 4 + drop


def settings(**changes: Any) -> Settings:
    published: dict[str, Any] = {
        "min_points_in_model": None,
        "top_n_percent": 15,
        "n_candidates": 64,
        "random_fraction": 1 / 3,
        "bandwidth_factor": 3.0,
        "min_bandwidth": 1e-3,
        "corrected_densities": False,
    }
    return Settings(**published | changes)


@pytest.fixture(autouse=True)
def numpys_global_generator() -> Iterator[None]:
    """HpBandSter draws from numpy's global generator; it is left as it was found."""
    state = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(state)


def reference(space: ConfigurationSpace, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip(
            "hpbandster.optimizers.config_generators.bohb", reason="hpbandster is not installed: pip install bohb-nas[hpbandster]"
        )
    logger = logging.getLogger("hpbandster.silent")
    logger.setLevel(logging.CRITICAL)
    space.seed(0)
    return module.BOHB(space, logger=logger, **options)


def tell_both(theirs: Any, ours: Tpe, encoding: Encoding, n: int, *, failing: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tells the same n results to both; every `failing`-th is a failure. Returns rows (n, d) and losses (n,)."""
    configs, losses = [encoding.sample(k) for k in range(n)], []
    for k, config in enumerate(configs):
        loss = None if failing and k % failing == 0 else loss_of(config) + k * 1e-6  # no ties: their sort is not stable
        outcome = None if loss is None else {"loss": loss}
        theirs.new_result(SimpleNamespace(result=outcome, kwargs={"budget": BUDGET, "config": config}, exception=None))
        ours.observe(config, budget=BUDGET, loss=loss)
        losses.append(np.inf if loss is None else loss)
    return encoding.encode(configs), np.array(losses)


def in_order(rows: np.ndarray) -> np.ndarray:
    """Rows sorted: HpBandSter's sort is not stable, so failures, which all tie, come in any order."""
    return np.asarray(rows[np.lexsort(rows.round(6).T)])


@pytest.mark.parametrize(("n", "failing"), [(12, 0), (40, 0), (40, 9), (150, 0)])
def test_same_split_bandwidths_and_densities(n: int, failing: int) -> None:
    encoding = Encoding(flat_space())
    theirs, ours = reference(flat_space()), Tpe(flat_space(), seed=0, settings=settings())
    rows, losses = tell_both(theirs, ours, encoding, n, failing=failing)
    model = ours.fit(rows, losses)
    levels = encoding.levels
    points = encoding.encode([encoding.sample(1000 + k) for k in range(30)])
    for name, data, bandwidths in (("good", model.good, model.good_bandwidths), ("bad", model.bad, model.bad_bandwidths)):
        fitted = theirs.kde_models[BUDGET][name]
        assert in_order(data) == pytest.approx(in_order(fitted.data), abs=1e-9)
        assert bandwidths == pytest.approx(fitted.bw, rel=1e-9)
        expected = np.array([fitted.pdf(point) for point in points])
        assert kde.hpbandster_density(points, data, bandwidths, levels) == pytest.approx(expected, rel=1e-6)


def test_corrected_densities_are_theirs_where_no_bandwidth_is_over_the_limit() -> None:
    encoding = Encoding(flat_space())
    theirs, ours = reference(flat_space()), Tpe(flat_space(), seed=0, settings=settings(corrected_densities=True))
    model = ours.fit(*tell_both(theirs, ours, encoding, 150))
    fitted = theirs.kde_models[BUDGET]["bad"]
    levels = encoding.levels
    limit = np.where(levels > 0, (levels - 1) / np.maximum(levels, 1), np.inf)
    assert model.bad_bandwidths == pytest.approx(np.minimum(fitted.bw, limit))
    fitted.bw = np.minimum(fitted.bw, limit)
    points = encoding.encode([encoding.sample(1000 + k) for k in range(30)])
    expected = np.log([fitted.pdf(point) for point in points])
    assert kde.log_density(points, model.bad, model.bad_bandwidths, levels) == pytest.approx(expected, rel=1e-6)


def test_imputed_entries_have_the_same_distribution() -> None:
    encoding = Encoding(conditional_space())
    theirs = reference(conditional_space())
    rows = encoding.encode([encoding.sample(k) for k in range(60)])
    levels = encoding.levels
    column = encoding.names.index("slope")
    gaps = np.isnan(rows[:, column])
    assert gaps.sum() > 20
    rng = np.random.default_rng(0)
    our_values = np.concatenate([kde.impute(rng, rows, levels)[gaps, column] for _ in range(10)])
    their_values = np.concatenate([theirs.impute_conditional_data(rows)[gaps, column] for _ in range(10)])
    assert set(our_values) == set(their_values) == set(rows[~gaps, column])
    assert stats.ks_2samp(our_values, their_values).pvalue > 0.01


@pytest.mark.parametrize("space", [flat_space, conditional_space, constant_space])
def test_the_model_starts_at_the_same_result(space: Any) -> None:
    encoding = Encoding(space())
    d = len(space())
    theirs, ours = reference(space(), random_fraction=0), Tpe(space(), seed=0, settings=settings(random_fraction=0))
    tell_both(theirs, ours, encoding, 2 * (d + 1) - 1)
    assert not theirs.get_config(BUDGET)[1]["model_based_pick"]
    assert ours.propose(np.random.default_rng(0)).origin is Origin.RANDOM
    theirs, ours = reference(space(), random_fraction=0), Tpe(space(), seed=0, settings=settings(random_fraction=0))
    tell_both(theirs, ours, encoding, 2 * (d + 1))
    assert theirs.get_config(BUDGET)[1]["model_based_pick"]
    assert ours.propose(np.random.default_rng(0)).origin is Origin.MODEL


def test_bandwidths_count_hyperparameters_without_a_choice() -> None:
    encoding = Encoding(constant_space())
    theirs, ours = reference(constant_space()), Tpe(constant_space(), seed=0, settings=settings())
    model = ours.fit(*tell_both(theirs, ours, encoding, 60))
    columns = [list(constant_space()).index(name) for name in encoding.names]
    assert model.good_bandwidths == pytest.approx(theirs.kde_models[BUDGET]["good"].bw[columns], rel=1e-9)


def test_clauses_forbid_as_often_as_there() -> None:
    """With the values of what is inactive: of what is active alone few candidates would be forbidden."""
    encoding, n = Encoding(forbidding_space()), 100
    n_ours = n_theirs = 0
    for seed in range(n):  # what is imputed differs by seed, and with it how much is forbidden
        theirs = reference(forbidding_space(), random_fraction=0, num_samples=4)
        ours = Tpe(forbidding_space(), seed=seed, settings=settings(random_fraction=0, n_candidates=4))
        tell_both(theirs, ours, encoding, 24)
        n_ours += ours.propose(np.random.default_rng(seed)).origin is Origin.MODEL
        n_theirs += theirs.get_config(BUDGET)[1]["model_based_pick"]
    assert n_theirs < 0.8 * n
    assert stats.fisher_exact([[n_ours, n - n_ours], [n_theirs, n - n_theirs]]).pvalue > 0.01


@pytest.mark.parametrize("n_candidates", [1, 8])
def test_picks_are_equal_in_distribution(n_candidates: int) -> None:
    """One candidate compares how they are drawn, several how they are chosen."""
    encoding = Encoding(flat_space())
    theirs = reference(flat_space(), random_fraction=0, num_samples=n_candidates)
    ours = Tpe(flat_space(), seed=0, settings=settings(random_fraction=0, n_candidates=n_candidates))
    tell_both(theirs, ours, encoding, 60)
    n = 400
    picks = encoding.encode([ours.propose(np.random.default_rng((0, k))).config for k in range(n)])
    their_picks = encoding.encode(
        [{k: getattr(v, "item", lambda v=v: v)() for k, v in theirs.get_config(BUDGET)[0].items()} for _ in range(n)]
    )
    for j, (name, mine, other) in enumerate(zip(encoding.names, picks.T, their_picks.T, strict=True)):
        if isinstance(encoding.hyperparameter(j), FloatHyperparameter):
            assert stats.ks_2samp(mine, other).pvalue > 0.005, name
        else:
            values = sorted({*mine, *other})
            table = [[(side == value).sum() for value in values] for side in (mine, other)]
            assert stats.chi2_contingency(table).pvalue > 0.005, name
