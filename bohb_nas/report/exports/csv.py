"""A study as one CSV file: a row per finished evaluation, for pandas or a spreadsheet.

As RFC 4180 has it, in UTF-8: a line of column names, commas, quotes where needed; nothing between two commas is no value.
"""

from pathlib import Path

from bohb_nas.files import csv_text
from bohb_nas.report.exports._table import WholeFile
from bohb_nas.report.status import Watch


def make(watch: Watch, to: Path) -> WholeFile:
    """The export to one file.

    Raises:
        UsageError: no file can be written there.
    """
    return WholeFile(watch, to, csv_text)
