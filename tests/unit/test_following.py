"""A journal followed while it grows, is torn, repaired and restored: always what a fold of the whole file says."""

import itertools
import os
import random
import threading
from pathlib import Path

import pytest

from bohb_nas.errors import JournalError
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.store.following import Follower
from bohb_nas.store.journal import Event, State, fold
from bohb_nas.store.lines import repair


def ask(n: int) -> Event:
    trial = Trial(trial_id=f"t{n}", config_id=f"c{n}", config={"x": n}, budget=1.0, bracket=0, rung=0, seed=n, origin=Origin.RANDOM)
    return Event(term=1, time=float(n), trial=trial, reason="because")


def tell(n: int) -> Event:
    return Event(term=1, time=n + 0.5, result=Result(trial_id=f"t{n}", status=Status.OK, loss=1 / (n + 1), train_s=1.0))


LINES = [e.to_line().encode() + b"\n" for e in (Event(term=1, time=0.0), *(e for n in range(40) for e in (ask(n), tell(n))))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_an_absent_journal_is_an_empty_study_until_it_comes(path: Path) -> None:
    follower = Follower(path)
    assert follower.look() == State()
    path.write_bytes(LINES[0] + LINES[1])
    assert list(follower.look().trials) == ["t0"]
    path.unlink()
    assert follower.look() == State()


def test_it_reads_on_and_never_takes_a_line_before_it_is_complete(path: Path) -> None:
    follower, data = Follower(path), b"".join(LINES)
    cuts = sorted({0, len(data), *random.Random(0).sample(range(len(data)), 200)})
    states = []
    for start, end in itertools.pairwise(cuts):
        with path.open("ab") as stream:
            stream.write(data[start:end])
        states.append(follower.look())
        assert len(states[-1].trials) + len(states[-1].results) == max(0, data[:end].count(b"\n") - 1)
    assert follower.state == fold(path)
    assert all(state is states[0] for state in states), "folded once, then read on"


def test_only_what_is_new_is_read_and_parsed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"".join(LINES[:-2]))
    follower, parsed, parse = Follower(path), list[bytes](), Event.from_line
    follower.look()

    def counted(line: bytes) -> Event:
        parsed.append(line)
        return parse(line)

    monkeypatch.setattr(Event, "from_line", staticmethod(counted))
    with path.open("ab") as stream:
        stream.write(b"".join(LINES[-2:]))
    follower.look()
    follower.look()
    assert parsed == LINES[-2:]


@pytest.mark.parametrize("torn", [b'{"event": "ask", "ter', b"\0" * 40 + b"\n", b"[" * 30000 + b"\n", b"\xff\xfe\n"])
def test_a_torn_last_line_is_waited_for_until_it_is_repaired(path: Path, torn: bytes) -> None:
    path.write_bytes(b"".join(LINES[:5]) + torn)
    follower = Follower(path)
    assert len(follower.look().trials) == 2
    repair(path)
    with path.open("ab") as stream:
        stream.write(b"".join(LINES[5:]))
    assert follower.look() == fold(path)


def test_a_shorter_or_another_journal_is_folded_anew(path: Path) -> None:
    path.write_bytes(b"".join(LINES))
    follower = Follower(path)
    whole = follower.look()
    os.truncate(path, len(b"".join(LINES[:7])))
    assert follower.look() is not whole
    assert follower.state == fold(path)
    aside = path.with_suffix(".aside")
    aside.write_bytes(b"".join(LINES[:9]))
    aside.rename(path)
    assert follower.look() == fold(path), "longer than before, but another file"
    path.write_bytes(b"".join(LINES).replace(b'"term":1', b'"term":11'))
    assert follower.look() == fold(path), "longer than before, but other lines"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{}\n", "line 6 is damaged"),
        (b"garbage\n" + LINES[5], "line 6 is damaged"),
        (b'{"event":"lead","term":1,"time":' + b"9" * 400 + b"}\n" + LINES[5], "line 6 is damaged"),
        (b'{"event":"lead","term":1,"time":"soon"}\n', "line 6 is damaged"),
        (LINES[1], "line 6: trial t0 was asked twice"),
    ],
)
def test_damage_is_named_and_the_next_look_folds_anew(path: Path, line: bytes, said: str) -> None:
    path.write_bytes(b"".join(LINES[:5]))
    follower = Follower(path)
    follower.look()
    path.write_bytes(b"".join(LINES[:5]) + line)
    for _ in range(2):
        with pytest.raises(JournalError, match=said):
            follower.look()
    path.write_bytes(b"".join(LINES))
    assert follower.look() == fold(path)


def test_a_journal_that_cannot_be_read_is_an_error_of_the_study(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="cannot be read"):
        Follower(path).look()


def test_it_keeps_up_with_a_writer_that_tears_and_repairs(path: Path) -> None:
    path.write_bytes(LINES[0])
    follower, done = Follower(path), threading.Event()

    def write() -> None:
        for line in LINES[1:]:
            with path.open("ab", buffering=0) as stream:
                stream.write(line[:20])
            repair(path)
            with path.open("ab", buffering=0) as stream:
                stream.write(line[:9])
                stream.write(line[9:])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set():
        state = follower.look()
        assert len(state.trials) + len(state.results) >= seen
        seen = len(state.trials) + len(state.results)
    writer.join()
    assert follower.look() == fold(path)
