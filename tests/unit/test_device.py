"""Names of devices that nothing can be trained on."""

import pytest

from bohb_nas.errors import OptionError
from bohb_nas.training.device import choose


@pytest.mark.parametrize("name", ["gpu", "cuda:999", "-1", "meta", "mps", "hpu"])
def test_a_device_that_is_none_is_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(OptionError, match=f"device '{name}' cannot be used: .*accepted are cpu, cuda, cuda:N") as refused:
        choose(name)
    assert len(str(refused.value)) < 400, "torch may go on for pages"
