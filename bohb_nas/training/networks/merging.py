"""The same network with fewer kernels: Shake paths that begin alike share one convolution over the channels of all of them.

Values, gradients and statistics are those of the separate form, and so is the state dict, whose tensors are copies here: one form loads
what the other saved. Optimizers that treat every number by itself (SGD, AdamW), or each convolution that was one (Muon), make the same
steps; what they keep per parameter goes from one form to the other by `apart` and `together`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bohb_nas.training.networks import noise as noises
from bohb_nas.training.networks.network import Chained, Network, Shaken, apply, noise_rows
from bohb_nas.training.networks.normalisation import Norm

Form = Literal["apart", "merged", "grouped"]
"""Each path by itself; what follows on the common input in one, up to the next convolution; that one too, in groups."""


def merge(network: Network, form: Form) -> Network:
    """Puts the Shake layers of a network, in place, into a form; returns the network. One that has paths unlike each other stays."""
    if form == "apart":
        return network
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Shaken) and (n := _alike(child, grouped=form == "grouped")):
                setattr(parent, name, _Merged(child, n))
    return network


def _alike(shaken: Shaken, *, grouped: bool) -> int:
    """How many modules at the beginning of every path can be merged."""
    if not all(isinstance(path, Chained) for path in shaken):
        return 0
    for position, (first, *others) in enumerate(zip(*shaken, strict=False)):
        same = all(repr(other) == repr(first) for other in others)
        convolution = isinstance(first, nn.Conv2d) and first.groups == 1 and (position == 0 or grouped)
        if not same or not (convolution or (position > 0 and isinstance(first, Norm | nn.ReLU | nn.Identity))):
            return position
    return min(len(path) for path in shaken if isinstance(path, Chained))


class _Merged(nn.Module):
    """Paths of which the first `n` modules are one.

    Args:
        shaken: the separate form; its weights are taken over.
        n: modules of every path to merge.
    """

    def __init__(self, shaken: Shaken, n: int) -> None:
        super().__init__()
        paths = [list(path) for path in shaken if isinstance(path, Chained)]
        together = list(zip(*paths, strict=False))[:n]
        self.shared = nn.ModuleList(_one(modules, grouped=position > 0) for position, modules in enumerate(together))
        self.tails = nn.ModuleList(Chained(path[n:]) for path in paths)
        self._split = [2 * len(paths), *map(noise_rows, self.tails)]
        self.noise_rows = sum(self._split)
        self.register_state_dict_post_hook(_save)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_load)  # type: ignore[no-untyped-call]
        self.load_state_dict(shaken.state_dict())

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']; noise: uniform, as for the separate form."""
        for module in self.shared:
            x = module(x)
        own, *shares = noises.divided(noise, self._split)
        outs = [apply(tail, part, share) for tail, part, share in zip(self.tails, x.chunk(len(self.tails), 1), shares, strict=True)]
        return noises.shake(outs, own)


class _Joined(nn.Conv2d):
    """Convolutions side by side."""

    n_maps: int
    """Of how many maps the weights are, one after another along the outputs."""


def _one(modules: Sequence[nn.Module], *, grouped: bool) -> nn.Module:
    """One module that does what equal modules do on the parts of its channels, or of the same input."""
    n, first = len(modules), modules[0]
    match first:
        case nn.Conv2d():
            into, groups = (n * first.in_channels, n) if grouped else (first.in_channels, 1)
            out, kernel, padding = n * first.out_channels, first.kernel_size[0], int(first.padding[0])
            strides = (first.stride[0], first.stride[1])
            joined = _Joined(into, out, kernel, stride=strides, padding=padding, groups=groups, bias=False).to(first.weight)
            joined.n_maps = n * first.groups
            return joined
        case Norm():
            return Norm(n * first.num_features, first.activation).to(first.weight)
        case nn.ReLU():
            return nn.ReLU()
        case _:
            return nn.Identity()


def _places(merged: _Merged, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Every tensor's name here, and its names in the separate form: one for each path, or only the one where it is a path's own."""
    for position, module in enumerate(merged.shared):
        for name in module.state_dict():
            yield f"{prefix}shared.{position}.{name}", [f"{prefix}{path}.{position}.{name}" for path in range(len(merged.tails))]
    for path, tail in enumerate(merged.tails):
        for name in tail.state_dict():
            place, _, rest = name.partition(".")
            yield f"{prefix}tails.{path}.{name}", [f"{prefix}{path}.{int(place) + len(merged.shared)}.{rest}"]


def apart(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the parameters of a network, by name, as those of the parameters of its separate form; one number is that of each."""
    return _changed(network, tensors, _divide)


def together(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back of `apart`: tensors of the separate form, by name, as those of the network's own parameters."""
    return _changed(network, tensors, _join)


def _changed(
    network: nn.Module, tensors: Mapping[str, Tensor], change: Callable[[_Merged, str, dict[str, Tensor]], None]
) -> dict[str, Tensor]:
    """The tensors after a change for every merged layer, which is told the prefix of its names."""
    found = dict(tensors)
    for prefix, module in network.named_modules():
        if isinstance(module, _Merged):
            change(module, f"{prefix}." if prefix else "", found)
    return found


def _divide(merged: _Merged, prefix: str, tensors: dict[str, Tensor]) -> None:
    """Replaces what is of the merged form."""
    for name, names in _places(merged, prefix):
        if name in tensors:
            whole = tensors.pop(name)
            parts = whole.chunk(len(names)) if whole.dim() else [whole.clone() for _ in names]
            tensors |= zip(names, parts, strict=True)


def _join(merged: _Merged, prefix: str, tensors: dict[str, Tensor]) -> None:
    """Replaces what is of the separate form."""
    for name, names in list(_places(merged, prefix)):
        if all(one in tensors for one in names):
            parts = [tensors.pop(one) for one in names]
            tensors[name] = torch.cat(parts) if parts[0].dim() else parts[0]


def _save(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    assert isinstance(module, _Merged)
    _divide(module, prefix, state)


def _load(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    assert isinstance(module, _Merged)
    _join(module, prefix, state)
