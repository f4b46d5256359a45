"""Augmentation in images per CPU second: ours beside torchvision's transforms, image by image and whole batch at once.

32 x 32 uint8 images in three channels, bytes in and bytes out, one thread on every side, all of them in one run and in
turn, so that a loaded machine hits all alike; the median of so many repetitions. Ours and torchvision's of each image draw
for every image by itself; torchvision's of a whole batch draws once for all its images, which is another augmentation.

    python bench/augment.py [--batch 128] [--repetitions 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from figures import machine
from torch import Tensor
from torchvision.transforms import v2

from bohb_nas.training.augment import crop_and_flip
from bohb_nas.training.recipe import read
from bohb_nas.training.transform import transform

POLICIES: dict[str, tuple[dict[str, str], Callable[[], v2.Transform]]] = {
    "crop and flip": ({}, lambda: v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])),
    "TrivialAugment": ({"policy": "trivial"}, v2.TrivialAugmentWide),
    "RandAugment(2, 9)": ({"policy": "rand"}, v2.RandAugment),
    "AutoAugment, CIFAR-10": ({"policy": "auto_cifar10"}, lambda: v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    "searched, 2 operators": ({"policy": "searched", "searched_n": "2"}, v2.Identity),
}
"""Name -> our configuration, torchvision's transform."""
WIDTHS = {"ours": 8, "torchvision": 12, "PIL": 8, "one draw": 9}
"""Columns: ours; torchvision image by image, of tensors and of PIL images; torchvision with one draw for the whole batch."""


def ours(config: dict[str, str], batch: Tensor) -> Callable[[], object]:
    """Our transformation of the batch; a policy without crop and flip, as torchvision's is."""
    recipe = read({k: int(v) if v.isdigit() else v for k, v in config.items()})[1]
    generator, host, labels = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0), torch.zeros(len(batch), dtype=torch.int64)
    if recipe.policy:
        return lambda: transform(batch, labels, recipe.policy, generator=generator, host=host)
    return lambda: crop_and_flip(batch, recipe, generator=generator)


def theirs(rival: v2.Transform, batch: Tensor) -> dict[str, Callable[[], object]]:
    """Torchvision's transformation of the batch, one way and another."""
    if isinstance(rival, v2.Identity):
        return {}
    pictures = [v2.functional.to_pil_image(image) for image in batch]
    return {
        "torchvision": lambda: [rival(image) for image in batch],
        "PIL": lambda: [rival(picture) for picture in pictures],
        "one draw": lambda: rival(batch),
    }


def rate(work: Callable[[], object], n: int, least_s: float = 0.2) -> float:
    """Images per CPU second."""
    done, began = 0, time.process_time()
    while (used := time.process_time() - began) < least_s:
        work()
        done += n
    return done / used


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch = torch.randint(256, (given.batch, 3, 32, 32), dtype=torch.uint8)
    print(f"images per CPU second, batch of {given.batch}, one thread, median of {given.repetitions}; {machine()}")
    print(f"  {'':22} {'ours':>8} {'torchvision':>12} {'PIL':>8} {'one draw':>9}   ours / torchvision, / PIL")
    for name, (config, make) in POLICIES.items():
        sides = {"ours": ours(config, batch), **theirs(make(), batch)}
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(given.repetitions):
            for side, work in sides.items():
                rates[side].append(rate(work, given.batch))
        median = {side: statistics.median(values) for side, values in rates.items()}
        columns = " ".join(f"{median[side]:{width}.0f}" if side in median else " " * width for side, width in WIDTHS.items())
        ratios = "" if len(median) == 1 else f"{median['ours'] / median['torchvision']:6.1f} {median['ours'] / median['PIL']:6.1f}"
        print(f"  {name:22} {columns}   {ratios}", flush=True)


if __name__ == "__main__":
    main()
