"""A study as one CSV file: a row per finished evaluation, for pandas or a spreadsheet.

As RFC 4180 has it, in UTF-8: a line of column names, commas, quotes where needed, CR LF; nothing between two commas is no value.
"""

import csv
import io
from pathlib import Path

from bohb_nas.durations import counted
from bohb_nas.files import write_atomic
from bohb_nas.report.exports import _table
from bohb_nas.report.status import Watch


def make(watch: Watch, to: Path) -> "Table":
    """The export to one file.

    Raises:
        UsageError: no file can be written there.
    """
    _table.check_file(to)
    return Table(watch, to)


class Table:
    """The evaluations of a study in a file that is replaced as a whole."""

    def __init__(self, watch: Watch, to: Path) -> None:
        self._watch = watch
        self._to = to

    def update(self) -> str:
        """Writes all evaluations of this moment."""
        columns, rows = _table.table(self._watch)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self._to, text.getvalue(), mode=0o644)
        return f"{counted(len(rows), 'evaluation')}: {self._to}"
