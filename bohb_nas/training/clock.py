"""The training clock: counts seconds only while it runs, and never before the device has done its work."""

from collections.abc import Callable

import torch

from bohb_nas import standstill


def drain(device: torch.device) -> None:
    """Waits until the device has finished everything given to it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class TrainingClock:
    """A stopwatch over the device's own progress.

    Args:
        device: drained before every reading.
        now: seconds of a monotonic clock that stands still when this process does.
    """

    def __init__(self, device: torch.device, *, now: Callable[[], float] = standstill.now) -> None:
        self._device = device
        self._now = now
        self._before = 0.0
        self._started: float | None = None

    def now(self) -> float:
        """Seconds of the underlying clock once the device is drained; for what is timed outside of training."""
        drain(self._device)
        return self._now()

    def seconds(self) -> float:
        """Seconds counted so far."""
        return self._before + (self.now() - self._started if self._started is not None else 0.0)

    def credit(self, seconds: float) -> None:
        """Counts seconds that another clock has counted before."""
        self._before += seconds

    def start(self) -> None:
        """Counts from here."""
        self._started = self.now()

    def stop(self) -> None:
        """Counts no further."""
        self._before, self._started = self.seconds(), None
