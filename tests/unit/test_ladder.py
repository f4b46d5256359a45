"""Where new configurations start, what the sampler hears, and whose checkpoints may be read again."""

import dataclasses

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from ladder_fakes import FOUR, ONE, THREE, Scripted, ask, follow, ladder, place, result

from bohb_nas.errors import RecordError
from bohb_nas.knowledge import Knowledge
from bohb_nas.methods import asha
from bohb_nas.records import Origin, Trial
from bohb_nas.samplers.uniform import Uniform
from bohb_nas.space.encoding import Encoding


@pytest.mark.parametrize("delayed", [False, True])
def test_a_ladder_of_one_rung_only_draws(delayed: bool) -> None:
    optimizer = ladder(ONE, delayed=delayed)
    follow(optimizer, [(n, 0, 0.0) for n in range(20)])
    trial = ask(optimizer)
    assert (trial.bracket, trial.budget) == (0, 9.0)
    assert optimizer.promotable() == set()


def test_new_configurations_start_where_the_sampler_says_and_go_up_from_there() -> None:
    optimizer = ladder(FOUR, entries=[0, 2, 3, 1, 2, 2])
    trials = [ask(optimizer) for _ in range(6)]
    assert [(t.rung, t.bracket, t.budget) for t in trials] == [(0, 3, 1), (2, 1, 9), (3, 0, 27), (1, 2, 3), (2, 1, 9), (2, 1, 9)]
    for k, trial in enumerate(trials):
        optimizer.tell(result(trial, float(-k)))
    promoted = ask(optimizer)
    assert (place(promoted), promoted.bracket, promoted.budget) == ((5, 3), 1, 27)
    assert (promoted.config, promoted.seed) == (trials[5].config, trials[5].seed)


def test_the_nth_new_configuration_has_a_stream_of_its_own() -> None:
    quiet, busy = ladder(seed=11), ladder(seed=11)
    alone = [ask(quiet) for _ in range(8)]
    among: list[Trial] = []
    while len(among) < 8:
        trial = ask(busy)
        among += [trial] if trial.origin is not Origin.PROMOTED else []
        busy.tell(result(trial, 1.0 - trial.seed / 2**31))
    assert [(t.config, t.seed) for t in alone] == [(t.config, t.seed) for t in among]
    for n, trial in enumerate(alone):
        rng = np.random.default_rng((11, n))
        assert trial.seed == rng.integers(2**31)
        assert trial.config == {"x": rng.random()}
    assert ask(ladder(seed=12)).config != alone[0].config


def test_initial_configurations_come_first_and_enter_like_others() -> None:
    knowledge = Knowledge(initial=({"x": 0.25}, {"x": 0.75}))
    sampler = Scripted([1, 0, 2])
    optimizer = ladder(knowledge=knowledge, sampler=sampler)
    trials = [ask(optimizer) for _ in range(3)]
    assert [(t.config["x"], t.origin, t.rung) for t in trials[:2]] == [(0.25, Origin.INITIAL, 1), (0.75, Origin.INITIAL, 0)]
    assert (trials[2].origin, trials[2].rung, sampler.n_drawn) == (Origin.MODEL, 2, 1)
    other = ladder(seed=0)
    assert [ask(other).config for _ in range(3)][2] == trials[2].config, "given ones take no random numbers of later ones"


def test_every_ask_says_why() -> None:
    optimizer = ladder()
    for k, trial in enumerate([ask(optimizer) for _ in range(3)]):
        optimizer.tell(result(trial, float(k)))
    assert (optimizer.reason, optimizer.explanation) == ("scripted", {"drawn": 3})
    assert ask(optimizer).origin is Origin.PROMOTED
    assert (optimizer.reason, optimizer.explanation) == ("among the best 1 in 3 of 3 on budget 1", None)


def test_the_sampler_hears_everything_once() -> None:
    sampler = Scripted([0, 0, 0, 2])
    optimizer = ladder(sampler=sampler)
    trials = [ask(optimizer) for _ in range(3)]
    for trial, loss in zip(trials, [3.0, None, 1.0], strict=True):
        optimizer.tell(result(trial, loss))
        optimizer.tell(result(trial, -5.0))
    promoted, entered = ask(optimizer), ask(optimizer)
    optimizer.tell(result(entered, 0.5))
    optimizer.tell(result(promoted, 0.7))
    assert sampler.asks == [0, 1, 2, 2, 3]
    assert sampler.results == [
        (0, 0, 3.0, "t00000"),
        (1, 0, None, "t00001"),
        (2, 0, 1.0, "t00002"),
        (3, 2, 0.5, "t00004"),
        (2, 1, 0.7, "t00003"),
    ]


def test_promotable_by_hand() -> None:
    """Whose checkpoint may be read again; what began at the top has none to read."""
    optimizer = ladder(entries=[0, 0, 0, 0, 2, 1])
    assert optimizer.promotable() == set()
    trials = [ask(optimizer) for _ in range(6)]
    assert optimizer.promotable() == {"c00000", "c00001", "c00002", "c00003", "c00005"}
    for trial, loss in zip(trials[:3], [1.0, 2.0, None], strict=True):
        optimizer.tell(result(trial, loss))
    assert optimizer.promotable() == {"c00000", "c00001", "c00003", "c00005"}, "what failed is over"
    up = ask(optimizer)
    assert place(up) == (0, 1)
    optimizer.tell(result(trials[5], None))
    optimizer.tell(result(up, 1.0))
    assert optimizer.promotable() == {"c00000", "c00001", "c00003"}, "0 waits on rung 1"
    follow(optimizer, [(6, 0, None), (7, 0, None), (8, 0, None), (1, 1, 2.0)])
    top = ask(optimizer)
    assert place(top) == (0, 2)
    assert optimizer.promotable() == {"c00000", "c00001", "c00003"}, "at the top 0 still has to read what it continues"
    optimizer.tell(result(top, 0.5))
    assert optimizer.promotable() == {"c00001", "c00003"}


def test_a_result_of_nobody_is_refused_by_name() -> None:
    optimizer = ladder()
    trial = ask(optimizer)
    with pytest.raises(RecordError, match=r"'t00001', which was never asked; accepted are results of the 1 asked"):
        optimizer.tell(dataclasses.replace(result(trial, 1.0), trial_id="t00001"))
    optimizer.tell(result(trial, 1.0))


def test_asha_starts_everything_at_the_cheapest_budget_and_promotes_eagerly() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    optimizer = asha.make(space=space, budgets=THREE, seed=5, n_workers=8, options=asha.Options())
    script: list[tuple[int, int, float | None]] = [(0, 0, 3.0), (1, 0, 2.0), (2, 0, 1.0), (2, 1, 1.0), (3, 0, 0.0), (3, 1, 0.0)]
    follow(optimizer, [*script, (4, 0, 9.0), (5, 0, 9.0), (6, 0, 9.0), (7, 0, 9.0), (8, 0, 9.0), (1, 1, 2.0), (3, 2, 0.0)])
    fresh = ask(optimizer)
    assert (fresh.origin, fresh.rung, fresh.bracket) == (Origin.RANDOM, 0, 2)
    assert fresh.config == Uniform(Encoding(space)).propose(_after_seed(5, 9)).config


def _after_seed(seed: int, n: int) -> np.random.Generator:
    """The stream of the n-th new configuration, whose first number is the trial's seed."""
    rng = np.random.default_rng((seed, n))
    rng.integers(2**31)
    return rng
