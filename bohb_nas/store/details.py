"""Which details of results a state keeps: those that somebody reads there. The others stay in the journal and in the result files.

A worker may return megabytes of them, such as a learning curve, and a study has many trials.
"""

from dataclasses import replace

from bohb_nas.records import Result

KEPT = frozenset({"attempt_s", "bound", "config_left_out", "device", "engine", "metrics_dropped", "ready_to_use", "violates"})
"""Names of details; whoever reads another one of results that come from a state adds it here."""


def slim(result: Result) -> Result:
    """The result without the details that nobody reads of a state; itself where it has no such."""
    if result.details.keys() <= KEPT:
        return result
    return replace(result, details={name: value for name, value in result.details.items() if name in KEPT})
