"""Ladders under a sampler that does as it is told, scripts that they have to follow, and games of chance."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from hypothesis import strategies as st

from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods._ladder import Ladder
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.samplers.uniform import Proposal

Event = Trial | Result

FOUR = Budgets(min=1, max=27, eta=3)
THREE = Budgets(min=1, max=9, eta=3)
ONE = Budgets(min=9, max=9, eta=3)


class Scripted:
    """Enters where it is told to, draws one number, and writes down what it hears."""

    def __init__(self, entries: list[int] | None = None) -> None:
        self._entries = entries or []
        self.n_drawn = 0
        self.asks: list[int] = []
        self.results: list[tuple[int, int, float | None, str]] = []

    def entry(self, rng: np.random.Generator) -> int:
        del rng
        return self._entries[len(self.numbers) % len(self._entries)] if self._entries else 0

    def propose(self, rng: np.random.Generator) -> Proposal:
        self.n_drawn += 1
        return Proposal(config={"x": rng.random()}, origin=Origin.MODEL, reason="scripted", explanation={"drawn": self.n_drawn})

    @property
    def numbers(self) -> set[int]:
        return set(self.asks)

    def asked(self, number: int, config: Mapping[str, Value]) -> None:
        del config
        self.asks.append(number)

    def observe(self, number: int, *, rung: int, loss: float | None, result: Result) -> None:
        self.results.append((number, rung, loss, result.trial_id))


def ladder(
    budgets: Budgets = THREE,
    *,
    delayed: bool = False,
    entries: list[int] | None = None,
    seed: int = 0,
    knowledge: Knowledge = NOTHING,
    sampler: Scripted | None = None,
) -> Ladder:
    return Ladder(sampler or Scripted(entries), budgets, seed=seed, delayed=delayed, knowledge=knowledge)


def ask(optimizer: Ladder) -> Trial:
    trial = optimizer.ask()
    assert isinstance(trial, Trial), "there is always something to do"
    return trial


def result(trial: Trial, loss: float | None) -> Result:
    return Result(trial_id=trial.trial_id, status=Status.CRASHED if loss is None else Status.OK, loss=loss, train_s=trial.budget)


def place(trial: Trial) -> tuple[int, int]:
    """The number of the configuration, and the rung."""
    return int(trial.config_id[1:]), trial.rung


def follow(optimizer: Ladder, script: list[tuple[int, int, float | None]]) -> None:
    """One worker: every trial is the configuration and rung of the script, and ends with its loss."""
    for number, rung, loss in script:
        trial = ask(optimizer)
        assert place(trial) == (number, rung), f"after {optimizer.reason}"
        assert (trial.origin is Origin.PROMOTED) == (rung > 0)
        optimizer.tell(result(trial, loss))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game:
    """A ladder, and chance in the order and in the losses of results."""

    eta: float
    n_rungs: int
    delayed: bool
    entries: list[int]
    n_workers: int
    seed: int


GAMES = st.builds(
    Game,
    eta=st.sampled_from([2, 2.2, 2.5, 3, 4]),
    n_rungs=st.integers(1, 4),
    delayed=st.booleans(),
    entries=st.lists(st.integers(0, 3), max_size=5),
    n_workers=st.sampled_from([1, 2, 4, 30]),
    seed=st.integers(0, 2**32 - 1),
)


def opened(game: Game) -> tuple[Ladder, Scripted]:
    sampler = Scripted([min(e, game.n_rungs - 1) for e in game.entries])
    budgets = Budgets(min=1, max=game.eta ** (game.n_rungs - 1), eta=game.eta)
    return ladder(budgets, delayed=game.delayed, sampler=sampler), sampler


def play(optimizer: Ladder, game: Game) -> Iterator[Event]:
    """What is asked and told in order, 200 times: whoever is free asks first, then somebody ends, one in eight with nothing."""
    rng = np.random.default_rng(game.seed)
    running: list[Trial] = []
    for _ in range(200):
        if len(running) < game.n_workers:
            running.append(ask(optimizer))
            yield running[-1]
        else:
            losses = [0.0, 0.5, 0.5, 1.0, 2.0, 3.0, rng.random(), None]
            ended = result(running.pop(rng.integers(len(running))), losses[rng.integers(8)])
            optimizer.tell(ended)
            yield ended
