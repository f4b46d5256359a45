"""Families whose curves a neural network predicts: what YAHPO Gym calls scenarios, as ONNX files.

A configuration is evaluated at all rungs in one batch when it is first seen, and its curve is kept: promotions and the
noise-free value cost nothing. There is no noise. Predicted seconds are raised to 0.05 and never fall from rung to rung.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._data import data_file, described_space, read_json
from bohb_nas.benchmarks._laddered import Laddered
from bohb_nas.errors import ProblemError
from bohb_nas.records import Budgets, Value

_KEPT = 50_000
_LEAST_S = 0.05
_RANDOM_SEED, _RANDOM_SIZE = 0, 1000


class Curve(NamedTuple):
    """What a configuration shows at each rung."""

    losses: tuple[float, ...]
    costs: tuple[float, ...]
    """Seconds, never falling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate:
    """A family of one network: its instances share it."""

    folder: str
    """Under `benchmarks/`; also the family's name."""
    target: str
    """The output that is searched."""
    whole: float | None = None
    """What a perfect target is worth where more is better: the loss is `whole` minus target. None: the target is the loss."""
    fidelities: tuple[float, ...]
    """By rung, as the network wants them."""
    budgets: Budgets
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Inputs that are not searched."""
    only: str | None = None
    """The name of the instance where the file describes no instances."""

    def instances(self) -> tuple[str, ...]:
        """Those of the file; those with a stored reference come first.

        Raises:
            ProblemError: no data.
        """
        if self.only is not None:
            return (self.only,)
        meta = read_json(self.folder, "meta.json")
        listed = next(param["choices"] for param in meta["params"] if param["name"] == meta["instance_param"])
        known = read_json(self.folder, "reference.json")
        return (*(i for i in known if i in listed), *(i for i in listed if i not in known))

    def problem(self, instance: str) -> Problem:
        """An instance. Reference values are those of reference.json, else of 1,000 random configurations.

        Raises:
            ProblemError: no data, or no onnxruntime.
        """
        curves = Curves(self, instance)

        def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
            losses, costs = curves(config)
            return Observation(loss=losses[rung], cost=costs[rung])

        reference = read_json(self.folder, "reference.json").get("None" if self.only else instance)
        best, median, mean_cost = curves.random_anchors() if reference is None else self._stored(reference)
        return Laddered(
            name=f"{self.folder}/{instance}",
            space=curves.space,
            budgets=self.budgets,
            best=best,
            median=median,
            mean_cost=mean_cost,
            observe=observe,
            exact=lambda config: curves(config).losses[-1],
        )

    def _stored(self, reference: Mapping[str, Any]) -> tuple[float, float, float]:
        """Best, median, mean cost."""
        best, median = reference["best_known"], reference["rand_median"]
        return (
            (best, median, reference["mean_cost_full"])
            if self.whole is None
            else (self.whole - best, self.whole - median, reference["mean_cost_full"])
        )


class Curves:
    """The curves of one instance, at most 50,000 of them kept."""

    space: ConfigurationSpace

    def __init__(self, family: Surrogate, instance: str) -> None:
        meta = read_json(family.folder, "meta.json")
        self._network = _load(family.folder, str(data_file(family.folder, "model.onnx")))
        self._whole, self._curve = family.whole, lru_cache(_KEPT)(self._predicted)
        self._target, self._cost = meta["outputs"].index(family.target), meta["outputs"].index(meta["cost"])
        encoding, cat_order, cont_order = meta["encoding"], meta["cat_order"], meta["cont_order"]
        self._codes: dict[str, tuple[int, dict[str, int]]] = {name: (i, encoding[name]) for i, name in enumerate(cat_order)}
        self._columns: dict[str, int] = {name: i for i, name in enumerate(cont_order)}
        self._inactive_cat = [encoding[name]["#na#"] for name in cat_order]
        self._inactive_cont = [family.fixed.get(name, 0.0) for name in cont_order]
        if meta["instance_param"] is not None:
            i, codes = self._codes.pop(meta["instance_param"])
            self._inactive_cat[i] = codes[instance]
        self._fidelity_column = self._columns.pop(meta["fidelity"][0])
        self._fidelities = np.array(family.fidelities, dtype=np.float32)
        rungs = len(family.fidelities)
        self._x_cat = np.empty((rungs, len(cat_order)), dtype=np.int32)
        self._x_cont = np.empty((rungs, len(cont_order)), dtype=np.float32)
        self.space = described_space(meta["params"], without={meta["instance_param"], *meta["fidelity"], *family.fixed})

    def __call__(self, config: Mapping[str, Value]) -> Curve:
        """The curve of a configuration (its active hyperparameters).

        Raises:
            KeyError: a hyperparameter or a choice that the space has not.
        """
        cat, cont = self._row(config)
        return self._curve(tuple(cat), tuple(cont))

    def _predicted(self, cat: tuple[int, ...], cont: tuple[float, ...]) -> Curve:
        self._x_cat[:] = cat
        self._x_cont[:] = cont
        self._x_cont[:, self._fidelity_column] = self._fidelities
        losses, costs = self._predict(self._x_cat, self._x_cont)
        return Curve(tuple(losses[0].tolist()), tuple(costs[0].tolist()))

    def random_anchors(self) -> tuple[float, float, float]:
        """The lowest and the median loss and the mean cost at the largest budget over 1,000 random configurations of seed 0."""
        space = self.space
        space.seed(_RANDOM_SEED)
        rows = [self._row(dict(config)) for config in space.sample_configuration(_RANDOM_SIZE)]
        rungs = len(self._fidelities)
        x_cat = np.repeat(np.array([cat for cat, _ in rows], dtype=np.int32), rungs, axis=0)
        x_cont = np.repeat(np.array([cont for _, cont in rows], dtype=np.float32), rungs, axis=0)
        x_cont[:, self._fidelity_column] = np.tile(self._fidelities, len(rows))
        losses, costs = self._predict(x_cat, x_cont)
        return float(losses[:, -1].min()), float(np.median(losses[:, -1])), float(costs[:, -1].mean())

    def _row(self, config: Mapping[str, Value]) -> tuple[list[int], list[float]]:
        cat, cont = self._inactive_cat[:], self._inactive_cont[:]
        for name, value in config.items():
            place = self._codes.get(name)
            if place is None:
                cont[self._columns[name]] = cast(float, value)
            else:
                cat[place[0]] = place[1][cast(str, value)]
        return cat, cont

    def _predict(self, x_cat: NDArray[np.int32], x_cont: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and costs, each (n, rungs), of n * rungs rows."""
        y = self._network.run(None, {"x_cat": x_cat, "x_cont": x_cont})[0].astype(np.float64)
        shape = (-1, len(self._fidelities))
        targets, seconds = y[:, self._target].reshape(shape), y[:, self._cost].reshape(shape)
        costs = np.maximum.accumulate(np.maximum(seconds, _LEAST_S), axis=1)
        return (targets if self._whole is None else self._whole - targets), costs


@cache
def _load(family: str, path: str) -> Any:
    """The network of a file, on one thread; loaded once per process."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as e:
        raise ProblemError(f"problem {family} needs onnxruntime, which is not installed; run: pip install 'bohb-nas[benchmarks]'") from e
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
