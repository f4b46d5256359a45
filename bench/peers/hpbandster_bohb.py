"""HpBandSter's BOHB as a method: its own generator and its own iterations, in this process and without its transport.

A free worker is served as HpBandSter's master does: by the oldest iteration that has a run to give, else by a new one.
The rungs are the study's (HpBandSter counts them with logarithms and can lose one); everything else is its default.
Ordinals are given to it as integers, because it refuses them, and constants as categoricals of one level, because it
would draw numbers around them that mean nothing; they count as hyperparameters either way.

Unless told otherwise the picks are made by `hpbandster_accelerated`: the same ones, faster.

    bohb-nas simulate --method bench/peers/hpbandster_bohb.py ...
"""

import importlib.metadata
import logging
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas import refs
from bohb_nas.records import Budgets, Idle, Origin, Result, Trial, Value
from bohb_nas.space.encoding import plain

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it calls what its dependencies have deprecated
    from hpbandster.core.dispatcher import Job
    from hpbandster.core.master import Master
    from hpbandster.optimizers.bohb import BOHB
    from hpbandster.optimizers.config_generators import bohb as original

VERSION = importlib.metadata.version("hpbandster")

APART = refs.load_module("method", str(Path(__file__).with_name("apart.py")))

ACCELERATED = refs.load_module("method", str(Path(__file__).with_name("hpbandster_accelerated.py"))).Accelerated
"""The generator that makes the same picks faster."""

_SILENT = logging.getLogger("bohb_nas.peers.hpbandster")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """HpBandSter's defaults; only the speed can be chosen."""

    accelerated: bool = True
    """Whether the same picks are made by the faster generator."""


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> "HpBandSter":
    """The optimizer; running trials do not enter the model, so the number of workers changes nothing."""
    del n_workers
    return HpBandSter(space, budgets, seed=seed, accelerated=options.accelerated)


class HpBandSter:
    """The optimizer.

    Args:
        space: what to search.
        budgets: the ladder.
        seed: of numpy's global generator, as this optimizer sees it, and of its copy of the space.
        accelerated: which generator makes the picks.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, accelerated: bool) -> None:
        self.reason = "HpBandSter's choice"
        """Why the last ask came out as it did."""
        self._seed = seed
        self._rungs = budgets.rungs
        self._sequences = {h.name: [plain(v) for v in h.sequence] for h in space.values() if hasattr(h, "sequence")}
        self._isolated = APART.Apart(seed)
        theirs = acceptable(space)
        theirs.seed(seed)
        with self._isolated():
            self._master = _InProcess(theirs, budgets, ACCELERATED if accelerated else original.BOHB)
        self._running: dict[str, Any] = {}
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._n_asked = 0

    def ask(self) -> Trial | Idle:
        """The next trial; there is always one."""
        with self._isolated():
            (config_id, config, budget), iteration = self._master.next_run()
        number = self._numbers.setdefault(config_id, len(self._numbers))
        entry = len(self._rungs) - len(iteration.budgets)
        promoted = iteration.stage > config_id[1]
        picked = Origin.MODEL if iteration.data[config_id].config_info["model_based_pick"] else Origin.RANDOM
        trial = Trial(
            trial_id=f"t{self._n_asked:05d}",
            config_id=f"c{number:05d}",
            config={name: self._value(name, value) for name, value in config.items()},
            budget=self._rungs[entry + iteration.stage],
            bracket=len(iteration.budgets) - 1,
            rung=entry + iteration.stage,
            seed=int(np.random.default_rng((self._seed, number)).integers(2**31)),
            origin=Origin.PROMOTED if promoted else picked,
        )
        self._n_asked += 1
        self._running[trial.trial_id] = Job(config_id, config=config, budget=budget)
        return trial

    def tell(self, result: Result) -> None:
        """Hands a result over as the master does; one without a loss is HpBandSter's crashed run."""
        job = self._running.pop(result.trial_id, None)
        if job is None:  # told before
            return
        job.result = None if result.loss is None else {"loss": result.loss, "info": {}}
        with self._isolated():
            self._master.job_callback(job)

    def _value(self, name: str, value: object) -> Value:
        found: Value = plain(value)
        return self._sequences[name][int(found)] if name in self._sequences else found


def acceptable(space: ConfigurationSpace) -> ConfigurationSpace:
    """The space without ordinals, which become integers, and constants, which become categoricals of one level."""
    described: dict[str, Any] = space.to_serialized_dict()
    sequences = {h.name: [plain(v) for v in h.sequence] for h in space.values() if hasattr(h, "sequence")}

    def translated(node: Any) -> Any:
        if isinstance(node, list):
            return [translated(item) for item in node]
        if not isinstance(node, dict):
            return node
        match node.get("type"):
            case "ordinal":
                top, default = len(node["sequence"]) - 1, node["sequence"].index(node["default_value"])
                return _hyperparameter("uniform_int", node, lower=0, upper=top, default_value=default, log=False)
            case "constant":
                only = node["value"]
                return _hyperparameter("categorical", node, choices=[only], weights=None, default_value=only)
        if (sequence := sequences.get(str(node.get("parent", node.get("name"))))) is None:
            return {key: translated(value) for key, value in node.items()}
        changed = dict(node)  # a condition on an ordinal, or a clause that forbids some of it
        if "value" in node:
            changed["value"] = sequence.index(node["value"])
        if "values" in node:
            changed["values"] = [sequence.index(value) for value in node["values"]]
        return changed

    return ConfigurationSpace.from_serialized_dict(translated(described))


def _hyperparameter(kind: str, node: dict[str, Any], **described: Any) -> dict[str, Any]:
    return {"type": kind, "name": node["name"], "meta": node["meta"], **described}


class _NoTransport(Master):  # type: ignore[misc]
    """HpBandSter's master without name server, threads and files."""

    def __init__(self, config_generator: Any) -> None:
        self.config_generator = config_generator
        self.config: dict[str, Any] = {}
        self.iterations: list[Any] = []
        self.logger = _SILENT
        self.result_logger = None
        self.num_running_jobs = 0
        self.job_queue_sizes = (0, 1)
        self.thread_cond = threading.Condition()


class _InProcess(BOHB, _NoTransport):  # type: ignore[misc]
    """HpBandSter's BOHB, asked for one run at a time."""

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, generator: Callable[..., Any]) -> None:
        super().__init__(configspace=space, eta=budgets.eta, min_budget=budgets.min, max_budget=budgets.max)  # type: ignore[call-arg]
        self.config_generator = generator(space, logger=_SILENT)
        self.max_SH_iter = len(budgets.rungs)
        self.budgets = np.array(budgets.rungs)

    def next_run(self) -> tuple[Any, Any]:
        """One turn of the loop in `Master.run`: (configuration's id, configuration, budget), and its iteration."""
        for i in self.active_iterations():
            if (run := self.iterations[i].get_next_run()) is not None:
                self.num_running_jobs += 1
                return run, self.iterations[i]
        self.iterations.append(self.get_next_iteration(len(self.iterations), {"logger": _SILENT}))
        return self.next_run()
