"""The multi-branch network of Zela et al. (2018) as the authors' worker computes it: a port by description, in plain torch.

Kept of it: with several branches all of them are computed, added up and thrown away before they are computed once more under their
random weights, in evaluation too; those weights and the gate of ShakeDrop are drawn on the CPU, block by block, and copied over.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.training.networks import Network

Draw = Callable[[int, int], Tensor]
"""Uniform numbers [rows, images] on the CPU."""


class _RandomWeights(torch.autograd.Function):
    """Branches added up under some weights, their gradients under others (Gastaldi 2017)."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, beta: Tensor, *branches: Tensor) -> Tensor:
        """Branches [N, C, H, W]; alpha and beta [branches, N]."""
        ctx.save_for_backward(beta)
        out: Tensor = sum(weight[:, None, None, None] * branch for weight, branch in zip(alpha, branches, strict=True))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of each branch."""
        (beta,) = ctx.saved_tensors
        return None, None, *(weight[:, None, None, None] * gradients[0] for weight in beta)


class _Branch(nn.Sequential):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )


class _Shortcut(nn.Module):
    """Between unequal shapes: two strided 1x1 convolutions, the second of the image one pixel on."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.straight = nn.Conv2d(into, out // 2, 1, stride=stride, bias=False)
        self.shifted = nn.Conv2d(into, out - out // 2, 1, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        shifted = functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        return self.norm(torch.cat([self.straight(functional.relu(x)), self.shifted(shifted)], 1))  # type: ignore[no-any-return]


class PaperBlock(nn.Module):
    """Branches and the skip connection.

    Args:
        into: channels that come in.
        out: channels that go out, at least 2.
        stride: of the first convolutions.
        branches: their number.
        death_rate: of ShakeDrop, which acts on a single branch.
        draw: makes the noise.
    """

    def __init__(self, into: int, out: int, stride: int, branches: int, *, death_rate: float, draw: Draw) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_Branch(into, out, stride) for _ in range(branches))
        self.shortcut = _Shortcut(into, out, stride) if stride > 1 or into != out else nn.Identity()
        self._death_rate = death_rate
        self._draw = draw

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        out = sum(branch(x) for branch in self.branches)
        if len(self.branches) > 1:
            out = self._shaken(x)
        elif self._death_rate > 0:
            out = self._dropped(out)
        return self.shortcut(x) + out  # type: ignore[no-any-return]

    def _shaken(self, x: Tensor) -> Tensor:
        n, outs = len(self.branches), [branch(x) for branch in self.branches]
        if not self.training:
            return sum(outs) / n  # type: ignore[no-any-return]
        alpha, beta = (self._draw(n, len(x)).softmax(0).to(x.device, x.dtype) for _ in range(2))
        return _RandomWeights.apply(alpha, beta, *outs)  # type: ignore[no-any-return]

    def _dropped(self, out: Tensor) -> Tensor:
        if not self.training:
            return (1 - self._death_rate) * out
        gate, alpha, beta = (self._draw(1, len(out)) for _ in range(3))
        if gate.numpy()[0, 0] >= self._death_rate:
            return out
        alpha, beta = (weights.to(out.device, out.dtype) for weights in (2 * alpha - 1, beta))
        return _RandomWeights.apply(alpha, beta, out)  # type: ignore[no-any-return]


class PaperNetwork(nn.Module):
    """Stem, three groups of blocks, the mean over pixels, a linear layer.

    Args:
        stem: channels of the first convolution.
        widths: channels of each group.
        blocks: of each group.
        branches: of each block of a group.
        death_rate: as for `PaperBlock`.
        draw: as for `PaperBlock`.
    """

    def __init__(
        self,
        *,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        branches: Sequence[int],
        death_rate: float = 0.0,
        draw: Draw = torch.rand,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        made, into = [], stem
        for group, (out, n_blocks, n_branches) in enumerate(zip(widths, blocks, branches, strict=True)):
            for i in range(n_blocks):
                stride = 2 if group > 0 and i == 0 else 1
                made.append(PaperBlock(into, out, stride, n_branches, death_rate=death_rate, draw=draw))
                into = out
        self.blocks = nn.Sequential(*made)
        self.head = nn.Linear(into, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W] -> logits [N, 10]."""
        return self.head(functional.relu(self.blocks(self.stem(x))).mean((2, 3)))  # type: ignore[no-any-return]

    def take_weights(self, ours: Network) -> None:
        """Copies the tensors of the same network of ours, which has them in the same order."""
        self.load_state_dict(dict(zip(self.state_dict(), ours.state_dict().values(), strict=True)))
