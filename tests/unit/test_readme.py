"""The README's programs run as they stand."""

import re
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
