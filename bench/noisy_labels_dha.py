"""What hypergradients make of weight decay where labels are wrong: held-out images beside images that are trained on.

Embedded digits, two in five of the training labels drawn anew at random (those held out likewise); a network that is trained long enough
knows the wrong ones by heart, unless its weights decay. Printed are the weight decay at the end and the error on the test images of the
network as it is handed out, of three arms: the start value kept; learnt on images held out; learnt on images trained on, for which the
check that refuses this is passed by. `python bench/noisy_labels_dha.py [SEEDS [STEPS]]`
"""

import statistics
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from bohb_nas.datasets import load_dataset, split
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material, Supply
from bohb_nas.search_spaces.cell import space
from bohb_nas.training.augment import normalise
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.policies import WIDE, Choice, operation

WRONG = 0.4
N_TRAIN = 400
CPU = Compute(device=torch.device("cpu"), precision="fp32")
_ALONE = Dha(policy="fixed", rate_low=0.05, rate_high=0.05, weight_decay_high=0.05, hyper_rate=0.05)
"""The learning rate stays, so that the weight decay is all that differs; faster steps than the default, because there are few."""
ARMS: Mapping[str, Dha] = {"kept": replace(_ALONE, hyper_rate=0.0), "held out": _ALONE, "trained on": _ALONE}


def noisy(seed: int) -> tuple[ResidentData, torch.Tensor, torch.Tensor]:
    """Digits with wrong labels, and test images uint8 [N, C, H, W] with their labels [N]."""
    digits, rng = load_dataset("digits"), np.random.default_rng(seed)
    train, valid = split(digits.train_labels, valid_fraction=0.3, seed=seed)
    wrong = rng.random(len(digits.train_labels)) < WRONG
    labels = np.where(wrong, rng.integers(0, 10, len(wrong)), digits.train_labels)
    data = resident(digits.train_images, labels, train=train[:N_TRAIN], valid=valid, n_classes=10, device=CPU.device)
    test = torch.tensor(np.ascontiguousarray(digits.test_images)).permute(0, 3, 1, 2)
    return data, test, torch.tensor(np.ascontiguousarray(digits.test_labels))


def trained(arm: str, seed: int, steps: int) -> tuple[float, float]:
    """The weight decay in the end, and the test error."""
    data, images, labels = noisy(seed)
    pool = (Choice(0.9, ()), Choice(0.1, (operation("brightness", WIDE, 0.0, 0.1),)))
    material = Material(data=data, compute=CPU, space=space(), seed=seed)
    search = DhaSearch(ARMS[arm], material, pool=pool, skeleton=lambda cell: cells.skeleton(cell, channels=8, repeats=1))
    if arm == "trained on":
        seen = replace(material, data=replace(data, valid=data.train))
        search._supply = Supply(seen, search._chance, batch_size=search._supply.batch_size)
    for number in range(steps):
        search.step((number + 1) / steps, steps - number)
    network = search.model().eval()
    with torch.no_grad():
        wrong = network(normalise(images, data.mean, data.deviation)).argmax(1) != labels
    return float(search.told()["weight_decay"]["value"]), float(wrong.float().mean())


def main() -> None:
    """Trains all arms, seed by seed, and prints the table."""
    torch.set_num_threads(1)
    seeds, steps = (int(value) for value in (sys.argv[1:] + ["3", "1000"][len(sys.argv) - 1 :]))
    print(f"digits, {N_TRAIN} training images, {WRONG:.0%} of the labels drawn at random, {steps} steps; start {Dha().weight_decay:g}")
    for arm in ARMS:
        rows = [trained(arm, seed, steps) for seed in range(seeds)]
        decays, errors = zip(*rows, strict=True)
        shown = ", ".join(f"{error:.1%}" for error in errors)
        print(
            f"{arm}: weight decay {', '.join(f'{d:.1e}' for d in decays)}; test error {statistics.fmean(errors):.1%} ({shown})",
            flush=True,
        )


if __name__ == "__main__":
    main()
