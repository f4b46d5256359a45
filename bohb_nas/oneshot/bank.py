"""Shared weights: one tensor for each place, of which every candidate network takes the first channels.

A bank grows with what is asked of it. What it draws belongs to its seed, the place and the size, whatever was asked before; only where a
place grows do the channels that it had stay as they are.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bohb_nas.errors import OptionError
from bohb_nas.layers import Layer
from bohb_nas.oneshot.places import Place, places
from bohb_nas.training.networks import Network
from bohb_nas.training.networks.network import initialise_kernel, initialise_linear

KEPT = 64
"""Candidates that a bank keeps, those asked for last, so that they are not built again."""
_GROUPS = ("weight", "momentum", "statistic")


class Bank:
    """The weights that candidates share, the momentum of each, and the statistics of normalisations.

    Args:
        image_shape: height, width, channels.
        n_classes: outputs.
        seed: of the initial weights.
        device: where the tensors are.
        memory_format: of convolutions' weights.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        n_classes: int,
        seed: int,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.weights: dict[str, Tensor] = {}
        """By place, each of the largest shape asked for."""
        self.momenta: dict[str, Tensor] = {}
        """Likewise, zeros at first."""
        self.statistics: dict[str, Tensor] = {}
        """Running means and variances of normalisations, by place."""
        self.version = 0
        """Changes whenever a tensor is replaced by another, and not when one gets new values."""
        self._image_shape = image_shape
        self._n_classes = n_classes
        self._seed = seed
        self._device = device
        self._memory_format = memory_format
        self._candidates: OrderedDict[Layer, Candidate] = OrderedDict()

    def candidate(self, layers: Layer) -> "Candidate":
        """The candidate of a network's layers; the bank has its tensors from then on.

        Raises:
            OptionError: layers that do not fit each other, or of which two have one place.
        """
        found = self._candidates.pop(layers, None)
        if found is None:
            found = Candidate(self, _without_storage(layers, self._image_shape, self._n_classes))
        self._candidates[layers] = found
        if len(self._candidates) > KEPT:
            self._candidates.popitem(last=False)
        found.views()
        return found

    def hold(self, weights: Mapping[str, Place], statistics: Mapping[str, Place]) -> None:
        """Makes the tensors of these places at least as large as they say."""
        for place in weights.values():
            self._grow(self.weights, place, self._initial)
            self._grow(self.momenta, place, lambda _, shape: torch.zeros(shape))
        for place in statistics.values():
            self._grow(self.statistics, place, self._initial)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by 'weight/…', 'momentum/…' and 'statistic/…', contiguous; themselves where they are."""
        groups = zip(_GROUPS, (self.weights, self.momenta, self.statistics), strict=True)
        return {f"{group}/{key}": tensor.contiguous() for group, held in groups for key, tensor in held.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Makes copies of tensors, named as `tensors` names them, all that the bank has.

        Raises:
            OptionError: a name that no tensor of a bank has, or a weight without its momentum; the bank stays as it was.
        """
        groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
        for name, tensor in tensors.items():
            group, _, key = name.partition("/")
            if group not in groups:
                raise OptionError(f"a tensor of shared weights is named {name!r}; accepted are names that begin with {', '.join(_GROUPS)}")
            groups[group][key] = self._placed(tensor.detach().clone())
        weights, momenta = ({key: tensor.shape for key, tensor in groups[group].items()} for group in ("weight", "momentum"))
        if weights != momenta:
            raise OptionError("shared weights and their momenta differ in names or shapes; accepted is what tensors() gave")
        self.weights, self.momenta, self.statistics = (groups[group] for group in _GROUPS)
        self.version += 1

    def _grow(self, held: dict[str, Tensor], place: Place, make: Callable[[Place, tuple[int, ...]], Tensor]) -> None:
        """Replaces a tensor that is missing or too small by one that is made; what was there stays in its first channels."""
        old = held.get(place.key)
        if old is None:
            held[place.key] = self._placed(make(place, place.shape))
        elif any(has < needs for has, needs in zip(old.shape, place.shape, strict=True)):
            grown = self._placed(make(place, tuple(map(max, old.shape, place.shape))))
            first_channels(grown, old.shape).copy_(old)
            held[place.key] = grown
        else:
            return
        self.version += 1

    def _placed(self, tensor: Tensor) -> Tensor:
        of_images = tensor.dim() == 4
        return tensor.to(self._device, memory_format=self._memory_format if of_images else torch.preserve_format)

    def _initial(self, place: Place, shape: tuple[int, ...]) -> Tensor:
        """What a tensor of a place is at first, on the CPU."""
        if place.fill in ("ones", "zeros"):
            return torch.full(shape, float(place.fill == "ones"))
        weight = torch.empty(shape)
        digest = hashlib.sha256(f"{self._seed}/{place.key}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
        if place.fill == "linear":
            initialise_linear(weight, generator)
        else:
            initialise_kernel(weight, place.groups or shape[0], generator)
        return weight


class Candidate:
    """A network over the weights of a bank.

    Args:
        bank: has the weights.
        network: on the meta device.
    """

    def __init__(self, bank: Bank, network: Network) -> None:
        self.network = network
        """Without storage: `torch.func.functional_call` gives it tensors."""
        self._bank = bank
        self._places = places(network)
        self._views: tuple[dict[str, Tensor], ...] = ()
        self._version = -1

    @property
    def places(self) -> dict[str, str]:
        """The key of every parameter's place in the bank, by the names of parameters."""
        return {name: place.key for name, place in self._places.weights.items()}

    def weights(self) -> dict[str, Tensor]:
        """By the names of parameters: views of the bank's first channels; never to be made to require a gradient."""
        return dict(self.views()[0])

    def momenta(self) -> dict[str, Tensor]:
        """Likewise views of the momenta."""
        return dict(self.views()[1])

    def statistics(self) -> dict[str, Tensor]:
        """By the names of buffers: copies of the first channels of the bank's statistics."""
        return {name: view.clone() for name, view in self.views()[2].items()}

    @torch.no_grad()
    def write(self, weights: Mapping[str, Tensor], momenta: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> None:
        """Stores new values, by those names, in the bank."""
        for views, values in zip(self.views(), (weights, momenta, statistics), strict=True):
            if values:
                torch._foreach_copy_([views[name] for name in values], list(values.values()))

    def views(self) -> tuple[dict[str, Tensor], ...]:
        """Of weights, momenta and statistics: views of the bank's tensors as they stand now; the bank grows where it has too little."""
        if self._version != self._bank.version:
            of, bank = self._places, self._bank
            bank.hold(of.weights, of.statistics)
            both = ((bank.weights, of.weights), (bank.momenta, of.weights), (bank.statistics, of.statistics))
            self._views = tuple({name: first_channels(held[p.key], p.shape) for name, p in wanted.items()} for held, wanted in both)
            self._version = bank.version
        return self._views


def first_channels(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The view of a shape at the beginning of every dimension."""
    return tensor[tuple(slice(size) for size in shape)]


def _without_storage(layers: Layer, image_shape: tuple[int, int, int], n_classes: int) -> Network:
    """A network on the meta device, in training mode; its normalisations do not count batches, which no two candidates would share."""
    with torch.device("meta"):
        network = Network(layers, image_shape=image_shape, n_classes=n_classes, generator=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    return network.requires_grad_(requires_grad=False)
