"""`bohb_2018` picks what HpBandSter 0.7.4's own generator picks, in distribution: two-sample tests over 200 seeds.

For each of three spaces both are told the same results, by 200 optimizers and 200 generators that differ in their seed alone, and
each is asked for one configuration. The two samples are compared hyperparameter by hyperparameter and as a whole; the same
tests must tell the corrected densities and a random sampler from HpBandSter.
"""

import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    InCondition,
    Integer,
)
from ConfigSpace.hyperparameters import FloatHyperparameter
from numpy.typing import NDArray
from scipy import stats

from bohb_nas.methods import bohb_2018
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.space.encoding import Encoding, plain

pytestmark = [pytest.mark.slow, pytest.mark.hpbandster, pytest.mark.filterwarnings("ignore")]

N_SEEDS = 200
N_RESULTS = 60
ALPHA = 0.01
"""Of all tests of one comparison together."""

Rows = NDArray[np.float64]


def numeric() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(Float("lr", (1e-4, 1.0), log=True), Float("drop", (0.0, 0.5)), Float("decay", (1e-6, 1e-2), log=True))
    space.add(Integer("layers", (1, 6)), Integer("width", (8, 512), log=True))
    return space


def mixed() -> ConfigurationSpace:
    """Bandwidths of seven-level categoricals are over their limit, of which the corrected densities know."""
    space = ConfigurationSpace()
    space.add([Categorical(name, list("abcdefg")) for name in ("op0", "op1", "op2", "op3")], Categorical("flag", [True, False]))
    space.add(Float("lr", (1e-4, 1.0), log=True), Integer("layers", (1, 6)))
    return space


def conditional() -> ConfigurationSpace:
    """A chain of conditions, two children of one parent, and a clause on a child that counts where it is inactive, too."""
    space = ConfigurationSpace()
    act, opt, only = Categorical("act", list("abcdef")), Categorical("opt", ["sgd", "adam"]), Categorical("only", ["one"])
    slope, kind, scale = Float("slope", (0.0, 1.0)), Categorical("kind", list("uvwxyz")), Float("scale", (0.0, 1.0))
    momentum, layers = Float("momentum", (0.0, 0.99)), Integer("layers", (1, 6))
    space.add(act, opt, only, slope, kind, scale, momentum, layers)
    space.add(InCondition(slope, act, ["b", "c", "d"]), InCondition(kind, act, ["a", "b", "c"]), EqualsCondition(scale, kind, "w"))
    space.add(EqualsCondition(momentum, opt, "sgd"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(kind, "v"), ForbiddenEqualsClause(layers, 4)))
    return space


SPACES: dict[str, Callable[[], ConfigurationSpace]] = {"numeric": numeric, "mixed": mixed, "conditional": conditional}


def loss_of(config: dict[str, Value]) -> float:
    """Bowls in the numbers and prices of the levels; what is inactive costs nothing."""
    prices = {"b": 0.0, "c": 0.1, "w": 0.0, "sgd": 0.0}
    numbers = sum(
        (float(v) / 6 - 0.6) ** 2 if isinstance(v, int) else (v - 0.3) ** 2 for v in config.values() if isinstance(v, int | float)
    )
    return numbers + sum(0.3 * prices.get(v, 1.0) for v in config.values() if isinstance(v, str))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What both are told: configurations and losses, every ninth of them a failure."""

    configs: list[dict[str, Value]]
    losses: list[float | None]


def evidence(space: ConfigurationSpace) -> Evidence:
    encoding = Encoding(space)
    configs = [encoding.sample(k) for k in range(N_RESULTS)]
    losses = [None if k % 9 == 8 else loss_of(config) + k * 1e-6 for k, config in enumerate(configs)]  # no ties
    return Evidence(configs=configs, losses=losses)


@pytest.fixture(autouse=True)
def numpys_global_generator() -> Iterator[None]:
    """HpBandSter draws from numpy's global generator; it is left as it was found."""
    state = np.random.get_state()
    yield
    np.random.set_state(state)


@functools.cache
def reference(name: str, random_fraction: float) -> tuple[Rows, float]:
    """The generator's picks, (N_SEEDS, d), and the share that its model made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip(
            "hpbandster.optimizers.config_generators.bohb", reason="hpbandster is not installed: pip install bohb-nas[hpbandster]"
        )
    logger = logging.getLogger("hpbandster.silent")
    logger.setLevel(logging.CRITICAL)
    space = SPACES[name]()
    told, picks, n_model = evidence(space), [], 0
    for seed in range(N_SEEDS):
        np.random.seed(seed)
        space.seed(N_SEEDS + seed)  # the same seed would tie the random configurations to the draw that decides for them
        generator = module.BOHB(space, logger=logger, random_fraction=random_fraction)
        for k, (config, loss) in enumerate(zip(told.configs, told.losses, strict=True)):
            job = SimpleNamespace(result=None if loss is None else {"loss": loss}, kwargs={"budget": 1.0, "config": config}, exception=None)
            generator.new_result(job, update_model=k == N_RESULTS - 1)
        config, info = generator.get_config(1.0)
        picks.append({key: plain(value) for key, value in config.items()})
        n_model += info["model_based_pick"]
    return Encoding(space).encode(picks), n_model / N_SEEDS


def ours(name: str, **options: Any) -> tuple[Rows, float]:
    """The picks of `bohb_2018` by seed, (N_SEEDS, d), and the share that its model made."""
    space = SPACES[name]()
    told, picks, n_model = evidence(space), [], 0
    for seed in range(N_SEEDS):
        optimizer = bohb_2018.make(space=space, budgets=Budgets(min=1, max=1), seed=seed, n_workers=1, options=bohb_2018.Options(**options))
        for k, (config, loss) in enumerate(zip(told.configs, told.losses, strict=True)):
            trial_id, config_id = f"t{k:05d}", f"c{k:05d}"
            optimizer.replay(
                Trial(trial_id=trial_id, config_id=config_id, config=config, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)
            )
            status = Status.CRASHED if loss is None else Status.OK
            optimizer.tell(Result(trial_id=trial_id, status=status, loss=loss, train_s=1.0))
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        picks.append(dict(trial.config))
        n_model += trial.origin is Origin.MODEL
    return Encoding(space).encode(picks), n_model / N_SEEDS


def p_values(name: str, first: Rows, second: Rows) -> dict[str, float]:
    """Of every hyperparameter (values and activity), and of the whole."""
    encoding = Encoding(SPACES[name]())
    found: dict[str, float] = {}
    for j, (column, one, two) in enumerate(zip(encoding.names, first.T, second.T, strict=True)):
        if np.isnan([*one, *two]).any():
            found[f"{column} active"] = same_shares(np.isnan(one), np.isnan(two))
        one, two = one[~np.isnan(one)], two[~np.isnan(two)]
        is_float = isinstance(encoding.hyperparameter(j), FloatHyperparameter)
        found[column] = float(stats.ks_2samp(one, two).pvalue) if is_float else same_shares(one, two)
    return found | {"all together": energy(first, second, encoding.levels > 0)}


def same_shares(one: NDArray[Any], two: NDArray[Any]) -> float:
    """Chi-square test of whether values come as often; those seen fewer than ten times are taken together."""
    values, counts = np.unique([*one, *two], return_counts=True)
    common = values[counts >= 10]
    table = np.array([[*((side == value).sum() for value in common), (~np.isin(side, common)).sum()] for side in (one, two)])
    table = table[:, table.sum(axis=0) > 0]
    return float(stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def energy(first: Rows, second: Rows, levels: NDArray[np.bool_], n_permutations: int = 1999) -> float:
    """Permutation test of the energy distance; two levels, and being active or not, are a distance of one apart."""
    rows, n = np.vstack([first, second]), len(first)
    missing = np.isnan(rows)
    apart = np.abs(rows[:, None] - rows)
    apart = np.where(levels, apart > 0, apart)
    apart = np.where(missing[:, None] & missing, 0.0, np.where(missing[:, None] | missing, 1.0, apart)).sum(axis=2)
    sides = np.repeat([1.0, -1.0], [n, len(rows) - n])
    rng = np.random.default_rng(0)
    signs = np.array([sides, *(rng.permutation(sides) for _ in range(n_permutations))])
    distances = -((signs @ apart) * signs).sum(axis=1)  # both samples are of one size: this is n² times the distance
    return float((distances >= distances[0] * (1 - 1e-12)).mean())


def differ(found: dict[str, float]) -> bool:
    return min(found.values()) < ALPHA / len(found)


@pytest.mark.parametrize("name", SPACES)
def test_picks_of_the_model_are_equal_in_distribution(name: str) -> None:
    found = p_values(name, ours(name, random_fraction=0)[0], reference(name, 0.0)[0])
    assert not differ(found), found


@pytest.mark.parametrize("name", SPACES)
def test_all_picks_are_equal_in_distribution_by_default(name: str) -> None:
    (picks, share), (their_picks, their_share) = ours(name), reference(name, 1 / 3)
    found = p_values(name, picks, their_picks)
    n_model = np.array([share, their_share]) * N_SEEDS
    found["picks of the model"] = float(stats.fisher_exact([n_model, N_SEEDS - n_model]).pvalue)
    assert not differ(found), found


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {"random_fraction": 1.0}) for name in SPACES]
    + [
        ("mixed", {"random_fraction": 0.0, "corrected_densities": True}),
        ("conditional", {"random_fraction": 0.0, "corrected_densities": True}),
    ]
    + [("numeric", {"random_fraction": 0.0, "n_candidates": 4}), ("numeric", {"random_fraction": 0.0, "top_n_percent": 50})],
)
def test_these_tests_tell_another_sampler_from_hpbandster(name: str, options: dict[str, Any]) -> None:
    assert differ(p_values(name, ours(name, **options)[0], reference(name, 0.0)[0]))
