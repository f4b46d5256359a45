"""HpBandSter as a peer: the accelerated generator against the original, its brackets, and what it must leave alone."""

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    Configuration,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    GreaterThanCondition,
    InCondition,
    Integer,
    OrdinalHyperparameter,
)

from bohb_nas import refs
from bohb_nas.methods import make_optimizer
from bohb_nas.records import Budgets, Origin, Result, Status, Trial

pytest.importorskip("hpbandster", reason="hpbandster is not installed: pip install bohb-nas[hpbandster]", exc_type=ImportError)

pytestmark = pytest.mark.hpbandster

PEER = str(Path(__file__).parents[2] / "bench" / "peers" / "hpbandster_bohb.py")
BUDGETS = Budgets(min=1.0, max=27.0)
FAILED = -1.0


def numbers() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(
        Float("lr", (1e-4, 1.0), log=True), Float("drop", (0.0, 0.5)), Integer("layers", (1, 6)), Integer("width", (8, 512), log=True)
    )
    return space


def mixed() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(Categorical("act", ["a", "b", "c", "d", "e"]), Categorical("flag", [True, False]))
    space.add(Categorical("rare", ["a", "b"], weights=[0.95, 0.05]))  # good where it is b
    space.add(Float("lr", (1e-4, 1.0), log=True), Integer("layers", (1, 6)))
    return space


def conditional() -> ConfigurationSpace:
    """Conditions in a chain, and one on a number."""
    space = ConfigurationSpace()
    act, slope, decay = Categorical("act", ["a", "b", "c"]), Categorical("slope", ["low", "high"]), Float("decay", (0.0, 1.0))
    layers, width = Integer("layers", (1, 4)), Integer("width", (8, 64), log=True)
    space.add(act, slope, decay, layers, width)
    space.add(InCondition(slope, act, ["b", "c"]), EqualsCondition(decay, slope, "high"), GreaterThanCondition(width, layers, 2))
    return space


def forbidding() -> ConfigurationSpace:
    space = mixed()
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(space["act"], "b"), ForbiddenEqualsClause(space["flag"], True)))
    return space


def with_ordinals() -> ConfigurationSpace:
    space = ConfigurationSpace()
    batch, kind = OrdinalHyperparameter("batch", [32, 64, 128]), OrdinalHyperparameter("kind", ["small", "large"])
    warmup, scale = Float("warmup", (0.0, 1.0)), Float("scale", (0.0, 1.0))
    space.add(batch, kind, warmup, scale, Constant("classes", 10), Float("lr", (1e-4, 1.0), log=True))
    space.add(GreaterThanCondition(warmup, batch, 32), EqualsCondition(scale, kind, "large"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(batch, 128), ForbiddenEqualsClause(kind, "small")))
    return space


def made_acceptable() -> ConfigurationSpace:
    """Integers for ordinals, one categorical of one level, conditions and a clause."""
    space: ConfigurationSpace = refs.load_module("method", PEER).acceptable(with_ordinals())
    return space


def loss_of(config: dict[str, Any], k: int) -> float:
    """Something to learn; every eleventh run fails, which makes ties, and numbers are rounded, which makes more."""
    if k % 11 == 10:
        return FAILED
    return float(
        sum(
            round(abs(np.log10(v) + 2), 1) if isinstance(v, float) and v else 0.3 * (str(v) not in ("b", "True", "3"))
            for v in config.values()
        )
    )


@pytest.fixture(autouse=True)
def numpys_global_generator() -> Iterator[None]:
    state = np.random.get_state()
    yield
    np.random.set_state(state)


class Heard(logging.Handler):
    """Counts what the original complains of."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def picks(generator: Callable[..., Any], space: ConfigurationSpace, n: int, *, heard: Heard, budgets: tuple[float, ...]) -> list[Any]:
    """N picks, each told before the next; then what numpy's and the space's generators give next."""
    logger = logging.getLogger("bohb_nas.tests.hpbandster")
    logger.handlers, logger.propagate = [heard], False
    np.random.seed(5)
    space.seed(5)
    made: list[Any] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        it = generator(space, logger=logger)
        for k in range(n):
            budget = budgets[k % len(budgets)]
            config, info = it.get_config(budget)
            made.append((config, info))
            loss = loss_of(config, k)
            result = None if loss == FAILED else {"loss": loss}
            it.new_result(SimpleNamespace(result=result, kwargs={"budget": budget, "config": config}, exception=None))
    return [*made, np.random.random_sample(), space.random.random_sample()]


def both() -> tuple[Any, Any]:
    """The original generator and the accelerated one."""
    peer = refs.load_module("method", PEER)
    return peer.original.BOHB, peer.ACCELERATED


@pytest.mark.parametrize(
    ("space", "n", "budgets"),
    [
        (numbers, 110, (9.0,)),
        (mixed, 110, (9.0,)),
        (conditional, 120, (3.0, 3.0, 9.0)),
        (forbidding, 60, (9.0,)),
        (made_acceptable, 60, (9.0,)),
    ],
)
def test_the_accelerated_generator_makes_the_same_picks(
    space: Callable[[], ConfigurationSpace], n: int, budgets: tuple[float, ...]
) -> None:
    original, accelerated = both()
    heard = Heard()
    theirs = picks(original, space(), n, heard=heard, budgets=budgets)
    assert picks(accelerated, space(), n, heard=Heard(), budgets=budgets) == theirs
    assert sum(info["model_based_pick"] for _, info in theirs[:-2]) > n / 4
    if space is mixed:  # some set shows one level only, and a candidate is taken at once
        assert any("has EI value inf" in message for message in heard.messages)
    if space is forbidding:
        assert any("Forbidden" in message for message in heard.messages)


def told(optimizer: Any, trial: Trial, loss: float | None) -> None:
    status = Status.OK if loss is not None else Status.CRASHED
    optimizer.tell(Result(trial_id=trial.trial_id, status=status, loss=loss, train_s=1.0))


def search(*, n: int, seed: int = 0, accelerated: bool = True, space: Callable[[], ConfigurationSpace] = conditional) -> list[Trial]:
    """N trials of one worker."""
    options = refs.load_module("method", PEER).Options(accelerated=accelerated)
    optimizer = make_optimizer(PEER, space=space(), budgets=BUDGETS, seed=seed, options=options)
    trials = []
    for k in range(n):
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        trials.append(trial)
        loss = loss_of(dict(trial.config), k)
        told(optimizer, trial, None if loss == FAILED else loss)
    return trials


def test_a_search_is_the_same_with_either_generator_and_differs_by_seed() -> None:
    n = 80
    trials = search(n=n)
    assert trials == search(n=n, accelerated=False)
    assert trials != search(n=n, seed=1)
    assert {trial.origin for trial in trials} == {Origin.RANDOM, Origin.MODEL, Origin.PROMOTED}


def test_numpys_global_generator_is_left_alone_and_makes_no_difference() -> None:
    np.random.seed(1)
    expected = np.random.random_sample(3)
    np.random.seed(1)
    first = np.random.random_sample()
    trials = search(n=60)
    assert [first, *np.random.random_sample(2)] == pytest.approx(expected, abs=0)
    np.random.seed(2)
    assert search(n=60) == trials


def test_brackets_are_the_published_ones() -> None:
    """27, 9, 3, 1 on the first bracket, then 9, 3, 1, then 6, 2, then 4: HpBandSter's counts for four rungs and eta 3."""
    optimizer = make_optimizer(PEER, space=numbers(), budgets=BUDGETS)
    seen: list[tuple[int, int, float]] = []
    for k in range(65):
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        seen.append((trial.bracket, trial.rung, trial.budget))
        told(optimizer, trial, float(k))
    assert seen == [
        (s, rung, 3.0**rung)
        for s, sizes in ((3, (27, 9, 3, 1)), (2, (9, 3, 1)), (1, (6, 2)), (0, (4,)))
        for rung, size in zip(range(3 - s, 4), sizes, strict=True)
        for _ in range(size)
    ]


def test_the_oldest_bracket_is_served_first_and_a_new_one_opens_rather_than_wait() -> None:
    optimizer = make_optimizer(PEER, space=numbers(), budgets=BUDGETS, n_workers=28)
    first = [optimizer.ask() for _ in range(28)]
    assert [trial.bracket for trial in first if isinstance(trial, Trial)] == [3] * 27 + [2]
    for k, trial in enumerate(first[:27]):
        assert isinstance(trial, Trial)
        told(optimizer, trial, float(k))
    promoted = [optimizer.ask() for _ in range(10)]
    assert all(isinstance(trial, Trial) for trial in promoted)
    assert [(trial.config_id, trial.rung) for trial in promoted[:9]] == [(f"c{k:05d}", 1) for k in range(9)]  # type: ignore[union-attr]
    assert (promoted[9].bracket, promoted[9].rung) == (2, 1)  # type: ignore[union-attr]


def test_places_of_failed_runs_are_filled_with_new_configurations() -> None:
    optimizer = make_optimizer(PEER, space=numbers(), budgets=BUDGETS)
    for k in range(27):
        trial = optimizer.ask()
        assert isinstance(trial, Trial)
        told(optimizer, trial, float(k) if k < 4 else None)
    rung = [optimizer.ask() for _ in range(9)]
    assert [trial.origin is Origin.PROMOTED for trial in rung] == [True] * 4 + [False] * 5  # type: ignore[union-attr]
    assert {trial.rung for trial in rung} == {1}  # type: ignore[union-attr]


def test_ordinals_and_constants_come_back_as_the_space_has_them() -> None:
    space = with_ordinals()
    trials = search(n=60, space=with_ordinals)
    for trial in trials:
        Configuration(space, values=trial.config)  # raises where a value, a condition or a clause is broken
    assert {trial.config["batch"] for trial in trials} == {32, 64, 128}
    assert {trial.config["classes"] for trial in trials} == {10}
    assert Origin.MODEL in {trial.origin for trial in trials}


def test_bohb_2018_has_its_brackets_and_refills_them_alike() -> None:
    """Three workers, a third of the runs failing, and all of them for a while: the same rungs and configurations in turn."""

    def schedule(method: str) -> list[tuple[int, int, str, bool]]:
        optimizer = make_optimizer(method, space=numbers(), budgets=BUDGETS, n_workers=3)
        running: list[Trial] = []
        made = []
        for k in range(200):
            trial = optimizer.ask()
            assert isinstance(trial, Trial)
            made.append((trial.bracket, trial.rung, trial.config_id, trial.origin is Origin.PROMOTED))
            running.append(trial)
            if len(running) == 3:
                first = running.pop(k % 3)
                told(optimizer, first, None if k % 3 == 0 or 60 < k < 80 else float(k * 7 % 50) + k / 1000)
        return made

    expected = schedule(PEER)
    assert schedule("bohb_2018") == expected
    assert any(rung > 3 - bracket and not promoted for bracket, rung, _, promoted in expected)
