"""Follows a journal that somebody else writes: keeps its fold and reads on from where the last look ended."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bohb_nas.errors import JournalError, RecordError
from bohb_nas.reading import open_regular
from bohb_nas.store.journal import Event, State
from bohb_nas.store.lines import LINE_LIMIT_BYTES, line_start

_Found = TypeVar("_Found")


def wary(look: Callable[[], _Found], pause: Callable[[], None]) -> _Found:
    """What a look says. A journal is damaged when two looks say so, with a pause between them: a shared file may be seen half."""
    try:
        return look()
    except JournalError:
        pause()
        return look()


class Follower:
    """The state of a journal that grows.

    A last line that is not complete yet is left for the next look. When the file is another one, is shorter than before, or no longer
    holds the last line that was read (somebody restored it), it is folded anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start()

    def _start(self) -> None:
        self.state = State()
        """Of the lines that were complete at the last look."""
        self._file: tuple[int, int] | None = None
        self._offset, self._lines, self._last = 0, 0, b""

    def look(self) -> State:
        """Takes in what was written since the last look.

        Returns:
            The state: the same object as before, grown, unless the journal had to be folded anew.

        Raises:
            JournalError: a line is damaged, contradicts an earlier one, or the file cannot be read; the next look folds anew.
        """
        try:
            self._read_on()
        except JournalError:
            self._start()
            raise
        return self.state

    def _read_on(self) -> None:
        """Takes in the complete lines after those that were read, one after the other; an absent file has none."""
        try:
            with os.fdopen(open_regular(self._path), "rb") as stream:
                about = os.fstat(stream.fileno())
                file = about.st_dev, about.st_ino
                last = os.pread(stream.fileno(), len(self._last), self._offset - len(self._last))
                if self._file not in (None, file) or about.st_size < self._offset or last != self._last:
                    self._start()
                self._file = file
                end = line_start(stream, stream.seek(0, os.SEEK_END))
                stream.seek(self._offset)
                while self._offset < end and (line := stream.readline(LINE_LIMIT_BYTES)):
                    if not self._take(line, last=self._offset + len(line) == end):
                        break
                    self._offset, self._lines, self._last = self._offset + len(line), self._lines + 1, line
        except FileNotFoundError:
            self._start()
        except OSError as e:
            raise JournalError(f"{self._path} cannot be read: {e.strerror}; restore it, or the right to read it") from e

    def _take(self, line: bytes, *, last: bool) -> bool:
        """Takes one line in; False for a last line that may still be repaired."""
        number = self._lines + 1
        try:
            event = Event.from_line(line)
        except (RecordError, ValueError, RecursionError) as e:
            if last and not isinstance(e, RecordError):  # no JSON: whoever leads next cuts it off
                return False
            raise JournalError(f"{self._path}, line {number} is damaged ({e}); restore the file from a backup") from e
        try:
            self.state.apply(event)
        except JournalError as e:
            raise JournalError(f"{self._path}, line {number}: {e}; restore the file from a backup") from e
        return True
