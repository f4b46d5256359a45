"""What a command answers: one JSON object, turned into a Result."""

import codecs
import json
import re
from pathlib import Path
from typing import Any

from bohb_nas.errors import RecordError
from bohb_nas.records import Result, Status, Trial

_LINE_LIMIT = 2**20
"""Bytes of an object beyond which it is no answer."""
_BEGINS = re.compile(rb'\{\s*"')
"""How an object with a key begins."""
_ENDS = re.compile(rb"[\r\n]")
"""Of lines; a progress bar begins its own anew with a carriage return."""
_PLACES = "print it as the last line of standard output, or write it to the file $BOHB_NAS_RESULT"


class LastObject:
    """The last line of a stream that is a JSON object; what it holds in memory has a bound, however long the stream.

    An object behind it that is too long, or printed over several lines, takes its place and is none to take: it may have been the answer.
    """

    def __init__(self) -> None:
        self.value: dict[str, Any] | None = None
        self._refused = ""
        self._line = bytearray()
        self._block = bytearray()  # a line of only { and the indented ones behind it

    def feed(self, data: bytes) -> None:
        """Takes in the next piece of the stream."""
        *complete, rest = _ENDS.split(data)
        for part in complete:
            self._extend(part)
            self.close()
        self._extend(rest)

    def close(self) -> None:
        """Ends the current line."""
        line = bytes(self._line).removeprefix(codecs.BOM_UTF8).rstrip()
        self._line.clear()
        if not line:
            return
        if (found := _object(line.lstrip())) is not None:
            self.value, self._refused = found, ""
        elif len(line) > _LINE_LIMIT and _BEGINS.match(line.lstrip()):
            self._refuse(f"is longer than {_LINE_LIMIT} bytes: write it to the file $BOHB_NAS_RESULT")
        self._continue_block(line)

    def answer(self) -> dict[str, Any] | None:
        """The last object; None where there was none.

        Raises:
            RecordError: the last object is too long, or has several lines.
        """
        if self._refused:
            raise RecordError(f"the last object that the command printed {self._refused}")
        return self.value

    def _continue_block(self, line: bytes) -> None:
        """Notices an object that is printed over several lines: {, its indented lines, }."""
        if line == b"{":
            self._block[:] = line
        elif self._block and (line == b"}" or line[:1].isspace()):
            self._block += line
            too_long = len(self._block) > _LINE_LIMIT and _BEGINS.match(self._block) is not None
            if too_long or (line == b"}" and _object(bytes(self._block)) is not None):
                self._refuse("has several lines: print it on one line, or write it to the file $BOHB_NAS_RESULT")
            if line == b"}" or len(self._block) > _LINE_LIMIT:
                self._block.clear()
        else:
            self._block.clear()

    def _refuse(self, why: str) -> None:
        self.value, self._refused = None, why

    def _extend(self, part: bytes) -> None:
        if len(self._line) <= _LINE_LIMIT:
            self._line += part[: _LINE_LIMIT + 1]


def _object(text: bytes) -> dict[str, Any] | None:
    """The JSON object that a text is, if it is one and not too long."""
    if not (text.startswith(b"{") and text.endswith(b"}") and len(text) <= _LINE_LIMIT):
        return None
    try:
        value = json.loads(text.decode(errors="surrogateescape"))  # names of files need not be UTF-8
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_file(path: Path) -> dict[str, Any] | None:
    """The answer in a result file, None when the command wrote none.

    Raises:
        RecordError: the file holds something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as e:
        raise RecordError(f"the result file cannot be read: {e}; accepted is one JSON object with a loss") from e
    if not isinstance(value, dict):
        raise RecordError(f"the result file holds {str(value)[:200]!r}; accepted is one JSON object with a loss")
    return value


def to_result(answer: dict[str, Any] | None, trial: Trial, *, wall_s: float, behind_s: float) -> Result:
    """The result that an answer means; keys that a result does not have go to its details.

    Those may be anything that Python reads as JSON: what cannot be kept is left out where results are.

    Args:
        answer: of the command; None where there was none.
        trial: that it trained.
        wall_s: seconds that it took; they are those of training where the answer does not say them.
        behind_s: seconds of training behind the checkpoint that it went on from, which count where there are weights.

    Raises:
        RecordError: there is no answer, or a part of it is not what it has to be.
    """
    if answer is None:
        raise RecordError(f'the command printed no result; accepted is one JSON object such as {{"loss": 0.25}}: {_PLACES}')
    rest = dict(answer)
    word, loss, message = rest.pop("status", "ok"), rest.pop("loss", None), rest.pop("message", None)
    if word == Status.OK and "loss" not in answer:
        raise RecordError(f"the answer has no key loss; its keys are: {', '.join(answer)[:200] or 'none'}; accepted is a number: {_PLACES}")
    if word == Status.OK and (isinstance(loss, bool) or not isinstance(loss, int | float)):
        raise RecordError(f"the loss is {loss!r}; accepted is a number, lower is better: {_PLACES}")
    record = {
        "trial_id": trial.trial_id,
        "status": word,
        "loss": loss if word == Status.OK else None,
        "train_s": rest.pop("train_s", wall_s + (behind_s if word in (Status.OK, Status.DIVERGED) else 0.0)),
        "metrics": rest.pop("metrics", {}),
        "message": message,
        "details": rest,
    }
    return Result.from_json(record)
