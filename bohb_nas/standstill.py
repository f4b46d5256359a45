"""Seconds in which this process could work: without those in which a scheduler had suspended its job, or a container was frozen.

A thread looks at the clock twice a second. Where far more time passed between two looks, the process stood still: unless the thread
that looks or the main one ran meanwhile, or waited for a processor, as the kernel counts for each. So neither a machine that is merely
busy nor a library that lets no other thread run is taken for a standstill.
"""

import math
import os
import threading
import time
from collections.abc import Callable

_LOOK_S = 0.5
_LEAST_S = 5.0
"""Shorter standstills count as work: nobody suspends a job for so little."""


def _busy_s(thread: int) -> float:
    """Seconds that a thread of this process has run or waited for a processor; always 0 where the kernel does not count them."""
    try:
        with open(f"/proc/self/task/{thread}/schedstat") as stream:
            ran, waited, _ = stream.read().split()
        return (int(ran) + int(waited)) / 1e9
    except (OSError, ValueError):
        return 0.0


class Watch:
    """Looks out for standstills of this process, once it has begun to.

    Args:
        clock: seconds that go on while the process stands still.
        busy_s: seconds that a thread has run or waited for a processor, by its number.
        look_s: between two looks.
        least_s: what is shorter is no standstill.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        busy_s: Callable[[int], float] = _busy_s,
        look_s: float = _LOOK_S,
        least_s: float = _LEAST_S,
    ) -> None:
        self._clock, self._busy_s, self._look_s, self._least_s = clock, busy_s, look_s, least_s
        self._lock = threading.Lock()
        self._threads: tuple[int, ...] = ()
        """The main thread's number and the looking one's, once there is one."""
        self._looked = 0.0
        self._busy: list[float] = []
        """Of the threads, at the last look."""
        self._stood_s = 0.0
        self._told = -math.inf
        """The latest time that was told: a standstill that is noticed late may seem to have begun before it."""

    def begin(self) -> None:
        """Begins to look; harmless when that has begun. To be called from the main thread."""
        if self._threads:
            return
        looking = threading.Thread(target=self._keep_looking, name="standstill", daemon=True)
        looking.start()
        with self._lock:
            self._threads = (threading.get_native_id(), looking.native_id or 0)
            self._looked, self._busy = self._clock(), self._busy_now()

    def now(self) -> float:
        """Seconds of a clock that stands still when this process does."""
        with self._lock:
            now = self._clock()
            if self._threads and now - self._looked > self._least_s:  # the thread that looks has not run yet since
                self._look(now)
            self._told = max(self._told, now - self._stood_s)
            return self._told

    def stood_s(self) -> float:
        """Seconds for which this process has stood still so far."""
        self.now()
        return self._stood_s

    def forked(self) -> None:
        """To be called in a forked child, which has none of the threads, and no use for a lock that one of them may hold: looks no more."""
        self._lock, self._threads = threading.Lock(), ()

    def _look(self, now: float) -> None:
        """Takes in what has passed since the last look."""
        busy = self._busy_now()
        stood_s = now - self._looked - max(after - before for after, before in zip(busy, self._busy, strict=True))
        if stood_s > self._least_s:
            self._stood_s += stood_s
        self._looked, self._busy = now, busy

    def _busy_now(self) -> list[float]:
        return [self._busy_s(thread) for thread in self._threads]

    def _keep_looking(self) -> None:
        while True:
            time.sleep(self._look_s)
            with self._lock:
                if self._threads:
                    self._look(self._clock())


_WATCH = Watch()
os.register_at_fork(after_in_child=lambda: _WATCH.forked())


def watch() -> None:
    """Begins to look out for standstills of this process; harmless when that has begun. To be called from the main thread."""
    _WATCH.begin()


def now() -> float:
    """Seconds of a monotonic clock that stands still when this process does, if somebody looks out for that."""
    return _WATCH.now()


def stood_s() -> float:
    """Seconds for which this process has stood still so far."""
    return _WATCH.stood_s()
