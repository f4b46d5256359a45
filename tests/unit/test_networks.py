import random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bohb_nas.search_spaces import joint, zela2018
from bohb_nas.search_spaces._multi_branch import Architecture, architecture
from bohb_nas.training.networks import MultiBranch, build
from bohb_nas.training.networks.multi_branch import Block


def network(*, branches: int = 2, death_rate: float = 0.0, seed: int = 0) -> MultiBranch:
    shape = Architecture(stem=4, widths=(4, 8, 8), blocks=(1, 1, 1), branches=(branches,) * 3, death_rate=death_rate)
    return build(shape, channels=1, n_classes=5, generator=torch.Generator().manual_seed(seed))


def one_block(*, branches: int, death_rate: float = 0.0) -> Block:
    block = network(branches=branches, death_rate=death_rate).blocks[0].eval()
    assert isinstance(block, Block)
    return block


@pytest.mark.parametrize(("widen", "published"), [(2, 2.9e6), (4, 11.7e6), (6, 26.2e6)])
def test_shake_shake_26_has_the_published_number_of_parameters(widen: int, published: float) -> None:
    config = {f"nr_residual_blocks_{g}": 4 for g in (1, 2, 3)} | {"initial_filters": 16, "widen_factor_1": widen}
    params = zela2018.size(config | {"widen_factor_2": 2.0, "widen_factor_3": 2.0})["params"]
    assert round(params / 1e6, 1) == published / 1e6


@pytest.mark.parametrize("image_shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (65, 64, 3)])
@pytest.mark.parametrize("module", [joint, zela2018])
def test_size_is_that_of_the_built_network(module: object, image_shape: tuple[int, int, int]) -> None:
    space = joint.space() if module is joint else zela2018.space()
    space.seed(sum(image_shape))
    height, width, channels = image_shape
    tried = 0
    while tried < 3:
        config = dict(space.sample_configuration())
        expected = joint.size(config, image_shape=image_shape, n_classes=7)
        if expected["params"] > 1e6 or expected["flops"] > 5e8:
            continue
        tried += 1
        built = build(architecture(config), channels=channels, n_classes=7, generator=torch.Generator()).eval()
        assert sum(p.numel() for p in built.parameters()) == expected["params"]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            built(torch.zeros(1, channels, height, width))
        assert counter.get_total_flops() == expected["flops"]


def test_branches_are_averaged_without_noise() -> None:
    block = one_block(branches=3)
    x = torch.randn(2, 4, 8, 8)
    outs = [branch(x.relu()) for branch in block.branches]
    torch.testing.assert_close(block(x, None), x + torch.stack(outs).mean(0))


@pytest.mark.parametrize(("branches", "death_rate"), [(2, 0.0), (3, 0.0), (1, 0.4)])
def test_noise_leaves_the_expectation(branches: int, death_rate: float) -> None:
    block = one_block(branches=branches, death_rate=death_rate)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 4, 4, generator=generator)
    rows = 3 if branches == 1 else 2 * branches
    with torch.no_grad():
        outs = torch.stack([block(x, torch.rand(rows, 1, generator=generator)) for _ in range(1000)])
        error = (outs.mean(0) - block(x, None)) / (outs.std(0) / 1000**0.5 + 1e-6)
    assert error.abs().max() < 5


def test_backward_weights_are_drawn_apart_from_forward_weights() -> None:
    block = one_block(branches=2)
    x = torch.randn(2, 4, 4, 4)
    noise = torch.tensor([[0.1, 0.9], [0.7, 0.3], [0.8, 0.2], [0.4, 0.6]])
    outs: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, out: torch.Tensor) -> None:
        out.retain_grad()
        outs.append(out)

    for branch in block.branches:
        branch.register_forward_hook(keep)
    out = block(x, noise)
    forward, backward = noise[:2].softmax(0)[..., None, None, None], noise[2:].softmax(0)[..., None, None, None]
    torch.testing.assert_close(out, x + forward[0] * outs[0] + forward[1] * outs[1])
    out.sum().backward()
    for branch_out, weight in zip(outs, backward, strict=True):
        torch.testing.assert_close(branch_out.grad, weight.expand(2, 4, 4, 4))


@pytest.mark.parametrize(("gate", "factor"), [(0.6, 1.0), (0.3, 2 * 0.25 - 1)])
def test_shake_drop_has_one_gate_for_the_whole_batch(gate: float, factor: float) -> None:
    block = one_block(branches=1, death_rate=0.5)
    x = torch.randn(2, 4, 4, 4)
    noise = torch.tensor([[gate, 0.99], [0.25, 0.25], [0.5, 0.5]])
    branch = block.branches[0](x.relu())
    torch.testing.assert_close(block(x, noise), x + factor * branch)


def test_statistics_move_once_a_step() -> None:
    whole = network(branches=2).train()
    whole(torch.randn(4, 1, 8, 8), whole.noise(4, torch.Generator()))
    assert {int(count) for name, count in whole.state_dict().items() if name.endswith("num_batches_tracked")} == {1}


def test_initial_weights_have_the_published_deviation_and_belong_to_the_seed() -> None:
    name = "blocks.2.branches.0.3.weight"
    weight = network().state_dict()[name]
    assert float(weight.std()) == pytest.approx((2 / (3 * 3 * 8)) ** 0.5, rel=0.1)
    assert torch.equal(weight, network().state_dict()[name])
    assert not torch.equal(weight, network(seed=1).state_dict()[name])


def test_any_image_size_and_a_width_of_one_work() -> None:
    narrow = Architecture(stem=1, widths=(1, 3, 1), blocks=(1, 2, 1), branches=(1, 5, 2), death_rate=0.3)
    built = build(narrow, channels=2, n_classes=4, generator=torch.Generator())
    n = random.Random(0).randint(5, 40)
    assert built(torch.randn(2, 2, n, n), built.noise(2, torch.Generator())).shape == (2, 4)
