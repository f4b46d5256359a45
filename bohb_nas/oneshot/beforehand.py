"""What is known of a search from its data set before it begins: are enough images held out, are networks small enough."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas import networks
from bohb_nas.datasets import Dataset
from bohb_nas.errors import OptionError
from bohb_nas.layers import Layer
from bohb_nas.layers.arithmetic import size
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import AutoHas, Dha, Settings
from bohb_nas.oneshot import hypergradients
from bohb_nas.oneshot.autohas import TRIES, decisions_of
from bohb_nas.oneshot.cell_codes import columns_of
from bohb_nas.oneshot.cell_space import cell_defaults
from bohb_nas.records import Value

_ALL_EDGES = 2
"""Nodes of a cell with so many edges keep them all; others drop one."""


def check(settings: Settings, space: ConfigurationSpace, dataset: Dataset, *, n_valid: int) -> None:
    """Says whether a search that has something to search in a space can be carried out on a data set.

    Args:
        settings: of the search.
        space: what is searched.
        dataset: what on.
        n_valid: images held out.

    Raises:
        OptionError: it cannot.
    """
    n_classes = len(dataset.classes)
    bounds = {"flops": settings.max_flops, "params": settings.max_params}
    most = {name: bound for name, bound in bounds.items() if bound is not None}

    def large(layers: Layer) -> list[str]:
        sizes = size(layers, image_shape=dataset.image_shape, n_classes=n_classes) if most else {}
        return [f"{sizes[name]:g} {name} where {bound:g} are allowed" for name, bound in most.items() if sizes[name] > bound]

    match settings:
        case Dha():
            if settings.hyper_rate > 0:
                hypergradients.enough(n_valid, n_classes=n_classes)
            for layers in _largest(space) if most else ():
                if told := large(layers):
                    raise OptionError(
                        f"the largest network that DHA may find has {', '.join(told)}; "
                        "accepted are larger bounds, or a space of smaller cells"
                    )
        case AutoHas():
            drawn = (networks.network(config) for config in _drawn(settings, space)) if most else ()
            if most and all(large(layers) for layers in drawn):
                allowed = " and ".join(f"{bound:g} {name}" for name, bound in most.items())
                raise OptionError(
                    f"of {TRIES} configurations drawn none has at most {allowed}; "
                    "accepted are larger bounds, or a space of smaller networks"
                )


def _drawn(settings: AutoHas, space: ConfigurationSpace) -> Iterator[Mapping[str, Value]]:
    """Configurations as a controller draws them that has learnt nothing."""
    decisions = decisions_of(settings, space)
    even = {name: np.full(n, 1 / n) for name, n in decisions.sizes.items()}
    rng = np.random.default_rng(0)
    return (decisions.config(decisions.sample(even, rng)) for _ in range(TRIES))


def _largest(space: ConfigurationSpace) -> Iterator[Layer]:
    """Networks of which one is the largest that DHA may find: nodes with the dearest operators on the edges that they keep."""
    defaults = cell_defaults(space)
    dearest = {
        (source, target): max((operator for at, operator in columns if at == source), key=_weight)
        for target, columns in columns_of(space).items()
        for source in {at for at, _ in columns}
    }
    for dropped in (edge for edge in cells.EDGES if edge[1] > _ALL_EDGES):
        operators = {**dearest, dropped: "none"}
        yield cells.skeleton(
            lambda channels, operators=operators: cells.cell(operators, channels, normalised=True),  # type: ignore[misc]
            channels=float(defaults["cell_channels"]),
            repeats=int(defaults["cell_repeats"]),
        )


def _weight(operator: str) -> float:
    """Parameters of an operator, whatever the channels: that of a kernel."""
    kernels = {"nor_conv_3x3": 9.0, "nor_conv_1x1": 1.0}
    return kernels.get(operator, -math.inf if operator == "none" else 0.0)
