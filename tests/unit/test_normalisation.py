"""The normalisation's own kernels beside torch's batch normalisation in double precision: on a processor by Triton's interpreter."""

import importlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import training_fakes as fakes
from torch import Tensor, nn
from torch.nn import functional

from bohb_nas.training import learner
from bohb_nas.training.device import Compute
from bohb_nas.training.networks import Network, depthwise_on_gpu, normalisation, own_kernels
from bohb_nas.training.networks.depthwise import Depthwise
from bohb_nas.training.networks.normalisation import Activation, Norm, normalise
from bohb_nas.training.networks.own_kernels import _tried, refusal, run_on
from bohb_nas.workers import _measures

ACTIVATIONS = {"none": lambda x: x, "relu": functional.relu, "relu6": functional.relu6}


@pytest.fixture
def interpreted() -> ModuleType:
    """The kernels as Triton's interpreter runs them, on tensors of the processor (see conftest.py)."""
    pytest.importorskip("triton", minversion="3.6")  # the interpreter of 3.5 does not know numpy 2.4; its compiler does the same
    if torch.cuda.is_available():
        pytest.skip("the interpreter is for machines without a GPU")
    return importlib.import_module("bohb_nas.training.networks.kernels")


def drawn(channels: int, activation: Activation) -> tuple[Norm, nn.BatchNorm2d]:
    """A normalisation with weights and statistics of its own, and torch's with the same in double precision."""
    generator = torch.Generator().manual_seed(channels)
    norm, reference = Norm(channels, activation), nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.copy_(torch.rand(channels, generator=generator) + 0.5)
    reference.load_state_dict(norm.state_dict())
    return norm, reference.double()


def images(shape: tuple[int, int, int, int], *, mean: float = 3.0) -> Tensor:
    """Channels last, far from zero in the mean."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2 + mean
    return drawn.contiguous(memory_format=torch.channels_last)


def compare(norm: Norm, reference: nn.BatchNorm2d, x: Tensor, out: Tensor, *, tolerance: float) -> None:
    """Outputs, gradients and statistics beside the reference's."""
    expected_x = x.detach().double().requires_grad_()
    expected = ACTIVATIONS[norm.activation](reference(expected_x))
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    out.backward(direction)  # type: ignore[no-untyped-call]
    expected.backward(direction.double())
    assert out.dtype == x.dtype
    pairs = {
        "out": (out, expected),
        "gradient of the input": (x.grad, expected_x.grad),
        "gradient of the weight": (norm.weight.grad, reference.weight.grad),
        "gradient of the bias": (norm.bias.grad, reference.bias.grad),
        "running mean": (norm.running_mean, reference.running_mean),
        "running variance": (norm.running_var, reference.running_var),
    }
    for name, (found, wanted) in pairs.items():
        assert found is not None
        assert wanted is not None
        assert (found.double() - wanted).norm() <= tolerance * wanted.norm(), name
    assert norm.num_batches_tracked == reference.num_batches_tracked


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("channels", [1, 3, 8, 22, 24, 40])
def test_kernels_do_what_torch_does(interpreted: ModuleType, channels: int, activation: Activation) -> None:
    norm, reference = drawn(channels, activation)
    x = images((5, channels, 9, 7)).requires_grad_()
    compare(norm, reference, x, normalise(norm, x), tolerance=2e-6)


def test_kernels_on_more_rows_than_a_program_takes(interpreted: ModuleType) -> None:
    norm, reference = drawn(8, "relu")
    x = images((9, 8, 10, 10)).requires_grad_()  # 900 rows
    compare(norm, reference, x, normalise(norm, x), tolerance=2e-6)


def test_kernels_add_the_parts_of_many_programs(interpreted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalisation, "_ROWS", 4)
    monkeypatch.setattr(normalisation, "_PARTS", 8)
    norm, reference = drawn(40, "relu")
    x = images((3, 40, 8, 7)).requires_grad_()  # 168 rows: 42 programs, whose parts are added in 6 times 8
    compare(norm, reference, x, normalise(norm, x), tolerance=2e-6)


def test_kernels_in_bf16(interpreted: ModuleType) -> None:
    norm, reference = drawn(24, "relu")
    x = images((4, 24, 8, 8)).bfloat16().requires_grad_()
    compare(norm, reference, x, normalise(norm, x), tolerance=5e-3)


def test_a_mean_far_from_zero_costs_no_digits(interpreted: ModuleType) -> None:
    """The deviation is 1/500 of the mean: from plain sums of squares in fp32 the variance would have no more than a digit."""
    norm, reference = drawn(8, "none")
    x = images((4, 8, 8, 8), mean=1000.0)
    expected = reference(x.double())
    assert (normalise(norm, x).double() - expected).norm() <= 1e-3 * expected.norm()


def test_images_in_another_layout_give_the_same(interpreted: ModuleType) -> None:
    x = images((4, 8, 6, 6))
    outs = [normalise(drawn(8, "relu")[0], form) for form in (x, x.contiguous(), x.transpose(2, 3).clone().transpose(2, 3))]
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], outs[2])


def test_kernels_hide_no_number_that_is_none(interpreted: ModuleType) -> None:
    x = images((2, 8, 4, 4))
    x[0, 3, 0, 0] = float("nan")
    out = normalise(drawn(8, "relu6")[0], x)
    assert out[:, 3].isnan().all()
    assert not out[:, :3].isnan().any()


COMPILED = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from bohb_nas.training.networks import kernels

SIZES = {"ROWS": 256, "CHANNELS": 32, "VEC": int(sys.argv[2])}
TYPES = {name: "*fp32" for name in ("parts", "weight", "bias", "affine", "sums", "running_mean", "running_var")}
TYPES |= {name: "*" + sys.argv[1] for name in ("x", "out", "gradient")} | {"n_batches": "*i64"}
TYPES |= {name: "fp32" for name in ("low", "high", "momentum", "eps")} | {name: "constexpr" for name in (*SIZES, "PARTS")}
for name in ("statistics", "normalise", "gradient_sums", "gradient_of_input"):
    kernel = getattr(kernels, name)
    constants = {k: v for k, v in (SIZES | {"PARTS": 128}).items() if k in kernel.arg_names}
    source = ASTSource(kernel, {k: TYPES.get(k, "i32") for k in kernel.arg_names}, constexprs=constants)
    print(name, len(compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8}).asm["cubin"]))
"""


@pytest.mark.parametrize(("kind", "vec"), [("bf16", 8), ("fp32", 1)])
def test_kernels_compile_for_a_gpu_where_there_is_none(kind: str, vec: int, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILED, kind, str(vec)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = dict(line.split() for line in done.stdout.splitlines())
    assert set(made) == {"statistics", "normalise", "gradient_sums", "gradient_of_input"}
    assert all(int(size) > 1000 for size in made.values())


def test_nothing_is_differentiated_twice(interpreted: ModuleType) -> None:
    """The kernels leave no history: a second derivative through them would be wrong without a word."""
    x = images((2, 8, 4, 4)).requires_grad_()
    (gradient,) = torch.autograd.grad(normalise(drawn(8, "relu")[0], x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


def test_a_normalisation_that_counts_no_batches(interpreted: ModuleType) -> None:
    norm, reference = drawn(8, "relu")
    norm.num_batches_tracked = None
    x = images((2, 8, 4, 4))
    torch.testing.assert_close(normalise(norm, x).double(), functional.relu(reference(x.double())), rtol=1e-5, atol=1e-5)


def test_one_pixel_has_no_variance(interpreted: ModuleType) -> None:
    with pytest.raises(ValueError, match="one pixel, and no variance"):
        normalise(Norm(8), torch.zeros(1, 8, 1, 1))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_the_layer_is_a_normalisation_and_its_activation(activation: Activation, training: bool) -> None:
    norm, reference = drawn(8, activation)
    norm.train(training)
    reference.train(training)
    x = images((2, 8, 4, 4))
    torch.testing.assert_close(norm(x).double(), ACTIVATIONS[activation](reference(x.double())), rtol=1e-5, atol=1e-5)
    assert norm.state_dict().keys() == reference.state_dict().keys()


@pytest.mark.parametrize("shape", [(4, 8, 3, 3), (4, 5, 3), (4, 5, 3, 3, 3)])
def test_images_of_another_shape_are_refused(interpreted: ModuleType, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"accepted are \[N, 5, H, W\]"):
        normalise(Norm(5), torch.zeros(shape))


def test_a_processor_has_no_kernels_and_misses_none() -> None:
    assert not run_on(torch.device("cpu"))
    assert refusal(torch.device("cpu")) is None


@pytest.mark.parametrize("broken", [[normalisation, depthwise_on_gpu], [depthwise_on_gpu]])
def test_kernels_that_do_not_run_cost_a_gpu_nothing_else(monkeypatch: pytest.MonkeyPatch, broken: list[ModuleType]) -> None:
    """A machine with Triton and without what it needs: a processor stands for its GPU."""

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(f"Failed to find C compiler.\nIt was needed for {name}.")

    for module in broken:
        monkeypatch.setattr(module, "_kernels", Broken)
    monkeypatch.setattr(own_kernels, "run_on", lambda device: _tried.__wrapped__(device) is None)
    assert _tried.__wrapped__(torch.device("cpu")) == "Failed to find C compiler."
    norm, reference = drawn(8, "relu")
    x = images((2, 8, 4, 4))
    torch.testing.assert_close(norm(x).double(), functional.relu(reference(x.double())), rtol=1e-5, atol=1e-5)
    convolution = Depthwise(8, 8, 3, groups=8, bias=False)
    torch.testing.assert_close(convolution(x), functional.conv2d(x, convolution.weight, groups=8))


def test_a_shortage_of_memory_is_no_reason_against_the_kernels(interpreted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor stands for a GPU that was full when it was asked first, and is not any more."""

    class Full:
        def __getattr__(self, name: str) -> object:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    device, found = torch.device("cpu"), cache(_tried.__wrapped__)
    monkeypatch.setattr(normalisation, "_kernels", Full)
    with pytest.raises(torch.OutOfMemoryError):
        found(device)
    monkeypatch.setattr(normalisation, "_kernels", lambda: interpreted)
    assert found(device) is None


def test_the_kernels_are_tried_before_there_is_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()

    def built(*parts: Any, **named: Any) -> Network:
        told.append("built")
        return Network(*parts, **named)

    monkeypatch.setattr(own_kernels, "refusal", lambda device: told.append(f"tried on {device}"))
    monkeypatch.setattr(learner, "Network", built)
    fakes.learner()
    assert told == ["tried on cpu", "built"]


@pytest.mark.parametrize(
    ("device", "refused", "compiled", "told"),
    [
        ("cpu", "no compiler", False, (False, None)),
        ("cuda", None, False, (True, None)),
        ("cuda", None, True, (False, None)),
        ("cuda", "no compiler", False, (False, "no compiler")),
    ],
)
def test_results_tell_whose_kernels_were_taken(
    monkeypatch: pytest.MonkeyPatch, device: str, refused: str | None, *, compiled: bool, told: tuple[bool, str | None]
) -> None:
    monkeypatch.setattr(own_kernels, "_tried", lambda _: refused)
    found = _measures.kernels(Compute(device=torch.device(device), precision="fp32"), compiled=compiled)
    assert (found["own_kernels"], found["own_kernels_refused"]) == told


def test_kernels_that_run_are_taken(interpreted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Norm] = []
    with torch.no_grad():  # whoever asks first
        assert _tried.__wrapped__(torch.device("cpu")) is None
    monkeypatch.setattr(own_kernels, "run_on", lambda _: True)
    monkeypatch.setattr(normalisation, "_kernels", lambda: interpreted)
    monkeypatch.setattr(normalisation, "normalise", lambda norm, x: [x, taken.append(norm)][0])  # type: ignore[func-returns-value]
    norm, x = Norm(8), images((2, 8, 4, 4))
    norm(x)
    norm(x.bfloat16())
    assert len(taken) == 2
    norm.double()(x.double())
    norm.float().eval()(x)
    assert len(taken) == 2, "neither in double precision nor in evaluation"


@pytest.mark.gpu
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("shape", "worse"),
    [
        ((64, 24, 32, 32), 1),
        ((128, 13, 16, 16), 1),
        ((256, 160, 8, 8), 1),
        ((2, 640, 1, 1), 10),
    ],  # torch's is 2.6e-5 off for two pixels in fp32
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-3)])
def test_a_gpu_does_what_torch_does(
    shape: tuple[int, int, int, int], worse: float, activation: Activation, dtype: torch.dtype, tolerance: float
) -> None:
    norm, reference = drawn(shape[1], activation)
    norm.cuda()
    reference.cuda()
    x = images(shape).to("cuda", dtype).requires_grad_()
    assert run_on(x.device)
    compare(norm, reference, x, norm(x), tolerance=worse * tolerance)


@pytest.mark.gpu
def test_a_gpu_gives_equal_bits() -> None:
    x = images((128, 64, 32, 32)).cuda().bfloat16()
    outs = [drawn(64, "relu")[0].cuda()(x) for _ in range(3)]
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], outs[2])
