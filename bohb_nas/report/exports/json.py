"""A study as one JSON file: a list with an object per finished evaluation, all with the same keys; null is no value.

The columns are those of the CSV file; here values keep their types.
"""

from pathlib import Path

from bohb_nas.durations import counted
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.report.exports import _table
from bohb_nas.report.status import Watch


def make(watch: Watch, to: Path) -> "Records":
    """The export to one file.

    Raises:
        UsageError: no file can be written there.
    """
    _table.check_file(to)
    return Records(watch, to)


class Records:
    """The evaluations of a study in a file that is replaced as a whole."""

    def __init__(self, watch: Watch, to: Path) -> None:
        self._watch = watch
        self._to = to

    def update(self) -> str:
        """Writes all evaluations of this moment."""
        columns, rows = _table.table(self._watch)
        lines = ",\n".join(dump_json({name: row[name] for name in columns}) for row in rows)
        write_atomic(self._to, f"[\n{lines}\n]\n" if rows else "[]\n", mode=0o644)
        return f"{counted(len(rows), 'evaluation')}: {self._to}"
