"""The README's programs run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_library_example_runs(tmp_path: Path) -> None:
    block = next(b for b in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "make_optimizer" in b)
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    x, budget, loss = map(float, re.findall(r"[-+]?[0-9]+\.[0-9e-]+", done.stdout))
    assert budget == 27.0
    assert loss == pytest.approx(x**2 + 1 / 27)
    assert abs(x) < 0.2, "of 100 trials the best at the dearest budget is near the minimum at 0"


def test_no_search_in_the_readme_needs_two_gpus() -> None:
    """More workers than GPUs are refused, and many machines have one."""
    searches = re.findall(r"^\$ bohb-nas run .*", README.read_text(), re.MULTILINE)
    assert len(searches) > 4
    assert [line for line in searches if re.search(r"--workers ([2-9]|1\d)", line)] == []


GPU = "echo 'GPU 0: NVIDIA A100 (UUID: GPU-aaaa)'"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("tool", "given", "workers"),
    [
        (GPU, None, []),
        (GPU, "0", []),
        (GPU, "", ["--workers", "2"]),
        ("echo NVIDIA-SMI has failed; exit 9", None, ["--workers", "2"]),
        (None, None, ["--workers", "2"]),
    ],
    ids=["one GPU", "a GPU that is named", "hidden GPUs", "no driver", "no GPU"],
)
def test_make_run_searches_on_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str | None, given: str | None, workers: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    for name in ("make", "sh"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    if tool is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{tool}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    command = ["make", "--dry-run", "--directory", str(README.parent), "run"]
    done = subprocess.run(command, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (search,) = [line.split() for line in done.stdout.splitlines() if "bohb-nas run" in line]
    assert search[search.index("2m") + 1 :] == workers
