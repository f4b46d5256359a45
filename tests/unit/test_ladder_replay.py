"""A replayed ladder goes on as if nothing had happened; another's trials are refused by name."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from ladder_fakes import FOUR, GAMES, THREE, Game, ask, ladder, opened, place, play, result

from bohb_nas.errors import JournalError
from bohb_nas.records import Origin, Trial


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
