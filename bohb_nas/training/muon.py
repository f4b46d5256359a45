"""Muon: hidden weights move by momentum made orthogonal, matrix by matrix; the rest of a network moves by AdamW.

Jordan et al. (2024, https://kellerjordan.github.io/posts/muon/), whose advice for convolutional networks is followed: filters are
matrices [out, in * height * width]; the first convolution, the linear layer at the end, biases and normalisations are the rest. So
are depthwise filters: each of them is one row by itself, of which an orthogonal matrix only keeps the direction.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bohb_nas.training.device import multiplies_bf16

REST = 0.15
"""Learning rate of AdamW for the rest, as a share of Muon's.

An orthogonal matrix of r rows and c >= r columns has numbers of size 1 / sqrt(c), and AdamW's updates have numbers of about 0.2 (Liu et
al. 2025, arXiv:2502.16982, section 2.2): equal updates need the share 1 / (0.2 sqrt(c)), which is 0.15 for 3x3 filters of 128 channels.
"""
_REST_BETAS = (0.9, 0.95)
"""Of AdamW, as the authors of Muon use it."""
ADAMW_KEEPS = ("step", "exp_avg", "exp_avg_sq")
"""Of every parameter after its first step."""
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3 and x^5: the steepest slope at 0 for which five iterations end between about 0.7 and 1.2."""
_SMALLEST_NORM = 1e-7
_BF16_SIDE = 64
"""On a CPU, the smaller side of a matrix from which bf16 products are faster; with 16 they took four times as long."""


class Hidden(NamedTuple):
    """A weight for Muon."""

    weight: Tensor
    """[out, in] or [out, in, height, width]"""
    n_maps: int = 1
    """Linear maps side by side in it that share no inputs or no outputs by right: a grouped convolution has one for each group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alike:
    """Hidden weights of matrices of equal shape."""

    positions: tuple[int, ...]
    rows: int
    columns: int

    @property
    def tall(self) -> bool:
        return self.rows > self.columns

    @property
    def scale(self) -> float:
        """Of an orthogonal matrix, so that what a layer puts out changes equally much whatever its shape is (Jordan et al. 2024)."""
        return math.sqrt(max(1.0, self.rows / self.columns))


def hidden(network: nn.Module) -> list[Hidden]:
    """The weights of a network that are for Muon, in the order of its parameters."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    outer = {*convolutions[:1], *linears[-1:]}
    found = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in outer:
            n_maps = int(getattr(module, "n_maps", getattr(module, "groups", 1)))
            rows, inputs = module.weight.shape[0] // n_maps, module.weight.shape[1]
            if min(rows, inputs) > 1:
                found.append(Hidden(module.weight, n_maps))
    return found


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [n, r, c], r <= c, with their singular vectors and, in place of their singular values, numbers near 1; zeros stay zeros.

    Products are in the number format of `matrices`, which are to have norms of at most 1.
    """
    linear, cubic, quintic = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = matrices @ matrices.mT
        matrices = torch.baddbmm(matrices, torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic), matrices, beta=linear)
    return matrices


class Muon(torch.optim.Optimizer):
    """The optimizer of a whole network; nothing in a step waits for the device.

    What it keeps is `momentum_buffer` of a hidden weight, and what AdamW keeps of every other parameter.

    Args:
        parameters: all of them, in the order of the network.
        hidden: those of them that are for Muon.
        lr: learning rate of Muon, 0-dim on the device; read in every step, where AdamW takes its share `REST` of it.
        momentum: Nesterov's.
        weight_decay: decoupled, for all parameters.

    Raises:
        ValueError: a hidden weight whose numbers do not lie row by row in memory.
    """

    def __init__(
        self, parameters: Iterable[Tensor], hidden: Sequence[Hidden], *, lr: Tensor, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        everything = list(parameters)
        super().__init__(everything, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for weight, _ in hidden:
            if not (weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)):
                raise ValueError(f"a weight of shape {list(weight.shape)} has strides {weight.stride()}; accepted are dense rows")
        self._hidden = list(hidden)
        self._stacks = _stacks(self._hidden)
        self._rest_rate = torch.zeros_like(lr)
        self._chosen = frozenset(weight for weight, _ in hidden)
        rest = [parameter for parameter in everything if parameter not in self._chosen]
        self._rest = _adamw(rest, self._rest_rate, weight_decay) if rest else None

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Moves every parameter by its gradient; a hidden weight without one only decays."""
        rate: Tensor = self.param_groups[0]["lr"]
        if self._hidden:
            self._step_hidden(rate)
        if self._rest is not None:
            torch.mul(rate, REST, out=self._rest_rate)
            self._rest.state = self.state  # one state for both: it is saved and restored by parameter
            self._rest.step()

    def kept(self, parameter: Tensor) -> tuple[str, ...]:
        """The names of what is kept of a parameter after its first step."""
        return ("momentum_buffer",) if parameter in self._chosen else ADAMW_KEEPS

    def _step_hidden(self, rate: Tensor) -> None:
        momentum, decay = self.param_groups[0]["momentum"], self.param_groups[0]["weight_decay"]
        weights = [weight for weight, _ in self._hidden]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        buffers = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, buffers, momentum)
        updates = self._updates(directions, rate)
        torch._foreach_mul_(weights, 1 - rate * decay)
        torch._foreach_sub_(weights, updates)

    def _updates(self, directions: Sequence[Tensor], rate: Tensor) -> list[Tensor]:
        """What is taken off each hidden weight: one product for all matrices of the same two sides, either way round."""
        updates = list(directions)
        for number_format, stack in self._stacks:
            parts = [torch.cat([self._matrices(directions[i], i) for i in alike.positions]) for alike in stack]
            flat = torch.cat([part.mT if alike.tall else part for alike, part in zip(stack, parts, strict=True)])
            norms = torch.linalg.vector_norm(flat, dim=(1, 2), keepdim=True).clamp(min=_SMALLEST_NORM)
            made = orthogonal((flat / norms).to(number_format)).split_with_sizes([len(part) for part in parts])
            for alike, part, matrices in zip(stack, parts, made, strict=True):
                factor = (rate * alike.scale).view(1, 1, 1)  # a number of no dimension would be rounded to the matrices' format
                torch.mul(matrices.mT if alike.tall else matrices, factor, out=part)
                for i, update in zip(
                    alike.positions, part.split_with_sizes([self._hidden[i].n_maps for i in alike.positions]), strict=True
                ):
                    weight = self._hidden[i].weight
                    updates[i] = update.as_strided(weight.shape, weight.stride())
        return updates

    def _matrices(self, direction: Tensor, position: int) -> Tensor:
        """[n_maps, rows, columns] in the order in which the weight lies in memory, which is as good as any: columns may change places."""
        weight, n_maps = self._hidden[position]
        if not weight.is_contiguous():
            direction = direction.permute(0, 2, 3, 1)
        return direction.reshape(n_maps, len(weight) // n_maps, -1)


def _adamw(parameters: list[Tensor], rate: Tensor, weight_decay: float) -> torch.optim.AdamW:
    kind = rate.device.type
    return torch.optim.AdamW(
        parameters, lr=rate, betas=_REST_BETAS, weight_decay=weight_decay, fused=kind in ("cpu", "cuda"), capturable=kind == "cuda"
    )


def _stacks(hidden: Sequence[Hidden]) -> list[tuple[torch.dtype, list[_Alike]]]:
    """Number format, and weights whose matrices are orthogonalised together."""

    def shape(position: int) -> tuple[int, int]:
        weight, n_maps = hidden[position]
        return len(weight) // n_maps, weight[0].numel()

    def sides(position: int) -> tuple[int, ...]:
        return tuple(sorted(shape(position)))

    stacks = []
    for (least, _), members in itertools.groupby(sorted(range(len(hidden)), key=sides), key=sides):
        alike = [
            _Alike(positions=tuple(positions), rows=rows, columns=columns)
            for (rows, columns), positions in itertools.groupby(sorted(members, key=shape), key=shape)
        ]
        stacks.append((_number_format(hidden[0].weight.device, least), alike))
    return stacks


def _number_format(device: torch.device, least_side: int) -> torch.dtype:
    return torch.bfloat16 if multiplies_bf16(device) and (device.type != "cpu" or least_side >= _BF16_SIDE) else torch.float32
