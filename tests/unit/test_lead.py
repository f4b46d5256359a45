"""The time of a term, while somebody sets the machine's clock."""

import time

import pytest

from bohb_nas.engine.lead import steady
from bohb_nas.records import Origin, Trial
from bohb_nas.store.journal import Event, State


def test_a_clock_that_is_set_back_and_right_again_makes_no_hours_of_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    day = [1_000_000.0]
    boot = [50.0]
    monkeypatch.setattr(time, "time", lambda: day[0])
    monkeypatch.setattr(time, "clock_gettime", lambda clock: boot[0])
    state, clock = State(), steady()
    state.apply(Event(term=1, time=clock()))
    for n, set_to in enumerate((1_000_001.0 - 36_000.0, 1_000_002.0, 1_000_003.0 + 36_000.0)):
        day[0], boot[0] = set_to, 51.0 + n
        asked = Trial(trial_id=f"t{n}", config_id="c", config={}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)
        state.apply(Event(term=1, time=clock(), trial=asked))
    assert state.led_s == 3.0
    assert (state.last, clock()) == (1_000_003.0, 1_000_003.0)
