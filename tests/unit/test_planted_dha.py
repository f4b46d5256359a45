"""The planted task can be solved by one operator alone, and DHA finds it."""

import sys
from pathlib import Path

import pytest
import torch

from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from planted_dha import PLANTED, by_chance, live, planted_share, run, search, skeleton, stripes

from bohb_nas.training.networks import Network


def test_random_cells_by_hand() -> None:
    """Node 3 without the edge from node 2 has three operators on paths, with it five; each is the planted one in a quarter of cells."""
    three, five = 1 - 0.75**3, 1 - 0.75**5
    assert by_chance() == pytest.approx(((three + 2 * five) / 3, 1 / 4))


def test_operators_that_lead_nowhere_do_not_count() -> None:
    operators = dict.fromkeys(cells.EDGES, "none") | {(0, 1): PLANTED, (0, 2): "skip_connect", (1, 2): PLANTED}
    chosen = {**operators, (0, 3): "skip_connect", (1, 3): "avg_pool_3x3"}
    assert sorted(live(chosen)) == sorted(["skip_connect", "avg_pool_3x3", PLANTED])
    assert planted_share(chosen) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("operator", "sees"), [(o, o == PLANTED) for o in cells.OPERATORS[1:]])
def test_no_other_operator_sees_which_way_stripes_lie(operator: str, sees: bool) -> None:
    """Images and the same transposed get the same logits."""
    operators = dict.fromkeys(cells.EDGES, operator)
    layers = skeleton(lambda channels: cells.cell(operators, channels, normalised=True))
    network = Network(layers, image_shape=(8, 8, 1), n_classes=2, generator=torch.Generator().manual_seed(0))
    images = stripes(64, 0).images.float() / 100 - 1.27
    with torch.no_grad():
        out, transposed = network(images), network(images.transpose(2, 3))
    assert torch.allclose(out, transposed, atol=1e-4) != sees


@pytest.mark.slow
def test_the_planted_operator_is_found() -> None:
    found = [run(search(Dha(), seed), 600) for seed in range(3)]
    assert sum(PLANTED in live(end.operators) for end in found) >= 2
    assert sum(planted_share(end.operators) for end in found) / 3 > 0.35
    assert sum(end.error < 0.05 for end in found) >= 2
