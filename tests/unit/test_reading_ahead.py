"""A journal read before its study is held."""

from pathlib import Path

import pytest

from bohb_nas.errors import JournalError
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
