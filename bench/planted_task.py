"""A task of images where it is known what helps: for AutoHAS to find, and for a table of what full training makes of each choice."""

import itertools
import statistics
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float

from bohb_nas.records import Value
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.schedules import trapezoid

CPU = Compute(device=torch.device("cpu"), precision="fp32")
SIDE = 8
SHAPES = ("1110 1000 1100 1000", "1000 1000 1000 1111", "0110 1000 0110 0001")
"""Patterns of 4 x 4 pixels; none is another's mirror image, or its own."""
N_CLASSES = 2 * len(SHAPES)
"""Shapes, each brighter or darker than what is around it."""
RATES = (1e-3, 1.0)
"""Bounds of the learning rate, as in the joint space."""
PLANTED: Mapping[str, Value] = {"flip": "on", "cutout": "off", "policy": "none"}
"""What is true of the task: mirror images are of the same class, most of the image is needed, and negatives are of another class."""
NULL = "crop_padding"
"""Arms that are all the same."""
_SAID: Mapping[str, Value] = {
    "family": "wrn",
    "wrn_blocks": 1,
    "wrn_widen_factor": 0.5,
    "wrn_dropout": 0.0,
    "batch_size": 32,
    "crop": "off",
    "cutout_length": 1.0,
    "sgd_weight_decay": 5e-4,
    "searched_high": 1.0,
    "searched_geometry": 0.0,
    "searched_tone": 0.0,
    "searched_detail": 0.0,
    "searched_inversion": 4.0,
}
"""What every configuration has: a small network; the policy turns most images round in brightness."""


def space(rates: tuple[float, float] = RATES) -> ConfigurationSpace:
    """The planted choices, a learning rate, and a padding that means nothing where nothing is cropped."""
    planted = ConfigurationSpace()
    planted.add(
        *(Constant(name, value) for name, value in _SAID.items()),
        Float("sgd_learning_rate", rates, log=True),
        Categorical("flip", ("off", "on"), default="off"),
        Categorical("cutout", ("off", "on"), default="off"),
        Categorical("policy", ("none", "searched"), default="none"),
        Categorical(NULL, (0.05, 0.1, 0.15, 0.2, 0.25)),
    )
    return planted


def config(**chosen: Value) -> dict[str, Value]:
    """What is planted, at a usual rate, but for what is said."""
    return {**_SAID, **PLANTED, "sgd_learning_rate": 0.1, **chosen}


def data(seed: int, *, n_train: int = 600, n_valid: int = 1000) -> ResidentData:
    """Images to train on, none of them mirrored, and images held out, half of them mirrored."""
    rng = np.random.default_rng(seed)
    pixels = np.concatenate([_images(rng, n_train, mirrored=0.0), _images(rng, n_valid, mirrored=0.5)])
    order = np.arange(n_train + n_valid)
    labels = np.concatenate([np.arange(n) % N_CLASSES for n in (n_train, n_valid)])
    return resident(pixels, labels, train=order[:n_train], valid=order[n_train:], n_classes=N_CLASSES, device=CPU.device)


def _images(rng: np.random.Generator, n: int, *, mirrored: float) -> npt.NDArray[np.uint8]:
    """Noisy images [n, 8, 8, 1]; classes take turns, and a share of them is mirrored."""
    shapes = [np.array([[int(pixel) for pixel in row] for row in shape.split()]) for shape in SHAPES]
    pixels = rng.normal(128, 22, (n, SIDE, SIDE, 1))
    for image, number in zip(pixels, itertools.cycle(range(N_CLASSES))):
        which, dark = divmod(number, 2)
        row, column = rng.integers(0, SIDE - 3, 2)
        image[row : row + 4, column : column + 4, 0] += (-80 if dark else 80) * shapes[which]
    pixels = np.where(rng.random((n, 1, 1, 1)) < mirrored, pixels[:, :, ::-1], pixels)
    return pixels.clip(0, 255).astype(np.uint8)


def trained(chosen: Mapping[str, Value], *, steps: int, seed: int, images: ResidentData | None = None) -> float:
    """The validation error of a configuration trained from the start."""
    images = images or data(seed, n_valid=2000)
    learner = start(chosen, data=images, compute=CPU, seed=seed)
    plan = Plan(budget_s=1e9, schedule=trapezoid, max_steps=steps, full_validation=True)
    result = fit(learner, plan, TrainingClock(CPU.device), lambda _: None)
    return 1.0 if result.valid is None else result.valid.error


def truth(chosen: Mapping[str, Value], *, steps: int, seeds: range) -> tuple[float, float]:
    """Mean and standard deviation of the error over seeds."""
    errors = [trained(chosen, steps=steps, seed=seed) for seed in seeds]
    return statistics.fmean(errors), statistics.stdev(errors)
