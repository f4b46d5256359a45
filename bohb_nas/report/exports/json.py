"""A study as one JSON file: a list with an object per finished evaluation, all with the same keys; null is no value.

The columns are those of the CSV file; here values keep their types.
"""

from collections.abc import Sequence
from pathlib import Path

from bohb_nas.files import dump_json
from bohb_nas.report.exports._table import Row, WholeFile
from bohb_nas.report.status import Watch


def make(watch: Watch, to: Path) -> WholeFile:
    """The export to one file.

    Raises:
        UsageError: no file can be written there.
    """
    return WholeFile(watch, to, _text)


def _text(columns: Sequence[str], rows: Sequence[Row]) -> str:
    lines = ",\n".join(dump_json({name: row[name] for name in columns}) for row in rows)
    return f"[\n{lines}\n]\n" if rows else "[]\n"
