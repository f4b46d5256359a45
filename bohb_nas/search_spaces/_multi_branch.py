"""The multi-branch residual network as numbers: defaults, widths, parameters and FLOPs.

Shared by the spaces that describe it; the leading underscore keeps it out of the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bohb_nas.records import Value

GROUPS = (1, 2, 3)
"""The groups of blocks; each after the first halves the image's sides."""

DEFAULTS: Mapping[str, float] = {
    **{f"nr_residual_blocks_{g}": 2 for g in GROUPS},
    **{f"res_branches_{g}": 2 for g in GROUPS},
    "initial_filters": 16,
    "widen_factor_1": 1.0,
    "widen_factor_2": 2.0,
    "widen_factor_3": 2.0,
    "death_rate": 0.0,
}
"""Every hyperparameter that `architecture` reads, and what a missing one is: Shake-Shake 14 2x16d, which is the shape of
Shake-Shake 26 2x32d (Gastaldi 2017) at half its depth and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What determines the network, for a given image shape and number of classes."""

    stem: int
    """Channels of the first convolution."""
    widths: tuple[int, ...]
    """Channels of each group."""
    blocks: tuple[int, ...]
    """Residual blocks of each group."""
    branches: tuple[int, ...]
    """Parallel residual branches in each block of a group."""
    death_rate: float
    """Probability that ShakeDrop disturbs a block of one branch."""


def architecture(config: Mapping[str, Value]) -> Architecture:
    """Reads the architecture from a configuration; a missing name takes its default.

    Widths follow each other: C1 = round(F0 w1), C2 = round(C1 w2), C3 = round(C2 w3).
    """
    full = {**DEFAULTS, **config}
    widths: list[int] = []
    for g in GROUPS:
        before = widths[-1] if widths else int(full["initial_filters"])
        widths.append(max(1, round(before * float(full[f"widen_factor_{g}"]))))
    return Architecture(
        stem=int(full["initial_filters"]),
        widths=tuple(widths),
        blocks=tuple(int(full[f"nr_residual_blocks_{g}"]) for g in GROUPS),
        branches=tuple(int(full[f"res_branches_{g}"]) for g in GROUPS),
        death_rate=float(full["death_rate"]),
    )


def size(config: Mapping[str, Value], *, image_shape: tuple[int, int, int] = (32, 32, 3), n_classes: int = 10) -> dict[str, float]:
    """Trainable parameters, and FLOPs of one image's forward pass, by arithmetic.

    A FLOP is a multiplication or an addition; only convolutions and the linear layer count, as is usual.

    Args:
        config: hyperparameters of the network; others are ignored.
        image_shape: height, width, channels.
        n_classes: outputs.

    Returns:
        {"params": count, "flops": count}
    """
    network = architecture(config)
    height, width, channels = image_shape
    params, multiplications = _convolution(3, channels, network.stem, height * width)
    before = network.stem
    for group, (after, n_blocks, branches) in enumerate(zip(network.widths, network.blocks, network.branches, strict=True)):
        stride = 1 if group == 0 else 2
        height, width = -(-height // stride), -(-width // stride)
        for block in range(n_blocks):
            into = before if block == 0 else after
            layers = [_convolution(3, into, after, height * width), _convolution(3, after, after, height * width)] * branches
            if block == 0 and (stride > 1 or into != after):
                layers.append(_convolution(1, into, after, height * width))
            params += sum(p for p, _ in layers)
            multiplications += sum(m for _, m in layers)
        before = after
    return {"params": float(params + (before + 1) * n_classes), "flops": 2.0 * (multiplications + before * n_classes)}


def _convolution(kernel: int, into: int, out: int, pixels: int) -> tuple[int, int]:
    """Parameters, with those of the batch normalisation that follows, and multiplications of one convolution."""
    weights = kernel * kernel * into * out
    return weights + 2 * out, weights * pixels
