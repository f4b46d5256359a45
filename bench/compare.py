"""The three systems and their baselines at equal seconds of the device: `bohb-nas compare` on digits and on CIFAR-10 (JPEG).

`python bench/compare.py digits|cifar [SECONDS [SEEDS]]`; without a name both. Each search has one worker with one thread; finished
searches in bench/results are reused. CIFAR-10 needs BOHB_NAS_DATA, the folder that holds cifar10-jpeg.tar.xz, and is at 16x16.
"""

import os
import subprocess
import sys
from pathlib import Path

from cifar_jpeg import unpacked
from figures import machine

HERE = Path(__file__).parent
METHODS = "bohb,bohb_2018,random_search,autohas,dha,one_shot_uniform,one_shot_random,fixed,trivial_augment"
SECONDS = {"digits": 60, "cifar": 75}


def arguments(name: str) -> list[str] | None:
    """What the comparison is of; None where its data are not at hand."""
    if name == "digits":
        return ["--dataset", "digits"]
    if (data := os.environ.get("BOHB_NAS_DATA")) is None:
        return None
    images = unpacked(Path(data) / "cifar10-jpeg.tar.xz")
    return ["--dataset", str(HERE / "compare_images.py"), "--data-dir", str(images), "--worker-option", "valid_fraction=0.04"]


def main() -> None:
    """Runs what is missing and prints the tables."""
    names = sys.argv[1:2] or list(SECONDS)
    for name in names:
        if (own := arguments(name)) is None:
            print(f"{name} skipped: BOHB_NAS_DATA is not set; it names the folder that holds cifar10-jpeg.tar.xz")
            continue
        seconds = int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS[name]
        seeds = sys.argv[3] if len(sys.argv) > 3 else "3"
        print(f"{name}, {seconds} s for each method and seed, {seeds} seeds; {machine()}", flush=True)
        folder = HERE / "results" / f"compare-{name}-{seconds}"
        common = ["--space", str(HERE / "compare_space.py"), "--time", f"{seconds}s", "--train-time", f"{seconds / 5}s", "--seeds", seeds]
        command = [sys.executable, "-m", "bohb_nas", "compare", str(folder), "--methods", METHODS, *common, *own]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
