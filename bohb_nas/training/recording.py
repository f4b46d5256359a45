"""A training step recorded once as a CUDA graph and replayed: a few microseconds for the host in place of one for every kernel."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from bohb_nas import spoilt
from bohb_nas.errors import first_line

Work = Callable[..., None]
"""Takes tensors and leaves everything that it computes in tensors that stay where they are."""

STEPS_BEFORE = 3
"""Done as usual before anything is recorded: libraries choose their algorithms, optimizers make their state."""


class Recorder(Protocol):
    """Records work on tensors whose addresses stay; returns what replays it."""

    def __call__(self, work: Work, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
        """The replay of `work(*inputs)`; nothing is computed while it is recorded.

        Raises:
            RuntimeError: the work cannot be recorded.
        """
        ...


def record(work: Work, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """A CUDA graph of the work.

    Where it fails once it has begun, this process is spoilt for other trials: torch may take it for unfinished ever after.
    """
    graph, begun = torch.cuda.CUDAGraph(), False
    try:
        with (
            torch.cuda.stream(torch.cuda.current_stream()),  # to which a graph that fails does not return
            torch.cuda.graph(graph, capture_error_mode="thread_local"),  # other threads may wait for the device meanwhile
        ):
            begun = True
            work(*inputs)
    except RuntimeError as e:
        if begun:
            spoilt.note(f"a step could not be recorded: {first_line(e)}")
        raise
    return graph.replay


@dataclass(slots=True)
class Recording:
    """Does the same work on ever new tensors of the same shapes, by replay as soon as that is possible.

    Work on tensors of other shapes, and any after a recording has failed, is done as usual. The work is not kept: whose method it is may
    keep the recording, and goes with its tensors as soon as nobody needs it.
    """

    recorder: Recorder | None
    """None replays nothing."""
    refused: str | None = None
    """Why nothing is replayed, or no longer, although it was tried."""
    replays: bool = False
    """Whether it is replayed, or was until it ended."""
    _inputs: tuple[Tensor, ...] = ()
    """Where a replay finds its inputs."""
    _replay: Callable[[], None] | None = None
    _shapes: list[torch.Size] = field(default_factory=list)
    _n_done: int = 0

    def end(self, refused: str | None = None) -> None:
        """Gives back the memory of what was recorded; whatever comes is done as usual.

        Args:
            refused: why, where more was still to be replayed.
        """
        self.recorder, self._replay, self._inputs = None, None, ()
        if refused is not None:
            self.replays, self.refused = False, refused

    def __call__(self, work: Work, *inputs: Tensor) -> None:
        """Does the work, the same in every call, on the inputs."""
        shapes = [tensor.shape for tensor in inputs]
        if self._replay is None or shapes != self._shapes:
            if self.recorder is None or self.refused is not None or not self._ready(shapes) or not self._recorded(work, inputs):
                work(*inputs)
            return
        for place, tensor in zip(self._inputs, inputs, strict=True):
            place.copy_(tensor)
        self._replay()

    def _ready(self, shapes: list[torch.Size]) -> bool:
        """Whether enough was done on these shapes; counts."""
        if self._replay is not None:
            return False
        self._n_done = self._n_done + 1 if shapes == self._shapes else 1
        self._shapes = shapes
        return self._n_done > STEPS_BEFORE

    def _recorded(self, work: Work, inputs: tuple[Tensor, ...]) -> bool:
        """Whether the work was recorded, and so done for the first time: places, recording and replay need memory, which may be short."""
        assert self.recorder is not None
        try:
            places = tuple(tensor.clone() for tensor in inputs)
            replay = self.recorder(work, places)
            replay()
        except RuntimeError as e:
            self.refused = first_line(e)
            return False
        self._inputs, self._replay, self.replays = places, replay, True
        return True
