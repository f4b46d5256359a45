"""Limits of control groups, in trees made by hand."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from training_fakes import CPU

from bohb_nas.training import control_group
from bohb_nas.training.control_group import around, cores, free_bytes, memory_bytes

SAID = "4:memory:/elsewhere\n0::/system.slice/slurmstepd.scope/job_7/step_0\n"
MIB = 2**20


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_groups_are_ones_own_and_all_above_it(tmp_path: Path) -> None:
    step = tmp_path / "system.slice/slurmstepd.scope/job_7/step_0"
    assert around(tmp_path, SAID) == [step, step.parent, step.parent.parent, tmp_path / "system.slice", tmp_path]
    assert around(tmp_path, "0::/\n") == around(tmp_path, "") == [tmp_path], "a container's own root"
    assert around(tmp_path, "0::/../../job\n") == [tmp_path / "job", tmp_path], "a group outside of the container's root"


@pytest.mark.parametrize(
    ("files", "limit", "free"),
    [
        # 1 MiB is free of 1 GiB, and 600 MiB are of files that nobody reads any more
        ({"memory.max": "1073741824\n", "memory.current": "1072693248\n", "memory.stat": "anon 1\ninactive_file 629145600\n"}, 1024, 601),
        ({"memory.max": "1073741824\n", "memory.current": "1072693248\n", "memory.stat": "anon 1\n"}, 1024, 1),
        ({"memory.max": "1073741824\n"}, 1024, 1024),
    ],
)
@pytest.mark.parametrize("where", [".", "system.slice/slurmstepd.scope/job_7", "system.slice/slurmstepd.scope/job_7/step_0"])
def test_a_limit_holds_wherever_it_lies(tmp_path: Path, where: str, files: dict[str, str], limit: int, free: int) -> None:
    groups = around(tree(tmp_path, {f"{where}/{name}": text for name, text in files.items()}), SAID)
    assert (memory_bytes(groups), free_bytes(groups)) == (limit * MIB, free * MIB)


def test_the_least_counts(tmp_path: Path) -> None:
    """The step may have 4 MiB, all of them free; the job 8 MiB, of which other steps have 6."""
    job = "system.slice/slurmstepd.scope/job_7"
    files = {
        f"{job}/memory.max": str(8 * MIB),
        f"{job}/memory.current": str(6 * MIB),
        f"{job}/memory.stat": "",
        f"{job}/step_0/memory.max": str(4 * MIB),
        f"{job}/step_0/memory.current": "0",
        f"{job}/step_0/memory.stat": "",
        f"{job}/cpu.max": "150000 100000",
        f"{job}/step_0/cpu.max": "max 100000",
        "memory.max": "max",
    }
    groups = around(tree(tmp_path, files), SAID)
    assert (memory_bytes(groups), free_bytes(groups), cores(groups, 8)) == (4 * MIB, 2 * MIB, 2)


@pytest.mark.parametrize(
    ("quota", "allowed"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8)]
)
def test_a_quota_counts_as_cores(tmp_path: Path, quota: str, allowed: int) -> None:
    assert cores([tree(tmp_path, {"cpu.max": quota})], 8) == allowed
    assert cores([tmp_path / "none"], 8) == cores([], 8) == 8


def test_a_device_of_this_host_has_what_its_groups_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"cgroup": SAID, "tree/system.slice/memory.max": str(5 * MIB)}
    monkeypatch.setattr(control_group, "_OWN", tree(tmp_path, files) / "cgroup")
    monkeypatch.setattr(control_group, "_ROOT", tmp_path / "tree")
    assert (CPU.free_bytes(), CPU.total_bytes()) == (5 * MIB, 5 * MIB)
