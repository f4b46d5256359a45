"""SGD, AdamW and Muon on the same networks for the same seconds: does Muon earn its place in the joint space?

    python bench/muon.py SECONDS [SEEDS] [--device cuda] [--out FILE.json] [--limit SECONDS] [--networks NAME ...]
        [--images FOLDER | --npz FILE]

Four fixed networks are trained with each optimizer at three learning rates, a third of its default, the default and three times that
(36 trainings a seed), in batches of 512 on a GPU and of 128 on a CPU, with crop and flip and one cosine; everything else is the
recipe's default. Printed are the lowest validation error over the rates, the mean over the seeds at each; steps per second; and how
the optimizers compare over the networks. A rate at the edge of its three says that the optimum may lie beyond.

The images are CIFAR-10 as JPEG from the folder that BOHB_NAS_DATA names, or those below FOLDER/train/CLASS, or the arrays `images`, uint8
[N, H, W, 3], and `labels`, int64 [N], of FILE. A tenth is held out, all of which is looked at. FILE.json is written after every
training; one of the same settings is gone on with. No training is begun that would not end within the limit.
"""

import argparse
import gc
import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bohb_nas.datasets import load_dataset, split
from bohb_nas.records import Value
from bohb_nas.training import schedules
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute, choose
from bohb_nas.training.learner import start
from bohb_nas.training.loop import Plan, fit

NETWORKS: Mapping[str, Mapping[str, Value]] = {
    "WRN-16-4": {"family": "wrn", "wrn_blocks": 2, "wrn_widen_factor": 4.0, "wrn_dropout": 0.0},
    "default of zela2018": {"family": "zela2018"},
    "mobile": {"family": "mobile"},
    "cell": {"family": "cell"},
}
DEFAULT_RATES: Mapping[str, float] = {"sgd": 0.1, "adamw": 3e-3, "muon": 0.05}
"""Of batches of 128."""
FACTORS = (1.0, 1 / 3, 3.0)
"""Of the default rate, in the order in which they are tried."""

Row = dict[str, Any]
"""One training: network, optimizer, factor, rate, seed, status, error (None unless it ended well), steps_per_s, steps, warmup_s."""


def main() -> None:
    """Trains what is missing and prints the table."""
    options = _options()
    compute = choose(options.device)
    if compute.device.type == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    began = time.monotonic()
    data = _data(options, compute.device)
    batch_size = options.batch or (128 if compute.device.type == "cpu" else 512)
    settings = {
        "device": compute.name,
        "precision": compute.precision,
        "torch": torch.__version__,
        "seconds": options.seconds,
        "batch_size": batch_size,
        "images": [len(data.train), len(data.valid), *data.image_shape],
    }
    print(json.dumps(settings), flush=True)
    rows = _kept(options.out, settings)
    longest_s = options.seconds
    for seed, network, factor, optimizer in itertools.product(range(options.seeds), options.networks, FACTORS, DEFAULT_RATES):
        key = {"network": network, "optimizer": optimizer, "factor": factor, "seed": seed}
        if any(key.items() <= row.items() for row in rows):
            continue
        started = time.monotonic()
        if started - began + longest_s > options.limit:
            print(f"left out from {network}, {optimizer}, seed {seed} on: no time left", flush=True)
            break
        rows.append({**key, **trained(key, batch_size, options.seconds, data, compute)})
        longest_s = max(longest_s, time.monotonic() - started)
        print(json.dumps(rows[-1]), flush=True)
        aside = options.out.with_suffix(".part")
        aside.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1))
        aside.replace(options.out)
    print("\n".join(table(rows)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float, help="of each training")
    parser.add_argument("seeds", type=int, nargs="?", default=1)
    parser.add_argument("--device", help="cpu, cuda or cuda:N; the first accelerator otherwise")
    parser.add_argument("--batch", type=int, help="images of a step")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("muon.json"), metavar="FILE.json")
    parser.add_argument("--limit", type=float, default=math.inf, metavar="SECONDS", help="of the whole, data included")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--images", type=Path, metavar="FOLDER")
    source.add_argument("--npz", type=Path, metavar="FILE")
    return parser.parse_args()


def _data(options: argparse.Namespace, device: torch.device) -> ResidentData:
    if options.npz is not None:
        with np.load(options.npz, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
        if images.dtype != np.uint8 or images.ndim != 4 or labels.shape != images.shape[:1]:
            sys.exit(f"{options.npz}: images are {images.dtype}{images.shape}; accepted are uint8 [N, H, W, C] with labels [N]")
        labels, n_classes = labels.astype(np.int64), int(labels.max()) + 1
    else:
        dataset = load_dataset(f"image_folder:{options.images or _unpacked()}")
        images, labels, n_classes = dataset.train_images, dataset.train_labels, len(dataset.classes)
    train, valid = split(labels, valid_fraction=0.1, seed=0)
    return resident(images, labels, train=train, valid=valid, n_classes=n_classes, device=device)


def _unpacked() -> Path:
    from cifar_jpeg import unpacked  # what it needs for its own figures is not needed for arrays

    if (folder := os.environ.get("BOHB_NAS_DATA")) is None:
        sys.exit("no images: BOHB_NAS_DATA is not set; it names the folder that holds cifar10-jpeg.tar.xz; or use --images or --npz")
    return unpacked(Path(folder) / "cifar10-jpeg.tar.xz")


def _kept(out: Path, settings: Mapping[str, Any]) -> list[Row]:
    """The trainings of an earlier call with the same settings."""
    if not out.exists():
        return []
    found = json.loads(out.read_text())
    return list(found["rows"]) if found["settings"] == settings else []


def trained(key: Mapping[str, Any], batch_size: int, seconds: float, data: ResidentData, compute: Compute) -> Row:
    """What became of one training; a failure is told, and the others go on."""
    optimizer = key["optimizer"]
    rate = DEFAULT_RATES[optimizer] * key["factor"]
    config = {**NETWORKS[key["network"]], "optimizer": optimizer, f"{optimizer}_learning_rate": rate, "batch_size": batch_size}
    row: Row = {"rate": rate, "status": "ok", "error": None, "steps_per_s": 0.0}
    try:
        learner = start({**config, "crop": "on", "flip": "on"}, data=data, compute=compute, seed=key["seed"])
        plan = Plan(budget_s=seconds, schedule=schedules.named("cosine", rung=0, warm_up=learner.recipe.warm_up), full_validation=True)
        found = fit(learner, plan, TrainingClock(compute.device), lambda _: None)
    except (RuntimeError, MemoryError) as e:
        return {**row, "status": f"{type(e).__name__}: {e}".splitlines()[0][:200]}
    finally:
        gc.collect()
        compute.release()
    row |= {"status": str(found.status), "steps": found.steps, "warmup_s": round(found.warmup_s, 2)}
    row |= {"replays": learner.recording.replays, "train_loss": found.train_loss if math.isfinite(found.train_loss) else None}
    if found.valid is not None:
        row |= {"error": found.valid.error, "steps_per_s": round(found.steps / found.train_s, 2)}
    return row


def means(rows: Iterable[Row]) -> dict[tuple[str, str, float], float]:
    """Network, optimizer and factor -> mean error over seeds; infinite where a training failed."""
    errors: dict[tuple[str, str, float], list[float]] = {}
    for row in rows:
        error = math.inf if row["error"] is None else row["error"]
        errors.setdefault((row["network"], row["optimizer"], row["factor"]), []).append(error)
    return {key: statistics.mean(found) for key, found in errors.items()}


def lowest(rows: Sequence[Row]) -> dict[str, dict[str, tuple[float, float]]]:
    """Network -> optimizer -> lowest mean error and the factor where it was; networks on which every rate was tried alone."""
    tried = means(rows)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for network in dict.fromkeys(row["network"] for row in rows):
        if all((network, optimizer, factor) in tried for optimizer in DEFAULT_RATES for factor in FACTORS):
            found[network] = {o: min((tried[network, o, factor], factor) for factor in FACTORS) for o in DEFAULT_RATES}
    return found


def table(rows: Sequence[Row]) -> list[str]:
    """Lines: each network with each optimizer, then the optimizers over all networks."""
    tried, best = means(rows), lowest(rows)
    lines = [
        "network | optimizer | lowest error % | at rate | steps/s | errors % at "
        + ", ".join(f"x{factor:.3g}" for factor in sorted(FACTORS))
    ]
    for network, optimizers in best.items():
        for optimizer, (error, factor) in optimizers.items():
            speed = statistics.median(r["steps_per_s"] for r in rows if (r["network"], r["optimizer"]) == (network, optimizer))
            edge = "" if factor == 1 else " (edge)"
            errors = ", ".join(f"{100 * tried[network, optimizer, f]:.2f}" for f in sorted(FACTORS))
            rate = DEFAULT_RATES[optimizer] * factor
            lines.append(f"{network} | {optimizer} | {100 * error:.2f} | {rate:.3g}{edge} | {speed:.1f} | {errors}")
    if best:
        lines.append("")
        for optimizer in DEFAULT_RATES:
            mean = statistics.mean(found[optimizer][0] for found in best.values())
            wins = sum(found[optimizer][0] == min(error for error, _ in found.values()) for found in best.values())
            lines.append(f"{optimizer}: mean of the lowest errors {100 * mean:.2f} %, lowest on {wins} of {len(best)} networks")
        gains = [min(found["sgd"][0], found["adamw"][0]) - found["muon"][0] for found in best.values()]
        lines.append("Muon below the better of the others, points: " + ", ".join(f"{100 * gain:+.2f}" for gain in gains))
    return lines


if __name__ == "__main__":
    main()
