"""Kernels that might take the place of cuDNN's for depthwise convolutions, beside torch's in double precision."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from gpu_depthwise import Launch, convolve

from bohb_nas.training.networks.depthwise import Depthwise

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Of the largest number."""
FEW = Launch(strips=8, channels=16, programs=4)
"""So that programs are several, and have several rounds."""


@pytest.fixture
def _interpreted() -> None:
    """Triton's interpreter runs the kernels on tensors of the processor (see conftest.py)."""
    pytest.importorskip("triton", minversion="3.6")  # the interpreter of 3.5 does not know numpy 2.4; its compiler does the same
    if torch.cuda.is_available():
        pytest.skip("the interpreter is for machines without a GPU")


def drawn(*shape: int) -> Tensor:
    """Channels last."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=torch.channels_last)


def layer(channels: int, kernel: int, stride: int) -> Depthwise:
    """With weights of its own."""
    made = Depthwise(channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels, bias=False)
    with torch.no_grad():
        made.weight.copy_(drawn(*made.weight.shape))
    return made


def compare(convolution: Depthwise, x: Tensor, launch: Launch) -> None:
    """Output and gradients beside torch's in double precision."""
    out = convolve(convolution, x, launch)
    images, weight = (tensor.detach().double().requires_grad_() for tensor in (x, convolution.weight))
    expected = functional.conv2d(images, weight, None, convolution.stride, convolution.padding, groups=len(weight))
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    out.backward(direction)  # type: ignore[no-untyped-call]
    expected.backward(direction.double())  # type: ignore[no-untyped-call]
    assert out.dtype == x.dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
    for found, wanted in ((out, expected), (x.grad, images.grad), (convolution.weight.grad, weight.grad)):
        assert found is not None
        assert wanted is not None
        assert (found.double() - wanted).abs().max() <= TOLERANCE[x.dtype] * wanted.abs().max()


@pytest.mark.usefixtures("_interpreted")
@pytest.mark.parametrize("kernel", [2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(("channels", "side"), [(8, (9, 12)), (40, (3, 5)), (6, (1, 1)), (3, (8, 2))])
def test_kernels_do_what_torch_does(kernel: int, stride: int, channels: int, side: tuple[int, int]) -> None:
    compare(layer(channels, kernel, stride), drawn(3, channels, *side).requires_grad_(), FEW)


@pytest.mark.usefixtures("_interpreted")
def test_kernels_take_other_layouts_and_numbers() -> None:
    """Rows of pixels that lie in line, and bf16 that the weights are not."""
    compare(layer(8, 3, 1), drawn(2, 8, 6, 6).contiguous().bfloat16().requires_grad_(), FEW)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)])
@pytest.mark.parametrize("shape", [(64, 24, 32, 32), (100, 144, 9, 13), (32, 22, 16, 16), (2, 640, 2, 2)])
def test_a_gpu_does_what_torch_does(shape: tuple[int, int, int, int], kernel: int, stride: int, kind: torch.dtype) -> None:
    compare(layer(shape[1], kernel, stride).cuda(), drawn(*shape).to("cuda", kind).requires_grad_(), Launch())
