"""Names of devices that nothing can be trained on, and devices that do not do what they are asked."""

import os
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch

from bohb_nas import spoilt
from bohb_nas.errors import OptionError
from bohb_nas.training import device
from bohb_nas.training.device import Compute, choose


@pytest.mark.parametrize("name", ["gpu", "cuda:999", "-1", "meta", "mps", "hpu"])
def test_a_device_that_is_none_is_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(OptionError, match=f"device '{name}' cannot be used: .*accepted are cpu, cuda, cuda:N") as refused:
        choose(name)
    assert len(str(refused.value)) < 400, "torch may go on for pages"


def test_a_device_that_takes_no_memory_back_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED\nmore")

    monkeypatch.setattr(spoilt, "_why", None)
    monkeypatch.setattr(torch.cuda, "empty_cache", refuse)
    Compute(device=torch.device("cuda"), precision="fp32").release()
    assert spoilt.why() == "the device takes no memory back: captures_underway.empty() INTERNAL ASSERT FAILED"


@pytest.mark.parametrize(("said", "order"), [(None, "PCI_BUS_ID"), ("FASTEST_FIRST", "FASTEST_FIRST")])
def test_gpus_are_numbered_as_nvidia_smi_does_unless_somebody_says_how(
    monkeypatch: pytest.MonkeyPatch, said: str | None, order: str
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", said or "")
    if said is None:
        monkeypatch.delenv("CUDA_DEVICE_ORDER")
    told = list[str | None]()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: told.append(os.environ.get("CUDA_DEVICE_ORDER")))
    choose()
    assert told == [order], "before CUDA is asked anything"


@pytest.mark.parametrize(
    ("given", "why"),
    [("0", AssertionError("Torch not compiled with CUDA enabled")), ("7,0", RuntimeError("No CUDA GPUs are available. Check more"))],
)
def test_a_gpu_that_was_given_and_cannot_be_used_is_no_processor(monkeypatch: pytest.MonkeyPatch, given: str, why: Exception) -> None:
    """As torch says it without CUDA, and of a number that is none."""
    empty = torch.empty

    def ask(*size: int, device: object) -> torch.Tensor:
        if str(device) == "cuda":
            raise why
        return empty(*size, device=str(device))

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    monkeypatch.setattr(torch, "empty", ask)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    with pytest.raises(OptionError, match=rf"\(CUDA_VISIBLE_DEVICES={given}\): {str(why).partition('. ')[0]}; install a torch") as refused:
        choose()
    assert 'CUDA_VISIBLE_DEVICES="" to train on the processor' in str(refused.value)
    assert choose("cpu").device.type == "cpu", "which was named"
    for none in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert choose().device.type == "cpu"


@pytest.mark.parametrize(("named", "precision"), [("cuda:0", "fp32"), ("cuda:1", "bf16")])
def test_the_precision_is_that_of_the_named_gpu(monkeypatch: pytest.MonkeyPatch, named: str, precision: str) -> None:
    """Of two, of which the second multiplies bf16; torch answers for the current one."""
    current = [0]
    monkeypatch.setattr(torch, "empty", lambda *size, device: SimpleNamespace(device=torch.device(device)))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.__setitem__(0, device.index))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: current == [1])
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(device, "first_work", lambda _: None)
    assert choose(named).precision == precision


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Exception, float], None]]:
    """A GPU on which the first kernel that starts raises what is told, with so many GiB free."""
    device.first_work.cache_clear()

    def fails(e: Exception, free_gib: float) -> None:
        def ones(*_: object, **__: object) -> NoReturn:
            raise e

        monkeypatch.setattr(torch, "ones", ones)
        monkeypatch.setattr(Compute, "free_bytes", lambda _: int(free_gib * 2**30))

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch, "empty", lambda *size, device: SimpleNamespace(device=torch.device("cuda:0")))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    yield fails
    device.first_work.cache_clear()


@pytest.mark.parametrize(
    ("why", "free_gib"),
    [
        ("CUDA error: no kernel image is available for execution on the device\nCompile with `TORCH_USE_CUDA_DSA`", 70.0),
        ("CUDA error: no kernel image is available for execution on the device\nCompile with `TORCH_USE_CUDA_DSA`", 0.1),
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", 70.0),  # of a driver that is too old, say
    ],
)
def test_a_gpu_on_which_nothing_can_be_computed_is_refused_with_what_to_do(
    gpu: Callable[[Exception, float], None], why: str, free_gib: float
) -> None:
    gpu(RuntimeError(why), free_gib)
    said = re.escape(why.splitlines()[0])
    with pytest.raises(
        OptionError, match=rf"cannot use the GPU that it was given .*: {said}; install a torch with CUDA that .* built for this GPU"
    ):
        choose()
    with pytest.raises(OptionError, match=rf"device 'cuda:0' cannot be used: {said}; accepted are .* that this torch was built for"):
        choose("cuda:0")


@pytest.mark.parametrize(
    "why",
    [
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB"),
    ],
)
def test_a_gpu_that_others_fill_is_not_refused(gpu: Callable[[Exception, float], None], why: Exception) -> None:
    gpu(why, 0.05)
    assert choose().device == torch.device("cuda:0")


def test_the_first_work_multiplies_in_both_passes_and_draws_nothing() -> None:
    before = torch.get_rng_state()
    with torch.profiler.profile() as seen, torch.no_grad():
        device.first_work.__wrapped__(torch.device("cpu"))
    n = {event.key: event.count for event in seen.key_averages()}
    assert (n["aten::convolution"], n["aten::convolution_backward"], n["aten::mm"]) == (1, 1, 3)
    assert torch.equal(torch.get_rng_state(), before)
