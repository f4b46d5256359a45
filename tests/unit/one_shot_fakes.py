"""A search in closed form: a point that walks to the origin, pushed about by what its seed and its steps say."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import training_fakes as fakes
from ConfigSpace import ConfigurationSpace, Constant, Float
from torch import Tensor

from bohb_nas.one_shot_settings import Settings
from bohb_nas.oneshot.supply import Material
from bohb_nas.records import Value
from bohb_nas.training.networks import Network
from bohb_nas.training.recipe import read
from bohb_nas.training.validation import Score


def space() -> ConfigurationSpace:
    """The tiny network, with a rate to find."""
    space = ConfigurationSpace()
    space.add(*(Constant(name, value) for name, value in fakes.TINY.items() if name != "sgd_learning_rate"))
    space.add(Float("sgd_learning_rate", (0.01, 1.0), log=True))
    return space


class Walk:
    """x <- x - 0.1 x + noise; every step takes a tenth of a virtual second, unless it is told otherwise.

    Args:
        time: moved on by its steps.
        seed: of the noise.
        fails: whether the step of a number, under the n-th disturbance, diverges.
        spoils: whether it does so with a good loss.
        seconds: of a step at a fraction of the budget.
        on_step: called with the fraction and the steps left of every step.
    """

    def __init__(
        self,
        time: fakes.Virtual,
        seed: int = 0,
        *,
        fails: Callable[[int, int], bool] = lambda step, n: False,
        spoils: Callable[[int, int], bool] = lambda step, n: False,
        seconds: Callable[[float], float] = lambda u: 0.1,
        on_step: Callable[[float, float], None] = lambda u, rest: None,
        network: bool = False,
    ) -> None:
        self.x = torch.ones(3, dtype=torch.float64)
        self.velocity = torch.zeros(3, dtype=torch.float64)
        self.n, self.disturbed, self.seed = 0, 0, seed
        self.time, self.fails, self.spoils, self.seconds, self.on_step, self.network = time, fails, spoils, seconds, on_step, network
        self.allowances: list[float] = []

    @property
    def steps(self) -> int:
        return self.n

    def step(self, u: float, rest: float) -> float:
        self.on_step(u, rest)
        self.time.time += self.seconds(u)
        self.n += 1
        noise = torch.randn(
            3, dtype=torch.float64, generator=torch.Generator().manual_seed(1000 * self.seed + self.n + 7919 * self.disturbed)
        )
        self.velocity.mul_(0.5).add_(-0.05 * self.x + 0.01 * noise)
        self.x.add_(self.velocity)
        if self.fails(self.n, self.disturbed):
            self.x.fill_(float("nan"))
        loss = float((self.x**2).sum())
        if self.spoils(self.n, self.disturbed):
            self.velocity[0] = float("inf")
        return loss

    def found(self) -> dict[str, Value]:
        return {**fakes.TINY, "sgd_learning_rate": 0.5}

    def judge(self, allowance_s: float) -> Score:
        self.allowances.append(allowance_s)
        self.time.time += 0.03
        return Score(error=0.25, n=40)

    def told(self) -> dict[str, Any]:
        return {"held": {"batch_size": "constant"}}

    def point(self) -> dict[str, float]:
        return {"entropy": 1.5, "unknown": float("nan")}

    def state(self) -> dict[str, Any]:
        return {"n": self.n, "disturbed": self.disturbed}

    def tensors(self) -> dict[str, Tensor]:
        return {"x": self.x, "velocity": self.velocity}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.x = tensors["x"].clone()
        self.velocity = tensors["velocity"].clone()
        self.n, self.disturbed = state["n"], state["disturbed"]

    def disturb(self, n: int) -> None:
        self.disturbed = n

    def model(self) -> Network | None:
        if not self.network:
            return None
        generator = torch.Generator().manual_seed(0)
        return Network(read(fakes.TINY)[0], image_shape=(8, 8, 1), n_classes=3, generator=generator)


class Factory:
    """Makes walks as it is told to; remembers them."""

    def __init__(self, time: fakes.Virtual, **options: Any) -> None:
        self.time, self.options = time, options
        self.made: list[Walk] = []
        self.materials: list[Material] = []

    def __call__(self, settings: Settings, material: Material) -> Walk:
        self.materials.append(material)
        self.made.append(Walk(self.time, material.seed, **self.options))
        return self.made[-1]


def fails_once_at(step: int) -> Callable[[int, int], bool]:
    """Fails at that step until it is disturbed."""
    return lambda n, disturbed: n == step and disturbed == 0
