"""The hand-designed networks: sizes as published, configurations that are trained as they are."""

import pytest
import torch

from bohb_nas.baselines import BASELINES, NETWORK, find, network, table
from bohb_nas.errors import OptionError, UsageError
from bohb_nas.layers.arithmetic import size
from bohb_nas.training.networks import Network
from bohb_nas.training.recipe import read

PUBLISHED = {  # millions of parameters, billions of multiplications
    "resnet18": (11.17, 0.56),  # torchvision's stages behind a 3x3 stem
    "shake_shake_26_2x32d": (2.9, None),  # Gastaldi 2017, table 1
    "shake_shake_26_2x64d": (11.7, None),
    "shake_shake_26_2x96d": (26.2, None),
    "wrn_28_10": (36.5, 5.2),  # Zagoruyko and Komodakis 2016, table 4; by hand: 21 of 0.236e9 between equal widths, and eight others
    "airbench96": (9.9, 0.57),  # by hand: nine 3x3 convolutions on 32, 16, 8 and 4 rows, see `differs`
}


def test_sizes_are_the_published_ones() -> None:
    rows = {row["name"]: row for row in table(BASELINES)}
    assert rows.keys() == PUBLISHED.keys()
    for name, (params, multiplications) in PUBLISHED.items():
        assert rows[name]["params"] / 1e6 == pytest.approx(params, rel=0.01), name
        if multiplications is not None:
            assert rows[name]["flops"] / 2e9 == pytest.approx(multiplications, rel=0.02), name


def test_resnet18_has_exactly_its_parameters() -> None:
    """11 173 962: torchvision's 11 689 512, with a stem of 3x3 for 7x7 (-7 680) and 10 classes for 1 000 (-507 870)."""
    assert size(network({"baseline": "resnet18"}))["params"] == 11_689_512 - 7_680 - 507_870


@pytest.mark.parametrize("name", [b.name for b in BASELINES])
@pytest.mark.parametrize("side", [8, 28, 32])
def test_the_worker_reads_every_baseline(name: str, side: int) -> None:
    (baseline,) = find([name])
    layers, recipe = read(baseline.config, network=NETWORK)
    assert size(layers, image_shape=(side, side, 1), n_classes=3)["params"] > 1e6
    assert recipe.crop_padding == 0.125


@pytest.mark.parametrize("name", ["resnet18", "airbench96"])
@pytest.mark.parametrize("side", [8, 32])
def test_what_is_built_is_what_was_counted(name: str, side: int) -> None:
    layers = network({"baseline": name})
    built = Network(layers, image_shape=(side, side, 3), n_classes=10, generator=torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in built.parameters()) == size(layers)["params"]
    built.eval()
    with torch.no_grad():
        assert built(torch.ones(1, 3, side, side)).shape == (1, 10)


def test_the_rate_of_airbench96_is_the_published_one() -> None:
    """9 per batch, over 1 + 1 / (1 - 0.85) = 7.667 that Nesterov's momentum makes of a step; weight decay 0.012 of the weights in all."""
    _, recipe = read(find(["airbench96"])[0].config, network=NETWORK)
    assert recipe.learning_rate == pytest.approx(9 / 7.667, rel=0.01)
    assert recipe.learning_rate * recipe.weight_decay * 7.667 == pytest.approx(0.012, rel=0.01)
    assert recipe.cutout_length * 32 == 12


def test_names_are_found_in_the_order_of_the_catalogue() -> None:
    assert [b.name for b in find(["wrn_28_10", "resnet18"])] == ["resnet18", "wrn_28_10"]
    assert find([]) == BASELINES
    with pytest.raises(UsageError, match="no baseline 'resnet19'; accepted are resnet18"):
        find(["resnet19"])


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(OptionError, match="baseline is 'vgg'; accepted are resnet18, airbench96"):
        network({"baseline": "vgg"})
