"""A search on one GPU beside hand-designed networks, all for the same seconds of training, judged on test images.

    python bench/gpu_search.py [--budget 10] [--search 150] [--seeds 3] [--baselines NAME ...] [--beside FILE]
        [--images FOLDER] [--out FOLDER]

`bohb-nas run` searches `joint` from the networks that ship as `joint_gpu`, whose recipe is its prior too; then its incumbent and the
baselines are trained for the dearest budget, seed by seed, on the same 90 % of the training images, and see the test images once, at the
end. FILE adds configurations of `joint`, written as for `run --initial`: `regularised.json` has networks of `joint_gpu` with what longer
trainings may need. `--search 0` searches nothing. Images are those of an image folder (FOLDER/train/CLASS/IMAGE and FOLDER/test); without
one CIFAR-10 (JPEG) of BOHB_NAS_DATA. Everything runs on the first GPU, or on the processor where there is none: that is a rehearsal, whose
errors say nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifar_jpeg import unpacked
from judged import Judge
from recipes_arm import DATA, in_common
from recipes_data import keep_folder

from bohb_nas.baselines import NETWORK, find
from bohb_nas.datasets import load_dataset
from bohb_nas.training.device import choose

_BASELINES = ("resnet18", "airbench96", "wrn_28_10", "shake_shake_26_2x32d")


def main() -> None:
    """Searches, trains, and prints the table; `record.json` in the folder holds all that was found so far at any moment."""
    asked = _arguments()
    if asked.images is None and "BOHB_NAS_DATA" not in os.environ:
        print("skipped: BOHB_NAS_DATA is not set; it names the folder that holds cifar10-jpeg.tar.xz; or use --images")
        return
    out: Path = asked.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    data = out / "data"
    if not (data / "facts.json").exists():
        keep_folder(asked.images or unpacked(Path(os.environ["BOHB_NAS_DATA"]) / "cifar10-jpeg.tar.xz"), data)
    began = time.monotonic()
    incumbent = _searched(out / "study", data, asked) if asked.search else None
    record: dict[str, Any] = {"budget_s": asked.budget, "search_s": time.monotonic() - began, "incumbent": incumbent, "trainings": []}
    compute = choose()
    record |= {"device": compute.name, "precision": compute.precision}
    judge = Judge(load_dataset(str(DATA), data_dir=data), compute)
    arms = {
        **({"search": incumbent["config"]} if incumbent else {}),
        **{entry["name"]: entry["config"] for entry in (json.loads(asked.beside.read_text()) if asked.beside else ())},
        **{found.name: dict(found.config) for found in (find(asked.baselines) if asked.baselines else ())},
    }
    for seed in range(1, asked.seeds + 1):
        for name, config in arms.items():
            network = NETWORK if "baseline" in config else None
            found = judge.train(config, seed=seed, seconds=lambda: asked.budget, network=network, mirrored=True)
            record["trainings"].append({"arm": name, "seed": seed, **found})
            (out / "record.json").write_text(json.dumps(record, indent=1))
            print(json.dumps(record["trainings"][-1]), flush=True)
    _table(record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=10.0, metavar="S", help="seconds of training; a ninth of it is the cheapest")
    parser.add_argument("--search", type=float, default=150.0, metavar="S", help="seconds of the search, everything counted")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--baselines", nargs="*", default=_BASELINES, metavar="NAME")
    parser.add_argument("--beside", type=Path, metavar="FILE")
    parser.add_argument("--images", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu-search", metavar="FOLDER")
    return parser.parse_args()


def _searched(study: Path, data: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Searches, and returns what `bohb-nas best` says."""
    prior = study.with_suffix(".prior")
    prior.write_text(json.dumps({name: {"center": value, "confidence": "medium"} for name, value in in_common("joint_gpu").items()}))
    command = [sys.executable, "-m", "bohb_nas", "run", str(study), "--space", "joint", "--workers", "1", "--dataset", str(DATA)]
    command += ["--data-dir", str(data), "--budget-min", f"{asked.budget / 9:g}s", "--budget-max", f"{asked.budget:g}s"]
    command += ["--total-time", f"{asked.search:g}s", "--initial", "joint_gpu", "--prior", str(prior)]
    subprocess.run(command, check=True)
    said = subprocess.run([sys.executable, "-m", "bohb_nas", "best", str(study), "--json"], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(said.stdout)
    print(json.dumps(found), flush=True)
    return found


def _table(record: Mapping[str, Any]) -> None:
    """Test errors: mean, standard deviation over seeds, and the difference to the search's."""
    print(f"{record['device']}, {record['precision']}; {record['budget_s']:g} s of training each; search of {record['search_s']:.0f} s")
    errors: dict[str, list[float]] = {}
    for found in record["trainings"]:
        if found["status"] == "ok":
            errors.setdefault(found["arm"], []).append(100 * found["test_error"])
    for name, of_arm in sorted(errors.items(), key=lambda item: statistics.mean(item[1])):
        rest = f"sd {statistics.stdev(of_arm):.2f}, " if len(of_arm) > 1 else ""
        beside = statistics.mean(of_arm) - statistics.mean(errors["search"]) if "search" in errors else float("nan")
        print(f"  {name:22} {statistics.mean(of_arm):6.2f} %, {rest}n = {len(of_arm)}; {beside:+.2f} beside the search's")


if __name__ == "__main__":
    main()
