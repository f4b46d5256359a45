"""The multi-branch residual network of Zela et al. (2018): Shake-Shake blocks, ShakeDrop where a block has one branch.

Noise is an argument: a training step draws it once for the whole network with `MultiBranch.noise`; without noise every
block combines its branches by their expected weights.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.search_spaces._multi_branch import Architecture


class _WeightedSum(torch.autograd.Function):
    """Sum of the branches under one set of weights per image, whose gradient uses another set (Gastaldi 2017)."""

    @staticmethod
    def forward(ctx: Any, forward: Tensor, backward: Tensor, *branches: Tensor) -> Tensor:
        """Combines branches [N, C, H, W] by `forward` [branches, N]; the gradient will use `backward` of that shape."""
        ctx.save_for_backward(backward)
        weights = _per_image(forward, branches[0])
        out = branches[0] * weights[0]
        for weight, branch in zip(weights[1:], branches[1:], strict=True):
            out.addcmul_(branch, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of each branch."""
        (backward,) = ctx.saved_tensors
        (gradient,) = gradients
        return None, None, *(gradient * weight for weight in _per_image(backward, gradient))


def _per_image(weights: Tensor, images: Tensor) -> Tensor:
    return weights.to(images.dtype)[:, :, None, None, None]


class Branch(nn.Sequential):
    """Conv3x3, BN, ReLU, Conv3x3, BN, on an input that went through ReLU."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )


class Shortcut(nn.Module):
    """The skip connection between unequal shapes: two strided 1x1 convolutions, one of them seeing the image one pixel on."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.straight = nn.Conv2d(into, out // 2, 1, bias=False) if out > 1 else None
        self.shifted = nn.Conv2d(into, out - out // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor, rectified: Tensor) -> Tensor:
        """[N, into, H, W], before and after ReLU -> [N, out, H / stride, W / stride]."""
        step = self.stride
        paths = [self.shifted(functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))[:, :, ::step, ::step])]
        if self.straight is not None:
            paths.insert(0, self.straight(rectified[:, :, ::step, ::step]))
        return self.norm(torch.cat(paths, dim=1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Parallel residual branches, combined under noise, plus the skip connection."""

    def __init__(self, into: int, out: int, *, stride: int, branches: int, death_rate: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(into, out, stride) for _ in range(branches))
        self.shortcut = Shortcut(into, out, stride) if stride > 1 or into != out else None
        self.death_rate = death_rate

    @property
    def noise_rows(self) -> int:
        """Uniform numbers that the block needs per image."""
        return 3 if len(self.branches) == 1 else 2 * len(self.branches)

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """[N, into, H, W] -> [N, out, H / stride, W / stride]; noise: uniform [noise_rows, N]."""
        rectified = functional.relu(x)
        outs = [branch(rectified) for branch in self.branches]
        skip = x if self.shortcut is None else self.shortcut(x, rectified)
        if noise is not None:
            forward, backward = self._weights(noise)
            return skip + _WeightedSum.apply(forward, backward, *outs)  # type: ignore[no-any-return]
        if len(outs) == 1:
            return skip + (1 - self.death_rate) * outs[0]  # type: ignore[no-any-return]
        return skip + sum(outs) / len(outs)  # type: ignore[no-any-return]

    def _weights(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [branches, N] of the forward and of the backward pass.

        Several branches: softmax of uniform numbers (Zela et al. 2018). One branch: ShakeDrop (Yamada et al. 2018), with
        one gate for the whole batch: at rate `death_rate`, forward U(-1, 1) and backward U(0, 1); otherwise both 1.
        """
        if len(self.branches) > 1:
            forward, backward = noise.chunk(2)
            return forward.softmax(0), backward.softmax(0)
        dead = noise[0, 0] < self.death_rate
        return torch.where(dead, 2 * noise[1:2] - 1, 1.0), torch.where(dead, noise[2:3], 1.0)


class MultiBranch(nn.Module):
    """The whole network: stem, groups of blocks, ReLU, global average, linear.

    Args:
        architecture: depths, widths and branches.
        channels: of the images.
        n_classes: outputs.
        generator: draws the initial weights, on the CPU.
    """

    def __init__(self, architecture: Architecture, *, channels: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, architecture.stem, 3, padding=1, bias=False), nn.BatchNorm2d(architecture.stem))
        self.blocks = nn.ModuleList()
        into = architecture.stem
        for group, (width, n_blocks, branches) in enumerate(
            zip(architecture.widths, architecture.blocks, architecture.branches, strict=True)
        ):
            for block in range(n_blocks):
                stride = 2 if group > 0 and block == 0 else 1
                self.blocks.append(Block(into, width, stride=stride, branches=branches, death_rate=architecture.death_rate))
                into = width
        self.head = nn.Linear(into, n_classes)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        """Convolutions N(0, 2 / (k k out)), batch normalisations (1, 0), the linear layer U(+-1 / sqrt(in)) without bias."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                deviation = math.sqrt(2 / (module.kernel_size[0] * module.kernel_size[1] * module.out_channels))
                nn.init.normal_(module.weight, std=deviation, generator=generator)
        bound = 1 / math.sqrt(self.head.in_features)
        nn.init.uniform_(self.head.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.head.bias)

    def noise(self, n_images: int, generator: torch.Generator) -> Tensor:
        """Uniform numbers [rows of all blocks, n_images] for one training step, on the generator's device."""
        return torch.rand(sum(self._rows()), n_images, generator=generator, device=generator.device)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Normalised images [N, C, H, W], and the noise of a training step or None -> logits [N, n_classes]."""
        x = self.stem(x)
        parts = [None] * len(self.blocks) if noise is None else torch.split(noise, self._rows())
        for block, part in zip(self.blocks, parts, strict=True):
            x = block(x, part)
        return self.head(functional.relu(x).mean((2, 3)))  # type: ignore[no-any-return]

    def _rows(self) -> list[int]:
        return [block.noise_rows for block in self.blocks if isinstance(block, Block)]
