"""Names of devices that nothing can be trained on, and devices that do not do what they are asked."""

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
