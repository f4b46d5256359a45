"""Names of devices that nothing can be trained on, and devices that do not do what they are asked."""

import os

import pytest
import torch

from bohb_nas import spoilt
from bohb_nas.errors import OptionError
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
