"""Who goes up, and when: by hand, and beside the rules written out in loops."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from ladder_fakes import FOUR, GAMES, Game, Scripted, ask, follow, ladder, opened, place, play, result

from bohb_nas.knowledge import Constraint, Knowledge
from bohb_nas.records import Budgets, Trial


def test_eager_promotion_by_hand() -> None:
    follow(
        ladder(),
        [
            (0, 0, 5.0),
            (1, 0, 4.0),
            (2, 0, 3.0),
            (2, 1, 3.0),  # the best of three
            (3, 0, 2.0),
            (3, 1, 2.0),  # the best of four: the first to arrive went up for lack of rivals
            (4, 0, 10.0),
            (5, 0, 11.0),  # the best two of six have gone up
            (6, 0, 12.0),
            (7, 0, 13.0),
            (8, 0, 14.0),
            (1, 1, 4.0),  # the third of nine
            (3, 2, 2.0),  # the best of three, and the higher rung comes first
            (9, 0, 1.0),
            (9, 1, 1.0),
            (9, 2, 1.0),
            (10, 0, 20.0),
        ],
    )


def test_delayed_promotion_by_hand() -> None:
    """Rungs 0 … 3 and eta 3: rung 0 needs nine results, rungs 1 and 2 three; then three for each that goes up."""
    follow(
        ladder(FOUR, delayed=True),
        [
            *((n, 0, 9.0 - n) for n in range(9)),
            (8, 1, 1.0),
            (7, 1, 2.0),
            (6, 1, 3.0),
            (8, 2, 1.0),  # the best of three
            (9, 0, 0.0),  # at rung 1 two have not gone up, but 3 / 2 < 3; at rung 0 10 / 4 < 3
            (10, 0, 20.0),
            (11, 0, 21.0),
            (9, 1, 0.0),  # 12 / 4 = 3; at rung 1 it is the best of four, but 4 / 2 < 3
            (12, 0, 22.0),
            (13, 0, 23.0),
            (14, 0, 24.0),
            (5, 1, 4.0),  # 15 / 5 = 3: the fifth of fifteen
            (15, 0, 25.0),
            (16, 0, 26.0),
            (17, 0, 27.0),
            (4, 1, 5.0),  # 18 / 6 = 3: the sixth of eighteen
            (9, 2, 0.0),  # rung 1: 6 / 2 = 3
            (18, 0, 28.0),
        ],
    )


@pytest.mark.parametrize(
    ("eta", "n_rungs", "delayed", "expected"),
    [
        (2, 2, False, [0, 0, 1, 1, 2, 2, 3, 3, 4]),
        (2, 2, True, [0, 0, 1, 1, 2, 2, 3, 3, 4]),
        (2, 4, True, [0, 0, 0, 0, 2, 2, 3, 3, 4]),  # rung 0 of 0 … 3 needs 2^2 results
        (2.5, 3, False, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4]),
        (2.5, 3, True, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4]),
        (2.5, 4, True, [0, 0, 0, 0, 0, 0, 0, 2, 3, 3, 4]),  # 2.5^2 = 6.25
        (3, 3, True, [0, 0, 0, 1, 1, 1, 2]),
        (3, 4, True, [0] * 9 + [3, 3, 3, 4]),
        (3, 5, True, [0] * 27 + [9]),
        (3, 1, False, [0] * 20),
        (3, 1, True, [0] * 20),
    ],
)
def test_how_many_have_gone_up_after_n_results(eta: float, n_rungs: int, delayed: bool, expected: list[int]) -> None:
    """The first are the best, and what has gone up is still running."""
    budgets = Budgets(min=1, max=eta ** (n_rungs - 1), eta=eta)
    assert len(budgets.rungs) == n_rungs
    for n, n_promoted in enumerate(expected):
        optimizer = ladder(budgets, delayed=delayed)
        for k, trial in enumerate([ask(optimizer) for _ in range(n)]):
            optimizer.tell(result(trial, float(k)))
        trials = [ask(optimizer) for _ in range(n_promoted + 1)]
        assert [place(t) for t in trials] == [*((k, 1) for k in range(n_promoted)), (n, 0)]


@pytest.mark.parametrize("delayed", [False, True])
def test_no_promotion_is_lost_to_rounding(delayed: bool) -> None:
    """33 results and eta 2.2: fifteen go up, though 33 / 2.2 is 14.999999999999998."""
    optimizer = ladder(Budgets(min=1, max=2.2, eta=2.2), delayed=delayed)
    for k, trial in enumerate([ask(optimizer) for _ in range(33)]):
        optimizer.tell(result(trial, float(k)))
    assert [place(ask(optimizer)) for _ in range(16)] == [*((k, 1) for k in range(15)), (33, 0)]


@pytest.mark.parametrize("delayed", [False, True])
def test_the_highest_rung_comes_first(delayed: bool) -> None:
    optimizer = ladder(delayed=delayed, entries=[0, 1])
    for k, trial in enumerate([ask(optimizer) for _ in range(6)]):
        optimizer.tell(result(trial, float(k)))
    assert [place(ask(optimizer)) for _ in range(3)] == [(1, 2), (0, 1), (6, 0)]


@pytest.mark.parametrize("delayed", [False, True])
def test_equals_go_up_in_the_order_of_their_results_and_no_more_than_others_would(delayed: bool) -> None:
    optimizer = ladder(delayed=delayed)
    trials = [ask(optimizer) for _ in range(27)]
    for trial in reversed(trials):
        optimizer.tell(result(trial, 0.9))
    assert [place(ask(optimizer)) for _ in range(10)] == [*((26 - k, 1) for k in range(9)), (27, 0)]


def test_equals_of_one_worker() -> None:
    """All at chance level: a third goes up, and a third of those."""
    optimizer = ladder()
    trials = []
    for _ in range(130):
        trials.append(ask(optimizer))
        optimizer.tell(result(trials[-1], 0.9))
    counts = np.bincount([t.rung for t in trials])
    assert (counts[0] // 3, counts[1] // 3) == (counts[1], counts[2])


@pytest.mark.parametrize("delayed", [False, True])
def test_failures_count_but_never_go_up(delayed: bool) -> None:
    optimizer = ladder(delayed=delayed)
    trials = [ask(optimizer) for _ in range(12)]
    for k, trial in enumerate(trials):
        optimizer.tell(result(trial, 1.0 if k in (2, 7) else None))
    assert [place(ask(optimizer)) for _ in range(3)] == [(2, 1), (7, 1), (12, 0)]


def test_where_everything_fails_there_is_always_something_new() -> None:
    follow(ladder(), [(n, 0, None) for n in range(30)])


def test_extreme_losses_are_losses() -> None:
    big = float(np.finfo(np.float64).max)
    follow(ladder(), [(0, 0, big), (1, 0, None), (2, 0, None), (0, 1, -big), (3, 0, -big), (3, 1, big), (4, 0, 0.0)])


def test_what_breaks_a_constraint_counts_as_failed() -> None:
    knowledge = Knowledge(constraints=(Constraint(metric="latency", relation="<=", bound=1.0),))
    sampler = Scripted()
    optimizer = ladder(knowledge=knowledge, sampler=sampler)
    for k, trial in enumerate([ask(optimizer) for _ in range(3)]):
        optimizer.tell(dataclasses.replace(result(trial, float(k)), metrics={"latency": 2.0 - k}))
    assert place(ask(optimizer)) == (1, 1)
    assert [loss for _, _, loss, _ in sampler.results] == [None, 1.0, 2.0]


@pytest.mark.parametrize("delayed", [False, True])
def test_a_thousand_at_once(delayed: bool) -> None:
    optimizer = ladder(delayed=delayed)
    trials = [ask(optimizer) for _ in range(1000)]
    assert [place(t) for t in trials] == [(n, 0) for n in range(1000)]
    assert len({t.trial_id for t in trials}) == 1000
    for trial in trials[::-1]:
        optimizer.tell(result(trial, float(trial.config_id[1:])))
    promoted = [ask(optimizer) for _ in range(333)]
    assert [place(t) for t in promoted] == [(n, 1) for n in range(333)]
    assert place(ask(optimizer)) == (1000, 0)
    for trial in promoted:
        optimizer.tell(result(trial, -float(trial.config_id[1:])))
    again = [ask(optimizer) for _ in range(111)]
    assert [place(t) for t in again] == [(332 - n, 2) for n in range(111)]
    assert place(ask(optimizer)) == (1001, 0)


@dataclasses.dataclass
class Rules:
    """Both rules of promotion as they are written, over all results again every time."""

    top: int
    eta: Fraction
    delayed: bool
    told: dict[int, list[tuple[int, float | None]]] = dataclasses.field(default_factory=dict)
    gone_up: dict[int, list[int]] = dataclasses.field(default_factory=dict)

    def due(self) -> tuple[int, int] | None:
        """The number of the configuration that goes up, and the rung that it goes up to."""
        for k in range(self.top - 1, -1, -1):
            results, gone_up = self.told.get(k, []), self.gone_up.get(k, [])
            n = len(results)
            if self.delayed and not (n >= self.eta and n >= self.eta ** (self.top - k - 1)):
                continue
            if self.delayed and gone_up and Fraction(n, len(gone_up) + 1) < self.eta:
                continue
            ordered = sorted(results, key=lambda r: math.inf if r[1] is None else r[1])  # keeps the order of equals
            for number, loss in ordered[: math.floor(n / self.eta)]:
                if loss is not None and number not in gone_up:
                    return number, k + 1
        return None


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(GAMES)
def test_promotions_follow_the_rules_whatever_the_order_of_results(game: Game) -> None:
    optimizer, _ = opened(game)
    rules = Rules(top=game.n_rungs - 1, eta=Fraction(str(game.eta)), delayed=game.delayed)
    running: dict[str, Trial] = {}
    n_new = 0
    due: tuple[int, int] | None = None
    for event in play(optimizer, game):
        if isinstance(event, Trial):
            entries = game.entries or [0]
            assert place(event) == (due or (n_new, min(entries[n_new % len(entries)], game.n_rungs - 1)))
            assert place(event)[0] not in [place(t)[0] for t in running.values()], "trained twice at once"
            running[event.trial_id] = event
            n_new += due is None
            if due is not None:
                rules.gone_up.setdefault(due[1] - 1, []).append(due[0])
        else:
            number, rung = place(running.pop(event.trial_id))
            rules.told.setdefault(rung, []).append((number, event.loss))
        due = rules.due()
    if game.delayed:
        assert all(len(up) * rules.eta <= len(rules.told[k]) for k, up in rules.gone_up.items())
