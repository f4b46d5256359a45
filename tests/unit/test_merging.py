"""Merged paths against separate ones, in float64: values, gradients, statistics, state dict."""

from pathlib import Path
from typing import Any, get_args

import pytest
import safetensors.torch
import torch
from torch import Tensor

from bohb_nas import networks
from bohb_nas.layers import Activation, Conv, Dropout, Identity, Layer, Norm, Shake, chain
from bohb_nas.layers.arithmetic import measure
from bohb_nas.training.networks import Form, Network, merge

PATH = chain(Conv(6, 3, 2), Norm(), Activation(), Conv(6), Norm())
WHOLE = networks.network(
    {f"nr_residual_blocks_{g}": 1 for g in (1, 2, 3)} | {"initial_filters": 4, "res_branches_3": 3, "res_branches_1": 1}
)


def built(layers: Layer, form: Form) -> Network:
    generator = torch.Generator().manual_seed(0)
    return merge(Network(layers, image_shape=(8, 8, 3), n_classes=4, generator=generator), form).double().train()


def step(network: Network) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Logits in training and at rest, the gradient of the images; and the state after a step of SGD with momentum."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    out = network(x, network.noise(5, generator).double())
    out.square().sum().backward()
    optimizer.step()
    assert x.grad is not None
    with torch.no_grad():
        return [out.detach(), x.grad, network.eval()(x)], network.state_dict()


def convolutions(network: Network) -> int:
    return sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())


@pytest.mark.parametrize(
    ("layers", "n_convolutions"),
    [
        (Shake((PATH, PATH)), (4, 3, 2)),
        (Shake((PATH, PATH, PATH)), (6, 4, 2)),
        (Shake((chain(Conv(6, 1), Dropout(0.2), Conv(6)), chain(Conv(6, 1), Dropout(0.2), Conv(6)))), (4, 3, 3)),
        (Shake((chain(Conv(6), Activation(), Conv(6)), chain(Conv(6), Activation(), Conv(6)))), (4, 3, 2)),
        (Shake((PATH, chain(Conv(6, 5, 2), Norm()))), (3, 3, 3)),
        (Shake((PATH, chain(Conv(6, 3, 2), Norm()))), (3, 2, 2)),
        (Shake((Identity(), Identity())), (0, 0, 0)),
        (WHOLE, (1 + 2 + (4 + 2) + (6 + 2), 1 + 2 + (3 + 2) + (4 + 2), 1 + 2 + (2 + 2) + (2 + 2))),
    ],
)
def test_merged_paths_are_the_separate_ones(layers: Layer, n_convolutions: tuple[int, int, int]) -> None:
    forms: list[Any] = list(get_args(Form))
    apart, *others = (built(layers, form) for form in forms)
    assert tuple(map(convolutions, (apart, *others))) == n_convolutions
    cost, _ = measure(layers, (3, 8, 8))
    for other in others:
        assert other.state_dict().keys() == apart.state_dict().keys()
        assert all(torch.equal(tensor, apart.state_dict()[name]) for name, tensor in other.state_dict().items())
        assert sum(p.numel() for p in other.body.parameters()) == cost.params
    expected, state = step(apart)
    for other in others:
        found, after = step(other)
        for left, right in zip(found, expected, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)
        for name, tensor in after.items():
            torch.testing.assert_close(tensor, state[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["merged", "grouped"])
def test_the_state_of_a_merged_network_takes_no_memory_of_its_own(form: Form) -> None:
    """It is divided where it lies: a GPU that the training has filled has no room for a copy."""
    network = built(WHOLE, form)
    own, state = [*network.parameters(), *network.buffers()], network.state_dict().values()
    lies, found = ({tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.dim()} for tensors in (own, state))
    assert found == lies, "but for counters"


def test_paths_with_a_stride_beyond_the_image_are_merged_as_well() -> None:
    def made(form: Form) -> Network:
        generator = torch.Generator().manual_seed(0)
        network = Network(Shake((PATH, PATH)), image_shape=(1, 8, 3), n_classes=4, generator=generator)
        return merge(network, form).double().eval()

    x = torch.randn(5, 3, 1, 8, dtype=torch.float64)
    apart, *others = [made(form)(x) for form in get_args(Form)]
    for other in others:
        torch.testing.assert_close(other, apart, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("saved", "loaded"), [("apart", "merged"), ("merged", "grouped"), ("grouped", "apart")])
def test_one_form_loads_what_another_saved(saved: Form, loaded: Form, tmp_path: Path) -> None:
    first = built(WHOLE, saved)
    step(first)
    safetensors.torch.save_file(first.state_dict(), tmp_path / "model.safetensors")
    second = built(WHOLE, loaded)
    second.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(second.eval()(x), first.eval()(x), rtol=1e-9, atol=1e-12)
