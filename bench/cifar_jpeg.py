"""A real search over an image folder on the CPU: CIFAR-10 (JPEG), joint space, rungs 10 / 30 / 90 s, at least 30 evaluations.

Needs BOHB_NAS_DATA, the folder that holds cifar10-jpeg.tar.xz; it is unpacked to a temporary folder. A finished study
in bench/results is reused.
"""

import os
import sys
import tarfile
import tempfile
from pathlib import Path

from figures import by_rung, machine, places, rank_agreement, search, state, time_and_truth

STUDY = Path(__file__).parent / "results" / "cifar-jpeg"


def unpacked(archive: Path) -> Path:
    """The folder of images; unpacked once per machine."""
    target = Path(tempfile.gettempdir()) / "bohb-nas-cifar10-jpeg"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as aside, tarfile.open(archive) as images:
            images.extractall(aside, filter="data")
            Path(aside).rename(target)
            Path(aside).mkdir()
    return next(p.parent for p in sorted(target.rglob("train")) if p.is_dir())


def main() -> None:
    """Runs the search and prints what it owes."""
    data = os.environ.get("BOHB_NAS_DATA")
    if data is None:
        print("skipped: BOHB_NAS_DATA is not set; it names the folder that holds cifar10-jpeg.tar.xz")
        return
    images = unpacked(Path(data) / "cifar10-jpeg.tar.xz")
    trials = sys.argv[1] if len(sys.argv) > 1 else "40"
    workers = [f"{place.name} ({place.model})" for place in places(2)]
    common = ["--budget-min", "10s", "--budget-max", "90s", "--trials", trials, "--workers", str(len(workers))]
    common += ["--worker-option", "valid_fraction=0.04"]  # 2,000 images: 5,000 take a slow processor long to look at
    wall_s = search(STUDY, "--dataset", f"image_folder:{images}", *common)
    found = state(STUDY)
    print(f"CIFAR-10 (JPEG), joint space, rungs 10 / 30 / 90 s, workers on {', '.join(workers)}; {machine()}")
    print(f"  this call took {wall_s:.0f} s")
    print(f"  {len(found.results)} evaluations in {found.led_s:.0f} s")
    by_rung(found)
    rank_agreement(found)
    time_and_truth(found)


if __name__ == "__main__":
    main()
