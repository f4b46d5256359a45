"""What a step of DHA costs beside a step of the network that it finds: seconds of the processor, and bytes of tensors.

A search of some steps on images of 8x8 and of 32x32, random ones, at the default width and batch; then its network trained the ordinary
way, with the policy of the search. Steps of another search and of that training alternate, so that a loaded machine hits both; the search
counts as a whole, its exploration, its hyperparameters' steps and the building of networks with it. `python bench/dha_steps.py [STEPS]`
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material
from bohb_nas.search_spaces.cell import space
from bohb_nas.training.data import Batches, ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, Streams

CPU = Compute(device=torch.device("cpu"), precision="fp32")


def noise(side: int, channels: int) -> ResidentData:
    """1,000 random images to train on and 200 held out, of ten classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1200, side, side, channels), dtype=np.uint8)
    order = np.arange(1200)
    return resident(images, order % 10, train=order[:1000], valid=order[1000:], n_classes=10, device=CPU.device)


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    began = time.process_time()
    work()
    return time.process_time() - began


def mebibytes(tensors: Iterable[Tensor]) -> float:
    """Of tensors."""
    return sum(tensor.nbytes for tensor in tensors) / 2**20


def compare(side: int, channels: int, steps: int, settings: Dha) -> str:
    """A line on images of a side."""
    material = Material(data=noise(side, channels), compute=CPU, space=space(), seed=0)
    first, search = DhaSearch(settings, material), DhaSearch(settings, material)
    for number in range(steps):
        first.step((number + 1) / steps, steps - number)
    network, recipe = first.model(), replace(first._recipe, policy=first._policy.policy())
    learner = Learner(network, recipe, data=material.data, compute=CPU, streams=Streams.seeded(0, CPU.device))
    batches = Batches(material.data.train, recipe.batch_size, torch.Generator().manual_seed(0))
    of_search, of_learner = 0.0, 0.0
    for number, batch in zip(range(steps), batches, strict=False):
        of_search += seconds(lambda number=number: search.step((number + 1) / steps, steps - number))  # type: ignore[misc]
        of_learner += seconds(lambda batch=batch: learner.step(batch, 0.01))  # type: ignore[misc]
    moments = [tensor for state in learner.optimizer.state.values() for tensor in state.values() if isinstance(tensor, Tensor)]
    own, ordinary = mebibytes(search.tensors().values()), mebibytes([*network.state_dict().values(), *moments])
    return (
        f"{side}x{side}: {1e3 * of_search / steps:.1f} ms beside {1e3 * of_learner / steps:.1f} ms, ratio {of_search / of_learner:.2f}; "
        f"weights, momenta and statistics {own:.1f} MiB beside {ordinary:.1f} MiB"
    )


def main() -> None:
    """Prints a line for each size of images."""
    torch.set_num_threads(1)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    print(f"{steps} steps in batches of 128 on one thread, torch {torch.__version__}")
    for side, channels in ((8, 1), (32, 3)):
        print(compare(side, channels, steps if side == 8 else max(8, steps // 3), Dha()), flush=True)


if __name__ == "__main__":
    main()
