"""Randomness of a one-shot search as a function of its step: nothing has to be kept for it to go on as if never interrupted."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Purpose = Literal["draw", "candidates", "order", "augmentation", "noise", "valid", "found", "codes"]


class Chance:
    """Streams of random numbers, one for each seed, step and purpose.

    Args:
        seed: of the search.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.disturbed = 0
        """Changes every stream that is begun from here on."""

    def rng(self, purpose: Purpose, step: int, part: int = 0) -> np.random.Generator:
        """A stream on the host."""
        return np.random.default_rng(self._sequence(purpose, step, part))

    def generator(self, purpose: Purpose, step: int, device: torch.device, part: int = 0) -> torch.Generator:
        """A stream on a device."""
        seed = int(self._sequence(purpose, step, part).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device).manual_seed(seed)

    def batch(self, positions: Tensor, *, purpose: Purpose, step: int, size: int) -> Tensor:
        """The `step`-th batch of endless epochs over `positions` [n], each in an order of its own; int64 [size], on their device."""
        n, first, found = len(positions), step * size, list[Tensor]()
        while size:
            epoch, begun = divmod(first, n)
            order = torch.randperm(n, generator=self.generator(purpose, epoch, positions.device, part=1), device=positions.device)
            taken = order[begun : begun + size]
            found.append(positions[taken])
            first, size = first + len(taken), size - len(taken)
        return torch.cat(found)

    def _sequence(self, purpose: Purpose, step: int, part: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self._seed, self.disturbed, get_args(Purpose).index(purpose), step, part])
