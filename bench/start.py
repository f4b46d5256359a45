"""How long the commands take to start: `--help` and `status` of a study of 65 evaluations; target under 0.5 s each."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import machine, search

REPETITIONS = 15


def seconds(*arguments: str) -> list[float]:
    """Wall seconds of so many starts."""
    taken = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bohb_nas", *arguments], check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        search(study, "--space", "toy", "--worker", "toy", "--method", "hyperband", "--brackets", "4")
        print(f"start of a command, wall seconds, n = {REPETITIONS}; {machine()}")
        for arguments in (["--help"], ["status", str(study)], ["status", str(study), "--json"], ["best", str(study)]):
            taken = seconds(*arguments)
            name = " ".join(a for a in arguments if a != str(study))
            print(f"  {name:14} min {min(taken):.3f}, median {statistics.median(taken):.3f}, max {max(taken):.3f}")


if __name__ == "__main__":
    main()
