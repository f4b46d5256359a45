"""Names of devices that nothing can be trained on."""

from pathlib import Path

import pytest
import torch

from bohb_nas.errors import OptionError
from bohb_nas.training import device
from bohb_nas.training.device import Compute, choose


@pytest.mark.parametrize("name", ["gpu", "cuda:999", "-1", "meta"])
def test_a_device_that_is_none_is_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(OptionError, match=f"device '{name}' cannot be used: .*accepted are cpu, cuda, cuda:N"):
        choose(name)


@pytest.mark.parametrize(
    ("files", "mebibytes"),
    [
        ({"memory.max": "1073741824\n", "memory.current": "1072693248\n", "memory.stat": "anon 1\ninactive_file 629145600\n"}, 601),
        ({"memory.max": "1073741824\n", "memory.current": "1072693248\n", "memory.stat": "anon 1\n"}, 1),
        ({"memory.max": "1073741824\n"}, 1024),
    ],
)
def test_what_a_control_group_leaves_includes_the_files_that_it_keeps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], mebibytes: int
) -> None:
    """By hand: 1 MiB is free of 1 GiB, and 600 MiB are of files that nobody reads any more."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(device, "_GROUP", tmp_path)
    assert Compute(device=torch.device("cpu"), precision="fp32").free_bytes() == mebibytes * 2**20
