"""Depthwise convolutions and means over 3 x 3 pixels beside torch's in double precision."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bohb_nas.training.networks.depthwise import Depthwise
from bohb_nas.training.networks.pooling import Mean3x3, pooling

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Of the largest number."""


def drawn(*shape: int) -> Tensor:
    """Channels last."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last)


def near(found: Tensor | None, expected: Tensor | None, kind: torch.dtype) -> None:
    assert found is not None
    assert expected is not None
    assert (found.double() - expected).abs().max() <= TOLERANCE[kind] * expected.abs().max()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kernel", "stride", "side"),
    [
        *[(kernel, stride, (9, 12)) for kernel in (3, 5, 7) for stride in (1, 2, 3)],
        *[(kernel, stride, side) for kernel in (3, 7) for stride in (1, 2) for side in ((2, 2), (1, 5), (3, 1))],
        (13, 1, (2, 1)),
        (2, 1, (6, 6)),
        (4, 3, (7, 6)),
    ],
)
def test_a_depthwise_convolution_is_torch_s(kernel: int, stride: int, side: tuple[int, int], kind: torch.dtype) -> None:
    channels = 6
    more: dict[str, Any] = {"stride": stride, "padding": kernel // 2, "groups": channels}
    convolution = Depthwise(channels, channels, kernel, bias=False, **more)
    with torch.no_grad():
        convolution.weight.copy_(drawn(*convolution.weight.shape))
    x = drawn(5, channels, *side).requires_grad_()
    with torch.autocast("cpu", kind, enabled=kind is not torch.float32):
        out = convolution(x)
        with torch.no_grad():
            at_rest = convolution(x)
    images, weight = references = [tensor.detach().double().requires_grad_() for tensor in (x, convolution.weight)]
    expected = functional.conv2d(images, weight, None, **more)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(kind)
    out.backward(direction)
    expected.backward(direction.double())  # type: ignore[no-untyped-call]
    assert out.dtype == kind
    assert torch.equal(out, at_rest)
    near(out, expected, kind)
    near(x.grad, references[0].grad, kind)
    near(convolution.weight.grad, references[1].grad, kind)


def test_a_large_batch_is_gone_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of which is smaller: 7 images of 6 x 8 x 8 numbers, two at a time."""
    monkeypatch.setattr("bohb_nas.training.networks.depthwise._AT_ONCE", 2 * 6 * 8 * 8)
    test_a_depthwise_convolution_is_torch_s(5, 2, (8, 8), torch.bfloat16)
    test_a_depthwise_convolution_is_torch_s(5, 1, (8, 8), torch.float32)


def test_the_first_layer_s_images_need_no_gradient() -> None:
    convolution = Depthwise(3, 3, 5, padding=2, groups=3, bias=False)
    x = drawn(2, 3, 6, 6)
    convolution(x).sum().backward()
    weight = convolution.weight.detach().double().requires_grad_()
    functional.conv2d(x.double(), weight, None, padding=2, groups=3).sum().backward()  # type: ignore[no-untyped-call]
    near(convolution.weight.grad, weight.grad, torch.float32)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [(4, 4), (9, 12), (3, 5), (1, 1)])
def test_a_mean_over_3_x_3_pixels_is_torch_s(side: tuple[int, int], kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bohb_nas.training.networks.pooling._LEAST", 0)
    x = drawn(3, 5, *side).to(kind).requires_grad_()
    reference = x.detach().double().requires_grad_()
    with torch.autocast("cpu", kind, enabled=kind is not torch.float32):
        out = Mean3x3()(x)
    expected = functional.avg_pool2d(reference, 3, 1, 1, count_include_pad=False)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(kind)
    out.backward(direction)
    expected.backward(direction.double())  # type: ignore[no-untyped-call]
    assert out.dtype == kind
    near(out, expected, kind)
    near(x.grad, reference.grad, kind)


@pytest.mark.parametrize(
    ("kind", "kernel", "stride"), [("average", 3, 3), ("average", 2, 2), ("average", 5, 1), ("average", 3, 2), ("max", 3, 1)]
)
def test_other_pools_are_torch_s_own(kind: Any, kernel: int, stride: int) -> None:
    assert not isinstance(pooling(kind, kernel, stride), Mean3x3)
