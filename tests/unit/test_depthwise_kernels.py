"""The kernels of depthwise convolutions beside torch's in double precision: on a processor by Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bohb_nas.training.networks import depthwise_on_gpu, own_kernels
from bohb_nas.training.networks.depthwise import Depthwise
from bohb_nas.training.networks.depthwise_on_gpu import convolve, takes

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Of the largest number."""


@pytest.fixture
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's interpreter runs the kernels on tensors of the processor (see conftest.py), by several programs of several rounds."""
    for name, value in {"_STRIPS": 16, "_CHANNELS": 16, "_PROGRAMS": 4}.items():
        monkeypatch.setattr(depthwise_on_gpu, name, value)
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


def compare(convolution: Depthwise, x: Tensor, out: Tensor) -> None:
    """What came out and its gradients beside torch's in double precision."""
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
@pytest.mark.parametrize(("channels", "side"), [(8, (9, 12)), (24, (3, 5)), (6, (1, 1)), (3, (8, 2))])
def test_kernels_do_what_torch_does(kernel: int, stride: int, channels: int, side: tuple[int, int]) -> None:
    convolution, x = layer(channels, kernel, stride), drawn(3, channels, *side).requires_grad_()
    compare(convolution, x, convolve(x, convolution.weight, stride=stride, padding=kernel // 2))


@pytest.mark.usefixtures("_interpreted")
def test_kernels_take_other_layouts_and_numbers() -> None:
    """Rows of pixels that lie in line, and bf16 that the weights are not."""
    convolution, x = layer(8, 3, 1), drawn(2, 8, 6, 6).contiguous().bfloat16().requires_grad_()
    compare(convolution, x, convolve(x, convolution.weight, stride=1, padding=1))


@pytest.mark.usefixtures("_interpreted")
def test_the_first_layer_s_images_need_no_gradient() -> None:
    convolution, x = layer(6, 5, 2), drawn(3, 6, 7, 7)
    convolve(x, convolution.weight, stride=2, padding=2).sum().backward()  # type: ignore[no-untyped-call]
    weight = convolution.weight.detach().double().requires_grad_()
    functional.conv2d(x.double(), weight, None, 2, 2, groups=6).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(convolution.weight.grad, weight.grad.float() if weight.grad is not None else None)


@pytest.mark.usefixtures("_interpreted")
def test_nothing_is_differentiated_twice() -> None:
    """The kernels leave no history: a second derivative through them would be wrong without a word."""
    x = drawn(2, 8, 4, 4).requires_grad_()
    out = convolve(x, layer(8, 3, 1).weight, stride=1, padding=1)
    (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("_interpreted")
def test_the_kernels_are_taken_where_they_run_and_for_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under autocast and at rest, too; a processor stands for a GPU."""
    monkeypatch.setattr(own_kernels, "run_on", lambda _: True)
    taken: list[tuple[int, int]] = []

    def convolved(x: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
        taken.append((stride, padding))
        return convolve(x, weight, stride=stride, padding=padding)

    monkeypatch.setattr(depthwise_on_gpu, "convolve", convolved)
    x, convolution = drawn(2, 6, 8, 8).requires_grad_(), layer(6, 3, 2)
    compare(convolution, x, convolution(x))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert convolution(x).dtype == torch.bfloat16
    assert taken == [(2, 1), (2, 1)]
    alone: dict[str, Any] = {"groups": 6, "bias": False}
    others = [layer(6, 9, 1), layer(6, 3, 3), layer(6, 3, 1).double(), Depthwise(6, 6, 3, stride=(1, 2), **alone)]
    others += [Depthwise(6, 6, 3, padding=(1, 0), **alone), Depthwise(6, 6, 3, padding="same", **alone)]
    others += [Depthwise(6, 6, 3, dilation=2, **alone), Depthwise(6, 6, 3, groups=6)]
    with torch.no_grad():
        for other in others:
            images, more = x.detach().to(other.weight), {"padding": other.padding, "dilation": other.dilation}
            expected = functional.conv2d(images, other.weight, other.bias, other.stride, groups=6, **more)  # type: ignore[arg-type]
            torch.testing.assert_close(other(images), expected)
    torch.export.export(layer(6, 3, 1), (x.detach(),))
    assert len(taken) == 2, "neither other convolutions and numbers nor programs that torch exports"


def test_numbers_and_devices_that_no_kernel_of_ours_is_for_are_torch_s() -> None:
    convolution, x = layer(6, 3, 1), drawn(2, 6, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert convolution.double()(x.double()).dtype == torch.float64, "autocast leaves it as it is"
    with pytest.raises(RuntimeError, match="type"):
        convolution.float()(x.bfloat16())
    assert convolution.to("meta")(x.to("meta")).shape == (2, 6, 8, 8)


COMPILED = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from bohb_nas.training.networks import depthwise_kernels

K, STRIDE, VEC = map(int, sys.argv[2:])
SIZES = {"K": K, "STRIDE": STRIDE, "PADDING": K // 2, "BEFORE": (K - 1 - K // 2) // STRIDE, "STRIPS": 32, "CHANNELS": 32, "VEC": VEC}
for name in ("convolve", "gradient_of_images", "gradient_of_weights"):
    kernel = getattr(depthwise_kernels, name)
    images = ("x", "gradient", *(("out",) if name != "gradient_of_weights" else ()))
    types = {k: "*" + sys.argv[1] if k in images else "*fp32" if k in ("weights", "parts") else "i32" for k in kernel.arg_names}
    constants = {k: v for k, v in SIZES.items() if k in kernel.arg_names}
    source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    print(name, len(compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4}).asm["cubin"]))
"""


@pytest.mark.parametrize(("kind", "kernel", "stride", "vec"), [("bf16", 3, 1, 8), ("fp32", 5, 2, 1)])
def test_kernels_compile_for_a_gpu_where_there_is_none(kind: str, kernel: int, stride: int, vec: int, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED, kind, *map(str, (kernel, stride, vec))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = dict(line.split() for line in done.stdout.splitlines())
    assert set(made) == {"convolve", "gradient_of_images", "gradient_of_weights"}
    assert all(int(size) > 1000 for size in made.values())


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)])
@pytest.mark.parametrize("shape", [(64, 24, 32, 32), (100, 144, 9, 13), (32, 22, 16, 16), (2, 640, 2, 2)])
def test_a_gpu_does_what_torch_does(shape: tuple[int, int, int, int], kernel: int, stride: int, kind: torch.dtype) -> None:
    convolution, x = layer(shape[1], kernel, stride).cuda(), drawn(*shape).to("cuda", kind).requires_grad_()
    assert takes(convolution, x)
    compare(convolution, x, convolution(x))
