"""Who goes up, and when: by hand, and beside the rules written out in loops."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from hypothesis import given, settings
from hypothesis import strategies as st

from bohb_nas.errors import JournalError, RecordError
from bohb_nas.knowledge import NOTHING, Constraint, Knowledge
from bohb_nas.methods import asha
from bohb_nas.methods._ladder import Ladder
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.samplers.uniform import Proposal, Uniform
from bohb_nas.space.encoding import Encoding

Event = Trial | Result


class Scripted:
    """Enters where it is told to, draws one number, and writes down what it hears."""

    def __init__(self, entries: list[int] | None = None) -> None:
        self._entries = entries or []
        self.n_drawn = 0
        self.asks: list[tuple[int, int]] = []
        self.results: list[tuple[int, int, float | None, str]] = []

    def entry(self, rng: np.random.Generator) -> int:
        del rng
        return self._entries[len(self.numbers) % len(self._entries)] if self._entries else 0

    def propose(self, rng: np.random.Generator) -> Proposal:
        self.n_drawn += 1
        return Proposal(config={"x": rng.random()}, origin=Origin.MODEL, reason="scripted", explanation={"drawn": self.n_drawn})

    @property
    def numbers(self) -> set[int]:
        return {number for number, _ in self.asks}

    def asked(self, number: int, config: Mapping[str, Value], *, rung: int) -> None:
        del config
        self.asks.append((number, rung))

    def observe(self, number: int, config: Mapping[str, Value], *, rung: int, loss: float | None, result: Result) -> None:
        del config
        self.results.append((number, rung, loss, result.trial_id))


FOUR = Budgets(min=1, max=27, eta=3)
THREE = Budgets(min=1, max=9, eta=3)
ONE = Budgets(min=9, max=9, eta=3)


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
    assert sampler.asks == [(0, 0), (1, 0), (2, 0), (2, 1), (3, 2)]
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


@settings(deadline=None, derandomize=True, database=None, max_examples=100)
@given(GAMES)
def test_a_replayed_search_goes_on_as_if_nothing_had_happened(game: Game) -> None:
    original, heard = opened(game)
    events = list(play(original, game))
    replayed, hears = opened(game)
    for event in events:
        if isinstance(event, Trial):
            replayed.replay(Trial.from_json(json.loads(json.dumps(event.to_json()))))
        else:
            replayed.tell(event)
    assert hears.n_drawn == 0, "the file says what was drawn"
    assert (hears.asks, hears.results) == (heard.asks, heard.results)
    assert replayed.promotable() == original.promotable()
    for k in range(20):
        one, other = ask(original), ask(replayed)
        assert one == other
        assert original.reason == replayed.reason
        for optimizer in (original, replayed):
            optimizer.tell(result(one, [0.5, None, 0.25, 2.0][k % 4]))


WRONG: dict[str, Any] = {
    "trial_id": "t00004",
    "config_id": "c00001",
    "rung": 2,
    "bracket": 1,
    "budget": 9.0,
    "origin": Origin.MODEL,
}


@pytest.mark.parametrize("field", WRONG)
def test_another_promotion_is_refused_by_name(field: str) -> None:
    optimizer, twin = ladder(), ladder()
    for one in (optimizer, twin):
        for k, trial in enumerate([ask(one) for _ in range(3)]):
            one.tell(result(trial, float(k)))
    right = ask(twin)
    assert (place(right), right.trial_id) == ((0, 1), "t00003")
    wrong = dataclasses.replace(right, **{field: WRONG[field]})
    named = (
        f"trial {wrong.trial_id} .configuration {wrong.config_id}, bracket {wrong.bracket}, rung {wrong.rung}, budget {wrong.budget:g}. "
    )
    with pytest.raises(JournalError, match=named + r".*asked t00003 .configuration c00000 on rung 1.; resume with"):
        optimizer.replay(wrong)
    optimizer.replay(right)  # what was refused left nothing behind
    assert place(ask(optimizer)) == place(ask(twin)) == (3, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trial_id": "t00002"},
        {"config_id": "c00002"},
        {"config_id": "c00000"},
        {"origin": Origin.PROMOTED},
        {"bracket": 1},
        {"rung": 1},
        {"rung": 1, "bracket": 1},
        {"rung": 3, "bracket": 0, "budget": 27.0},
        {"budget": 3.0},
        {"budget": 1.001},
    ],
)
def test_another_new_configuration_is_refused_by_name(wrong: dict[str, Any]) -> None:
    optimizer = ladder()
    ask(optimizer)
    right = ask(ladder())
    right = dataclasses.replace(right, trial_id="t00001", config_id="c00001")
    with pytest.raises(JournalError, match=r"cannot be replayed: .* asked t00001 .a new configuration.; resume with the method, budgets"):
        optimizer.replay(dataclasses.replace(right, **wrong))
    optimizer.replay(right)
    assert place(ask(optimizer)) == (2, 0)


def test_a_search_with_other_budgets_is_refused() -> None:
    trial = ask(ladder(FOUR))
    with pytest.raises(JournalError, match=r"trial t00000 .*bracket 3, rung 0, budget 1.*budgets and eta of the start"):
        ladder(THREE).replay(trial)


@pytest.mark.parametrize("origin", [Origin.BASELINE, Origin.PROBE])
def test_baselines_and_probes_have_no_place_on_the_ladder(origin: Origin) -> None:
    sampler = Scripted()
    optimizer, twin = ladder(sampler=sampler), ladder()
    aside = dataclasses.replace(ask(ladder()), trial_id="b00000", config_id="b0", origin=origin)
    optimizer.replay(aside)
    optimizer.tell(result(aside, -100.0))
    assert (sampler.asks, sampler.results, optimizer.promotable()) == ([], [], set())
    assert [ask(optimizer) for _ in range(3)] == [ask(twin) for _ in range(3)]


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
