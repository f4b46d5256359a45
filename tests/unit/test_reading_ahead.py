"""A journal read before its study is held."""

import os
from pathlib import Path

import pytest

from bohb_nas.errors import JournalError
from bohb_nas.store import reading_ahead
from bohb_nas.store.journal import Event, State, fold
from bohb_nas.store.reading_ahead import Reading

LEAD = [Event(term=n, time=float(n)).to_line() + "\n" for n in range(1, 4)]


def test_what_has_not_changed_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(LEAD[:2]) + "{torn")
    early = Reading(path)
    assert early.folded() == (len("".join(LEAD[:2])), fold(path))
    assert early.folded()[1].term == 2


@pytest.mark.parametrize("before", [None, LEAD[0], "damaged\n" + LEAD[0]])
def test_what_was_written_meanwhile_counts(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "journal.jsonl"
    if before is not None:
        path.write_text(before)
    early = Reading(path)
    early._read.exception()
    path.write_text("".join(LEAD))
    size, state = early.folded()
    assert (size, state.term) == (len("".join(LEAD)), 3)


def test_an_absent_journal_is_empty(tmp_path: Path) -> None:
    assert Reading(tmp_path / "journal.jsonl").folded() == (0, State())


def test_a_damaged_one_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("damaged\n" + LEAD[0])
    early = Reading(path)
    with pytest.raises(JournalError, match="line 1"):
        early.folded()


def test_a_journal_that_grows_while_it_is_read_is_read_anew_and_counted_up_to_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of a stopped master that wakes meanwhile is to be found behind what was counted."""
    path = tmp_path / "journal.jsonl"
    path.write_text(LEAD[0])

    def slow(path: Path) -> State:
        state = fold(path)
        with path.open("a") as stream:
            stream.write(LEAD[state.term])
        return state

    monkeypatch.setattr(reading_ahead, "fold", slow)
    size, state = Reading(path).folded()
    assert (size, state.term) == (len("".join(LEAD[:2])), 2)


def test_a_journal_restored_under_its_old_name_and_size_is_read_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "journal.jsonl", tmp_path / "backup"
    path.write_text(LEAD[0])
    other.write_text(LEAD[1])
    for one in (path, other):
        os.utime(one, (5.0, 5.0))
    early = Reading(path)
    early._read.exception()
    os.replace(other, path)
    assert early.folded()[1].term == 2
    early = Reading(path)
    early._read.exception()
    path.write_text(LEAD[0])
    assert early.folded()[1].term == 1, "in place: only its time tells"


def test_what_could_not_be_read_early_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(LEAD[0])

    def half_shown(path: Path) -> State:
        monkeypatch.undo()
        raise JournalError("line 1 is damaged")

    monkeypatch.setattr(reading_ahead, "fold", half_shown)
    assert Reading(path).folded()[1].term == 1
