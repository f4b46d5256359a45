"""Which of several workers gets a trial: arithmetic over what they said of themselves."""

import math
from collections.abc import Mapping
from typing import Any


def fittest(workers: Mapping[str, Mapping[str, Any]], *, needs_s: float | None, now: float) -> str | None:
    """The worker to give a trial to: of those that have the time for it, the one that has to leave first.

    What is short goes to those with little time left, so that the others can train what is long.

    Args:
        workers: address -> what it said of itself when it joined: `until`, seconds since the epoch by its own clock or None, and
            `hands_over`; with `behind_s`, by how much its clock is behind the master's.
        needs_s: seconds that the trial is expected to take, or None: then the one that stays longest gets it.
        now: seconds since the epoch by the master's clock.

    Returns:
        Its address; None where no worker has the time, nor can hand over what it has not finished.
    """

    def ends(address: str) -> float:
        until = workers[address].get("until")
        return until + float(workers[address].get("behind_s", 0.0)) if isinstance(until, int | float) else math.inf

    if needs_s is None:  # it may be long
        return max(workers, key=ends, default=None)
    fit = [a for a in workers if workers[a].get("hands_over") or now + needs_s <= ends(a)]
    in_time = [a for a in fit if now + needs_s <= ends(a)]
    return min(in_time, key=ends) if in_time else max(fit, key=ends, default=None)
