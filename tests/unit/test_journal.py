import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disk_fakes import steps

from bohb_nas.errors import JournalError, StorageError, StudyHeldError
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.store import journal as journal_module
from bohb_nas.store import lines as lines_module
from bohb_nas.store.journal import Event, Journal, State, fold, read_events
from bohb_nas.store.lines import repair, sound_bytes


def trial(n: int, budget: float = 1.0) -> Trial:
    return Trial(trial_id=f"t{n}", config_id=f"c{n}", config={"x": n}, budget=budget, bracket=0, rung=0, seed=n, origin=Origin.RANDOM)


def result(n: int, loss: float | None = 0.5) -> Result:
    status = Status.OK if loss is not None else Status.CRASHED
    return Result(trial_id=f"t{n}", status=status, loss=loss, train_s=1.0)


def lead(term: int, time: float = 0.0) -> Event:
    return Event(term=term, time=time)


def ask(n: int, term: int = 1, time: float = 0.0, budget: float = 1.0) -> Event:
    return Event(term=term, time=time, trial=trial(n, budget), reason="because")


def tell(n: int, term: int = 1, time: float = 0.0, loss: float | None = 0.5) -> Event:
    return Event(term=term, time=time, result=result(n, loss))


def write(path: Path, *events: Event) -> None:
    journal = Journal(path, State())
    for event in events:
        journal.write(event)


EVENTS = [lead(1), ask(0), ask(1), tell(0), ask(2), tell(2, loss=None), lead(2), tell(1, term=2)]


def test_lines_are_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, lead(1, 5.0), ask(0, time=6.0), tell(0, time=7.0))
    lines: list[Any] = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"event": "lead", "term": 1, "time": 5.0}
    assert lines[1] == {"event": "ask", "term": 1, "trial": trial(0).to_json(), "reason": "because", "time": 6.0}
    assert lines[2] == {"event": "tell", "term": 1, "result": result(0).to_json(), "time": 7.0}


def test_the_fold_of_the_file_is_the_state_of_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, State())
    for event in EVENTS:
        journal.write(event)
    assert fold(path) == journal.state
    assert list(read_events(path)) == EVENTS
    assert journal.state.pending == []
    assert journal.state.term == 2


def test_an_absent_journal_is_an_empty_study(tmp_path: Path) -> None:
    assert fold(tmp_path / "journal.jsonl") == State()


def test_what_a_superseded_master_asks_does_not_count() -> None:
    state = State()
    for event in [lead(1), ask(0, term=1), lead(2)]:
        assert state.apply(event)
    assert not state.apply(ask(1, term=1))
    assert state.apply(ask(1, term=2))
    assert list(state.trials) == ["t0", "t1"]


def test_a_superseded_master_that_begins_its_term_late_does_not_bring_it_back() -> None:
    state = State()
    for event in [lead(3), lead(2)]:
        state.apply(event)
    assert state.term == 3
    assert not state.apply(ask(0, term=2))


def test_what_a_superseded_master_tells_does_not_count() -> None:
    state = State()
    for event in [lead(1), ask(0, term=1), lead(2)]:
        state.apply(event)
    assert not state.apply(tell(9, term=1)), "asked by the superseded master alone"
    assert not state.apply(tell(0, term=1)), "the next master tells what the result file says, which may be better than a crash"
    assert state.apply(tell(0, term=2))


def test_whoever_listens_to_a_fold_hears_the_lines_that_count(tmp_path: Path) -> None:
    path, heard = tmp_path / "j", []
    lines = [
        Event(term=2, time=1.0),
        ask(0, term=2, time=2.0),
        ask(1, term=1, time=3.0),
        tell(0, term=2, time=4.0),
        tell(0, term=2, time=5.0),
    ]
    path.write_text("".join(event.to_line() + "\n" for event in lines))
    fold(path, heard=lambda state, event: heard.append((event.time, len(state.results))))
    assert heard == [(1.0, 0), (2.0, 0), (4.0, 1)]


def test_a_term_begins_right_behind_what_was_folded(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, lead(1), ask(0))
    size = path.stat().st_size
    state = fold(path)
    with path.open("a") as stream:  # a master that was stopped until now
        stream.write(ask(1, term=1).to_line() + "\n")
    with pytest.raises(StudyHeldError, match="an earlier master wrote"):
        Journal(path, state).lead(lead(2), size=size)
    again = fold(path)
    Journal(path, again).lead(lead(3), size=path.stat().st_size)
    assert (again.term, list(again.trials)) == (3, ["t0", "t1"])


def test_time_counts_up_to_the_death_of_a_master() -> None:
    state = State()
    for event in [lead(1, 100), ask(0, time=101), Event(term=2, time=5000, until=400), tell(0, term=2, time=5010)]:
        state.apply(event)
    assert state.led_s == (400 - 100) + 10
    assert Event.from_line(Event(term=2, time=5.0, until=4.0).to_line().encode()).until == 4.0
    assert Event.from_line(b'{"event":"lead","term":2,"time":5,"until":"yesterday"}').until is None


def test_the_first_of_two_tells_counts() -> None:
    state = State()
    for event in [lead(1), ask(0), tell(0, loss=0.25)]:
        state.apply(event)
    assert not state.apply(tell(0, loss=0.75))
    assert state.results["t0"].loss == 0.25


@pytest.mark.parametrize(("events", "said"), [([tell(0)], "never asked"), ([ask(0), ask(0)], "asked twice")])
def test_contradictions_are_refused_by_line(tmp_path: Path, events: list[Event], said: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(e.to_line() + "\n" for e in [lead(1), *events]))
    with pytest.raises(JournalError, match=f"line {len(events) + 1}.*{said}"):
        fold(path)


def test_the_incumbent_is_the_best_at_the_highest_budget_that_succeeded() -> None:
    state = State()
    assert state.incumbent is None
    told: list[str | None] = []
    for event in [
        ask(0),
        tell(0, loss=0.1),
        ask(1, budget=3),
        tell(1, loss=0.4),
        ask(2, budget=3),
        tell(2, loss=0.4),
        ask(3, budget=9),
        tell(3, loss=None),
    ]:
        state.apply(event)
        told.append(state.incumbent.trial.trial_id if state.incumbent else None)
    assert told == [None, "t0", "t0", "t1", "t1", "t1", "t1", "t1"]


def test_time_under_a_master_leaves_the_gaps_between_masters_out() -> None:
    state = State()
    for event in [lead(1, 100), ask(0, time=101), tell(0, time=105), lead(2, 1000), ask(1, term=2, time=1002)]:
        state.apply(event)
    assert state.led_s == 5 + 2


def test_cut_at_every_byte_the_journal_loses_at_most_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, *EVENTS)
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        note = repair(path)
        complete = data[:cut].count(b"\n")
        assert list(read_events(path)) == EVENTS[:complete]
        torn = cut - (data.rfind(b"\n", 0, cut) + 1)
        assert (note is not None) == (torn > 0)
        if note is not None:
            kept = next(tmp_path.glob("journal.jsonl.torn-*"))
            assert kept.read_bytes() == data[cut - torn : cut]
            kept.unlink()


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_of_a_torn_line_longer_than_what_is_read_at_once_only_that_line_is_cut_off(tmp_path: Path, n_blocks: int) -> None:
    path, whole = tmp_path / "journal.jsonl", lead(1).to_line() + "\n"
    torn = '{"event":"tell","details":"' + "x" * (n_blocks * 2**16 + 100)
    path.write_text(whole + torn)
    assert fold(path).term == 1
    assert repair(path) is not None
    assert path.read_text() == whole
    assert (tmp_path / f"journal.jsonl.torn-{len(whole)}").read_text() == torn


def test_a_torn_end_is_on_the_disk_aside_before_it_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = tmp_path / "journal.jsonl", lead(1).to_line() + "\n"
    path.write_text(whole + "{half")
    told = steps(monkeypatch)
    repair(path)
    assert told == ["5 bytes", "cut", f"{len(whole)} bytes", "folder"]


def test_a_last_line_that_is_longer_than_any_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = tmp_path / "journal.jsonl", lead(1).to_line() + "\n"
    monkeypatch.setattr(lines_module, "LINE_LIMIT_BYTES", 40)
    path.write_text(whole + '"' + "x" * 39 + '"\n')
    assert sound_bytes(path) == len(whole)


def test_what_is_no_json_at_the_end_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, *EVENTS[:3])
    whole = path.read_bytes()
    for tail in (b"\0" * 40 + b"\n", b'{"event": "ask", "ter\n', b"\xff\xfe", b"9" * 400 + b"\n", b"NaN\n"):
        path.write_bytes(whole + tail)
        assert "torn" in (repair(path) or "")
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage",
        b"{}",
        b"[]",
        b"null",
        b'{"event":"ask","term":1,"time":0,"trial":{}}',
        b'{"event":"dance","term":1,"time":0}',
        b"[" * 20000,
        b'{"event":"lead","term":1,"time":' + b"9" * 400 + b"}",
    ],
)
def test_damage_in_the_middle_is_refused_by_line_and_nothing_is_changed(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, *EVENTS)
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:3], garbage + b"\n", *lines[4:]])
    path.write_bytes(damaged)
    assert repair(path) is None
    with pytest.raises(JournalError, match="line 4 is damaged"):
        fold(path)
    assert path.read_bytes() == damaged


def test_what_breaks_a_constraint_is_no_incumbent_whatever_its_loss() -> None:
    state = State()
    lower = Result(trial_id="t1", status=Status.OK, loss=0.1, train_s=1.0, details={"violates": ["params<=5"]})
    for event in (lead(1), ask(0), ask(1, budget=9.0), tell(0, loss=0.5), Event(term=1, time=0.0, result=lower)):
        state.apply(event)
    assert state.incumbent is not None
    assert state.incumbent.trial.trial_id == "t0"
    assert len(list(state.evaluations())) == 2


def test_who_may_not_lead_any_more_writes_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise StudyHeldError("another leads")

    path = tmp_path / "journal.jsonl"
    journal = Journal(path, State(), check=refuse)
    with pytest.raises(StudyHeldError):
        journal.write(lead(1))
    assert not path.exists()
    assert journal.state == State()


@pytest.mark.parametrize(
    ("event", "said"), [(ask(0), "used its id twice"), (tell(1), "trial t1 was told but never asked")], ids=["asked twice", "never asked"]
)
def test_what_no_state_could_take_is_not_written(tmp_path: Path, event: Event, said: str) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, lead(1), ask(0))
    journal, written = Journal(path, fold(path)), path.read_text()
    with pytest.raises(JournalError, match=said):
        journal.write(event)
    assert path.read_text() == written


def test_what_a_disk_refuses_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, lead(1), ask(0))
    journal = Journal(path, fold(path))

    def refuse(path: Path, line: str) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(journal_module, "append_line", refuse)
    with pytest.raises(StorageError):
        journal.write(tell(0))
    assert journal.state == fold(path)


def beside(n: int, origin: Origin, *, time: float, budget: float = 1.0) -> Event:
    """A trial that is no part of the search is asked."""
    return Event(term=1, time=time, trial=replace(trial(n, budget), origin=origin))


def test_a_probe_is_no_incumbent_and_a_baseline_is_not_pending() -> None:
    state = State()
    for event in (
        lead(1),
        beside(0, Origin.PROBE, time=1.0, budget=9.0),
        tell(0, time=2.0, loss=0.0),
        beside(1, Origin.BASELINE, time=2.0),
    ):
        state.apply(event)
    assert state.incumbent is None
    assert state.pending == []


def test_neither_baselines_nor_clocks_that_are_set_back_are_time_under_a_master() -> None:
    state = State()
    for event in (lead(1, 100.0), ask(0, time=110.0), beside(1, Origin.BASELINE, time=500.0), tell(0, time=90.0), ask(2, time=95.0)):
        state.apply(event)
    assert state.led_s == 10.0 + 5.0


def test_what_trials_take_is_learnt_from_the_latest_of_the_search_that_ended_well() -> None:
    state, now = State(), 0.0
    state.apply(lead(1))
    for n in range(20):
        state.apply(ask(n, time=now))
        now += 10.0 + n
        state.apply(tell(n, time=now))  # 1 s of it is training
    state.apply(ask(20, time=now))
    state.apply(tell(20, time=now + 500.0, loss=None))
    state.apply(beside(21, Origin.PROBE, time=now))
    state.apply(tell(21, time=now + 700.0))
    assert state.took_s == {1.0: [10.0 + n for n in range(4, 20)]}
    assert state.beside_s == {1.0: [9.0 + n for n in range(4, 20)]}


def test_a_device_s_time_counts_up_to_what_passed_for_the_master() -> None:
    """20 s from the ask to the tell; the clock of its device is ahead."""
    state = State()
    engine = {"host": "far", "device": "g0", "began": 100.0, "ended": 130.0}
    for event in (lead(1), ask(0, time=100.0), Event(term=1, time=120.0, result=replace(result(0), details={"engine": engine}))):
        state.apply(event)
    assert state.took_s == {1.0: [20.0]}
    assert state.beside_s == {1.0: [19.0]}


def test_of_a_continued_trial_only_what_was_new_was_trained() -> None:
    state = State()
    told = replace(result(0), train_s=9.0, metrics={"new_s": 6.0})
    for event in (lead(1), ask(0, time=0.0), Event(term=1, time=10.0, result=told)):
        state.apply(event)
    assert state.beside_s == {1.0: [4.0]}
