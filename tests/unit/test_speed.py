"""Floors by hand, and peaks of a device whose clock the test moves."""

import weakref
from typing import Any

import pytest
import torch
import training_fakes as fakes

from bohb_nas.training.device import Compute
from bohb_nas.training.peak import Peak, measure
from bohb_nas.training.speed import Bound, speed

SIZE = {"flops": 1e6, "first_flops": 2e5, "activations": 1e4, "kernels": 50.0, "params": 1e5}
PEAK = Peak(flops=1e9, bytes=1e9, launch_s=1e-5, replay_s=1e-9)


@pytest.mark.parametrize(
    ("peak", "floor_s", "bound"),
    [
        (PEAK, 0.28, "compute"),  # 100 images x 2.8e6 FLOPs at 1e9
        (Peak(flops=1e12, bytes=1e8, launch_s=1e-5, replay_s=1e-9), 0.152, "bytes"),  # (100 x 1e4 x 2 x 6 + 1e5 x 4 x 8) bytes at 1e8
        (Peak(flops=1e12, bytes=1e12, launch_s=1e-3, replay_s=1e-9), 0.15, "launches"),  # 150 kernels of 1 ms
    ],
)
def test_the_floor_is_the_largest_of_three_times(peak: Peak, floor_s: float, bound: Bound) -> None:
    found = speed(SIZE, batch_size=100, step_s=0.5, element_bytes=2, peak=peak, replayed=False)
    assert found.floor_s == pytest.approx(floor_s)
    assert found.bound == bound
    assert found.efficiency == pytest.approx(floor_s / 0.5)
    assert found.images_per_s == pytest.approx(200)
    assert found.mfu == pytest.approx(100 * 2.8e6 / 0.5 / peak.flops)


def test_a_replayed_step_starts_its_kernels_as_a_recording_does() -> None:
    peak = Peak(flops=1e12, bytes=1e12, launch_s=1e-3, replay_s=1e-4)
    found = speed(SIZE, batch_size=100, step_s=0.5, element_bytes=2, peak=peak, replayed=True)
    assert (found.bound, round(found.floor_s, 9)) == ("launches", 0.015)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_peak_is_work_over_time(precision: str) -> None:
    """With a clock that moves by 3 ms a reading, each queue of n pieces of work takes 3 ms / n a piece."""
    readings = iter(0.003 * i for i in range(10_000))
    found = measure(Compute(device=torch.device("cpu"), precision=precision), now=lambda: next(readings))  # type: ignore[arg-type]
    each_s = 0.003 / 10  # the first three took 1 ms each, so ten fill 10 ms
    assert found.launch_s == found.replay_s == pytest.approx(each_s)
    assert found.flops == pytest.approx(2 * 1024**3 / each_s)
    assert found.bytes == pytest.approx(2 * 2**26 / each_s)


@pytest.mark.parametrize(("free_mib", "side", "mib"), [(200, 4096, 64), (70, 2048, 32)])
def test_a_peak_is_measured_with_what_memory_holds(monkeypatch: pytest.MonkeyPatch, free_mib: int, side: int, mib: int) -> None:
    """Of a queueing device in fp32: three matrices of side 4096 take 192 MiB, of 2048 48 MiB; two buffers of as many MiB twice that."""
    readings, taken = iter(0.003 * i for i in range(10_000)), list[weakref.ref[torch.Tensor]]()

    own = torch.empty

    def limited(*size: Any, dtype: torch.dtype = torch.float32, **_: object) -> torch.Tensor:
        tensor = own(*size, dtype=dtype, device="meta")
        taken.append(weakref.ref(tensor))
        if sum(living.nbytes for reference in taken if (living := reference()) is not None) > free_mib * 2**20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tensor

    for name in ("randn", "empty", "zeros"):
        monkeypatch.setattr(torch, name, limited)
    monkeypatch.setattr(torch, "empty_like", lambda tensor: limited(tensor.shape, dtype=tensor.dtype))
    monkeypatch.setattr(torch, "mm", lambda a, b, out: out)
    found = measure(fakes.Queueing(device=torch.device("cpu"), precision="fp32"), now=lambda: next(readings))
    assert found.flops == pytest.approx(2 * side**3 / 0.0003)
    assert found.bytes == pytest.approx(2 * mib * 2**20 / 0.0003)


@pytest.mark.parametrize("convolutions", [True, False])
def test_the_peak_of_fp32_is_measured_in_the_arithmetic_of_convolutions(monkeypatch: pytest.MonkeyPatch, *, convolutions: bool) -> None:
    """Where cuDNN rounds to TF32, products that do not are no peak: an A100 multiplies 8 times as fast with it (156 to 19.5 TFLOP/s)."""
    matmul, seen, own = torch.backends.cuda.matmul, set[bool](), torch.mm
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", convolutions)

    def looked(*parts: torch.Tensor, **named: Any) -> torch.Tensor:
        seen.add(matmul.allow_tf32)
        return own(*parts, **named)

    monkeypatch.setattr(torch, "mm", looked)
    before = matmul.allow_tf32
    measure(fakes.CPU)
    assert seen == {convolutions}
    assert matmul.allow_tf32 is before


def test_the_peak_of_this_machine_is_that_of_a_computer() -> None:
    found = measure(fakes.CPU)
    assert 1e8 < found.flops < 1e14
    assert 1e7 < found.bytes < 1e13
    assert 1e-8 < found.launch_s < 1e-2
