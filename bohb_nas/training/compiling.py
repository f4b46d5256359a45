"""The network's passes through torch.compile, where the seconds that it takes come back within the budget.

Compiling takes C seconds and makes a step s times as fast, so it pays for a training of T seconds where C < T (1 - 1 / s). C and s are
known before as measured figures only; whether a compiled network is kept is decided by its own steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from bohb_nas.errors import out_of_memory
from bohb_nas.layers import Layer
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.learner import Forward, Learner, Streams, forward
from bohb_nas.training.networks import Form
from bohb_nas.training.warm_up import settled_seconds, whole_batch

Mode = Literal["auto", "on", "off"]

TAKES_S = 40.0
"""C: seconds of a network that was never compiled before."""
BRINGS = 1.4
"""s: of a step that is replayed with and without."""
_WORTH = 0.97
"""A compiled step that takes more than this part of the other is not worth a second form of the network."""
_KEPT = 4
"""Networks whose compiled form is kept in the process; torch itself holds eight of one function, and parts of a batch may need two."""


def _compiled(function: Forward) -> Forward:
    return torch.compile(function, fullgraph=True, dynamic=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What became of a network's compilation."""

    used: bool
    reason: str | None
    """Why not."""
    seconds: float | None = None
    """Until the first compiled step was done; None where it was not tried."""
    gain: float | None = None
    """Seconds of a step before over after."""


class Compiler:
    """Compiles networks; one for the life of a process, which keeps what it compiled.

    Args:
        mode: `auto` compiles on CUDA, where it pays; `on` compiles always, and keeps what is faster.
        compile: makes a faster form of the forward pass of any network.
    """

    def __init__(self, mode: Mode, *, compile: Callable[[Forward], Forward] = _compiled) -> None:  # noqa: A002
        self._mode, self._compile = mode, compile
        self._known: list[tuple[Layer, Form, int, int, torch.Size]] = []

    def speed_up(self, learner: Learner, clock: TrainingClock, *, budget_s: float, step_s: float) -> tuple[Compiled, float]:
        """Gives the learner a compiled forward pass if that makes its steps faster.

        Args:
            learner: its weights, streams and optimizer stay as they are.
            clock: times the steps.
            budget_s: seconds that will be trained.
            step_s: of one step, as far as known.

        Returns:
            What became of it, and the seconds of a step from now on.
        """
        network = (learner.network.layers, learner.form, learner.recipe.batch_size, learner.micro_batch, learner.data.images.shape)
        if reason := self._against(learner, budget_s, known=network in self._known):
            return Compiled(used=False, reason=reason), step_s
        if network not in self._known and len(self._known) == _KEPT:
            self._forget()
        compiled, began = self._compile(forward), clock.now()
        try:
            before_s, _ = _timed(learner, clock, learner.forward)
            after_s, took_s = _timed(learner, clock, compiled)
        except Exception as e:  # noqa: BLE001 - a compiler may fail in any way; the record says in which
            said = [line.strip() for line in str(e).splitlines() if line.strip()]
            what = "out of memory" if out_of_memory(e) else " ".join(said[:2]) or type(e).__name__
            self._forget()
            return Compiled(used=False, reason=f"it failed: {what}", seconds=clock.now() - began), step_s
        self._known = [*self._known, *([] if network in self._known else [network])]
        gain = before_s / after_s
        if after_s > _WORTH * before_s:
            return Compiled(used=False, reason=f"a step was {gain:.2f} times as fast", seconds=took_s, gain=gain), before_s
        learner.forward = compiled
        return Compiled(used=True, reason=None, seconds=took_s, gain=gain), after_s

    def _forget(self) -> None:
        """Lets torch hold no compiled form any more, only its cache on the disk."""
        self._known.clear()
        torch.compiler.reset()

    def _against(self, learner: Learner, budget_s: float, *, known: bool) -> str | None:
        """What speaks against compiling, beforehand."""
        if self._mode == "off":
            return "it is off"
        if self._mode == "on" or known:
            return None
        if not learner.compute.gains_from_fewer_kernels:
            return f"on a {learner.compute.device.type} it is done on request only"
        if budget_s * (1 - 1 / BRINGS) < TAKES_S:
            return f"{TAKES_S:.0f} s would not come back within {budget_s:.4g} s at a gain of {BRINGS}"
        return None


def _timed(learner: Learner, clock: TrainingClock, function: Forward) -> tuple[float, float]:
    """Seconds of a step with a forward pass, and of the first one before; on a copy of the network that is gone afterwards."""
    twin, began = learner.twin(Streams.seeded(0, learner.compute.device)), clock.now()
    try:
        twin.forward = function
        twin.step(whole_batch(twin), 0.0)
        first_s = clock.now() - began
        return settled_seconds(twin, clock), first_s
    finally:
        del twin
        learner.compute.release()
