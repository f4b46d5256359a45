"""Small searches of a cell."""

from typing import Any

import torch
import training_fakes as fakes
from ConfigSpace import Categorical, ConfigurationSpace, Constant

from bohb_nas.layers import Activation, Conv, Layer, Norm, chain, named
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.cell_networks import Cells
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material
from bohb_nas.search_spaces.cell import space
from bohb_nas.training.data import ResidentData

CHANNELS = 4
N_CELLS = 2
SPACE = space()


def bare(*more: Any) -> ConfigurationSpace:
    """The edges of a cell, and hardly anything beside them."""
    edges = ConfigurationSpace()
    edges.add(Constant("family", "cell"), *(Categorical(cells.name(edge), cells.OPERATORS) for edge in cells.EDGES), *more)
    return edges


def skeleton(cell: Cells) -> Layer:
    """Two cells between a convolution and a normalisation."""
    whole = {"cell/stem": chain(Conv(CHANNELS), Norm()), "cell/1": cell(CHANNELS), "cell/2": cell(CHANNELS)}
    return named({**whole, "cell/end_norm": Norm(), "cell/end": Activation()})


def material(seed: int = 0, data: ResidentData | None = None) -> Material:
    return Material(data=data or fakes.data(), compute=fakes.CPU, space=SPACE, seed=seed)


def search(seed: int = 0, *, data: ResidentData | None = None, **settings: Any) -> DhaSearch:
    return DhaSearch(Dha(**settings), material(seed, data), skeleton=skeleton)


def run(found: DhaSearch, n: int, *, of: int) -> list[float]:
    """The next n of so many steps; their losses."""
    return [found.step((found.steps + 1) / of, of - found.steps) for _ in range(n)]


def shown(found: DhaSearch) -> torch.Tensor:
    """The images held out, ready for a network."""
    data = found._data
    return found._supply.shown(data.valid)
