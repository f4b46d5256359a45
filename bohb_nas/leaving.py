"""Whether the trial in training is asked to leave, so that another attempt, elsewhere perhaps, goes on with the rest of its budget.

A worker object with a true attribute `hands_over` looks at `asked()` while it trains. Once it is true, it stops within a second or so,
leaves what it needs to go on in `workdir/handover/`, and returns a result with the status `preempted`. The next attempt finds that folder
as `workdir/interrupted`.
"""

_asked = False  # a bare flag: a lock, taken in a signal's handler, may be held by the very thread that the signal has interrupted


def asked() -> bool:
    """Whether to stop and to hand over."""
    return _asked


def ask() -> None:
    """Asks the trial in training to leave; harmless when it was asked before. May be called from any thread and by a signal's handler."""
    global _asked
    _asked = True


def reset() -> None:
    """Asks nobody any more; called before every answer, with which a trial is no longer in training."""
    global _asked
    _asked = False
