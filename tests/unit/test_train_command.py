"""`bohb-nas train`: a table row and a model that the README's script loads."""

import json
import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from bohb_nas.cli import cli

README = Path(__file__).parents[2] / "README.md"


def test_a_configuration_is_trained_tested_and_exported(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"initial_filters": 4, "nr_residual_blocks_1": 1, "nr_residual_blocks_2": 1, "nr_residual_blocks_3": 1}))
    arguments = ["train", str(config), "--budget", "2s", "--seeds", "2", "--dataset", "digits", "--out", str(tmp_path / "study/trained")]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert [row["seed"] for row in figures["rows"]] == [0, 1]
    assert figures["test_error_mean"] < 0.85, "better than a guess among ten"
    assert all(row["n_test"] == 359 for row in figures["rows"])

    script = next(block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "torch.export.load" in block)
    shown = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() in {str(d) for d in range(10)}


def test_a_study_of_another_worker_cannot_be_trained(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["train", str(tmp_path / "absent"), "--budget", "2s"])
    assert done.exit_code == 2
