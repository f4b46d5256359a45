"""What the parts say to each other: trials, results, and the protocols of those who make and answer them.

Only JSON crosses a process border. Every record is frozen; `to_json` and `from_json` are exact inverses. It has more than 300 lines, since
each record is told in terms of the others, and the protocols in terms of all.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

from bohb_nas.entries import as_number, check_id, entries, is_number, is_plain, numbers, refuse, shared, word
from bohb_nas.errors import RecordError, UsageError

Value = bool | int | float | str
"""What a hyperparameter may be worth."""
RESULT_LIMIT_BYTES = 8 * 2**20
"""Of a result as JSON."""
MOST_ETA = 1e9
"""Ratios that anybody would choose are far below."""
_MOST_RUNGS = 99
_FARTHEST = 1e300
"""The dearest budget over the cheapest: the sizes of rungs, powers of eta up to about this ratio, are still floats."""


class Status(StrEnum):
    """How an evaluation ended. The word is what a file holds."""

    OK = "ok"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    PREEMPTED = "preempted"
    CRASHED = "crashed"
    LOST = "lost"


class Origin(StrEnum):
    """Where a trial came from. `BASELINE` and `PROBE` stay out of the model; in a `SEARCH` the worker searches by itself."""

    INITIAL = "initial"
    RANDOM = "random"
    PRIOR = "prior"
    MODEL = "model"
    PROMOTED = "promoted"
    BASELINE = "baseline"
    PROBE = "probe"
    SEARCH = "search"


ASIDE = frozenset({Origin.BASELINE, Origin.PROBE})
"""Trials beside the search: not of the model, the stop rule or the incumbent."""
NOT_DRAWN = frozenset({Origin.BASELINE, Origin.SEARCH})
"""Trials whose losses say nothing of the space's configurations: given ones, and those of a worker that searches by itself."""


class Idle(StrEnum):
    """Why an optimizer proposes nothing."""

    WAIT = "wait"
    """Tell me something first."""
    DONE = "done"
    """Nothing left to propose."""


def _to_json(record: Any) -> dict[str, Any]:
    """The record as a JSON object."""
    return {f.name: dict(v) if isinstance(v := getattr(record, f.name), Mapping) else v for f in fields(record)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """The ladder of budgets. Numbers of other libraries, such as numpy's, become floats.

    Raises:
        UsageError: not numbers with 0 < min <= max, or an eta below 2 or above a billion, or more than 99 rungs, or no unit.
    """

    min: float = 400.0
    """Cheapest budget, in `unit`."""
    max: float = 10800.0
    """Dearest budget, in `unit`."""
    eta: float = 3.0
    """Ratio of neighbouring budgets, and the share promoted is 1 / eta."""
    unit: str = "s"
    """Seconds unless the study says otherwise."""

    def __post_init__(self) -> None:
        for name in ("eta", "min", "max"):
            if not is_number(value := as_number(getattr(self, name))):
                raise UsageError(f"budgets: {name} {value!r}; accepted is a finite number")
            object.__setattr__(self, name, value)
        if not 2 <= self.eta <= MOST_ETA:
            raise UsageError(f"eta {self.eta:g}: accepted is a number of at least 2 and at most {MOST_ETA:g}; 3 is usual")
        if not (isinstance(self.unit, str) and self.unit.strip()):
            raise UsageError(f"budget unit {self.unit!r}: accepted is what budgets count, such as epochs; leave it out for seconds")
        if not 0 < self.min <= self.max:
            raise UsageError(f"budgets from {self.min:g} to {self.max:g}: accepted are 0 < budget-min <= budget-max; swap or correct them")
        if self.max / self.min > _FARTHEST:
            raise UsageError(f"budgets from {self.min:g} to {self.max:g} are too far apart; give a larger budget-min")
        if (n := len(self.rungs)) > _MOST_RUNGS:
            raise UsageError(
                f"from {self.min:g} to {self.max:g} by {self.eta:g} there are {n} budgets; accepted are at most {_MOST_RUNGS}; "
                "give a larger budget-min or eta"
            )

    @property
    def rungs(self) -> tuple[float, ...]:
        """All budgets, cheapest first: max / eta^k while at least min.

        Counted by repeated division with a relative tolerance of 1e-9: floor(log(max / min) / log(eta)) loses a rung for 1 -> 243.
        """
        rungs = [float(self.max)]
        while rungs[-1] / self.eta >= self.min * (1 - 1e-9):
            rungs.append(rungs[-1] / self.eta)
        if math.isclose(rungs[-1], self.min, rel_tol=1e-9):
            rungs[-1] = float(self.min)
        return tuple(reversed(rungs))

    def rung_within(self, budget: float) -> int:
        """The highest rung whose budget is at most this one, which was rounded when it was typed; 0 where all are dearer."""
        return max((k for k, rung in enumerate(self.rungs) if rung <= budget * (1 + 1e-9)), default=0)

    to_json = _to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration asked to be trained at one budget."""

    trial_id: str
    """Unique in the study; never reissued."""
    config_id: str
    """The configuration; its promotions share it."""
    config: Mapping[str, Value]
    """Active hyperparameters only, plain Python values."""
    budget: float
    """Seconds, unless the study says otherwise."""
    bracket: int
    """The published index s; for one shared ladder, K minus the entry rung."""
    rung: int
    """0 is the cheapest."""
    seed: int
    """Same for all budgets of a configuration."""
    origin: Origin
    resume_from: str | None = None
    """The trial whose checkpoint this one continues."""

    to_json = _to_json

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of `to_json`.

        Raises:
            RecordError: a field is missing, unknown or of the wrong kind.
        """
        record = entries(cls, value)
        check_id(cls, record, "trial_id", "config_id", *(["resume_from"] if record.get("resume_from") is not None else []))
        if not (isinstance(record["config"], dict) and is_plain(record["config"])):
            refuse(cls, record, "config", "an object of plain values")
        record["config"] = shared(record["config"])
        if not (is_number(record["budget"]) and record["budget"] > 0):
            refuse(cls, record, "budget", "a positive number")
        for name in ("bracket", "rung", "seed"):
            if not (type(record[name]) is int and record[name] >= 0):
                refuse(cls, record, name, "a whole number from 0")
        record["origin"] = word(cls, Origin, "origin", record["origin"])
        return cls(**record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a trial. Numbers of other libraries, such as numpy's, become floats; OK with a loss of NaN or infinity is diverged.
    A metric that is no finite number goes to `metrics_dropped` in the details, as text: the loss is known all the same.

    Raises:
        RecordError: the id or the status is none; the loss is not a number of an OK result, or None of any other; seconds are no number;
            metrics or details are no mapping.
    """

    trial_id: str
    status: Status
    """Its word will do, and is turned into the status."""
    loss: float | None
    """None unless OK; lower is better."""
    train_s: float
    """Seconds of training behind the weights."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON: device, summary of the curve, …"""
    config: Mapping[str, Value] | None = None
    """What a worker that searches by itself found."""
    message: str | None = None
    """Why it is not OK, for people."""

    def __post_init__(self) -> None:
        check_id(Result, {"trial_id": self.trial_id}, "trial_id")
        for name in ("metrics", "details"):
            if not isinstance(value := getattr(self, name), Mapping):
                refuse(Result, {name: value}, name, "an object: names and their values")
        object.__setattr__(self, "status", word(Result, Status, "status", self.status))
        for name in ("loss", "train_s"):
            object.__setattr__(self, name, as_number(getattr(self, name)))
        if self.status is Status.OK and isinstance(self.loss, float) and not math.isfinite(self.loss):
            for name, now in {"status": Status.DIVERGED, "message": self.message or f"the loss is {self.loss}", "loss": None}.items():
                object.__setattr__(self, name, now)
        if self.status is Status.OK and not is_number(self.loss):
            refuse(Result, {"loss": self.loss}, "loss", "a finite number when the status is ok")
        if self.status is not Status.OK and self.loss is not None:
            refuse(Result, {"loss": self.loss}, "loss", "null unless the status is ok")
        if not (is_number(self.train_s) and self.train_s >= 0):
            refuse(Result, {"train_s": self.train_s}, "train_s", "a number of seconds from 0")
        if not all(map(is_number, self.metrics.values())):
            metrics, dropped = numbers(self.metrics)
            object.__setattr__(self, "metrics", metrics)
            object.__setattr__(self, "details", {**self.details, "metrics_dropped": dropped} if dropped else self.details)

    @property
    def violates(self) -> tuple[str, ...]:
        """The constraints of the study that it breaks, as the engine wrote them down: no incumbent, whatever its loss."""
        texts = self.details.get("violates")
        return tuple(map(str, texts)) if isinstance(texts, list) else ()

    @property
    def ready_to_use(self) -> bool:
        """Whether a worker that searches by itself left a trained network, as it says in the details."""
        return self.details.get("ready_to_use") is True

    to_json = _to_json

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of `to_json`.

        Raises:
            RecordError: a field is missing, unknown or of the wrong kind.
        """
        record = entries(cls, value)
        if isinstance(metrics := record.get("metrics"), dict):
            record["metrics"] = shared(metrics)
        if (config := record.get("config")) is not None and not (isinstance(config, dict) and is_plain(config)):
            refuse(cls, record, "config", "null or an object of plain values")
        if not isinstance(record.get("message"), str | None):
            refuse(cls, record, "message", "null or a text")
        return cls(**record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A trial and its result."""

    trial: Trial
    result: Result

    @property
    def config(self) -> Mapping[str, Value]:
        """What was trained, or what a worker that searches by itself found."""
        return self.result.config if self.result.config is not None else self.trial.config

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object: what a result file holds."""
        return {"trial": self.trial.to_json(), "result": self.result.to_json()}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of `to_json`.

        Raises:
            RecordError: a part is missing, or the two parts name different trials.
        """
        if not isinstance(value, dict) or set(value) != {"trial", "result"}:
            raise RecordError("evaluation: accepted is an object with exactly the keys trial and result")
        trial, result = Trial.from_json(value["trial"]), Result.from_json(value["result"])
        if trial.trial_id != result.trial_id:
            raise RecordError(f"evaluation: the trial is {trial.trial_id} but the result is of {result.trial_id}")
        return cls(trial=trial, result=result)


def shares_weights(trial: Trial, result: Result) -> bool:
    """Whether a loss is that of weights which many configurations share: another kind of number than that of a trained network."""
    return trial.origin is Origin.SEARCH and not result.ready_to_use


def comparable_loss(trial: Trial, result: Result) -> float | None:
    """The loss, if it may be held against those of other networks at the budget: none of shared weights, none that breaks a constraint."""
    return None if shares_weights(trial, result) or result.violates else result.loss


def median_loss(losses: Sequence[float]) -> float | None:
    """The median, without a sum of two, which could be beyond every float; None of none."""
    if not losses:
        return None
    low, high = statistics.median_low(losses), statistics.median_high(losses)
    return low if low == high else low / 2 + high / 2


def stands_in(trial: Trial, result: Result) -> bool:
    """Whether an evaluation is the incumbent only as long as the search has no ordinary one."""
    return trial.origin in ASIDE or shares_weights(trial, result)


def rank(trial: Trial, result: Result) -> tuple[bool, bool, float, float] | None:
    """What orders incumbents, lowest first; None of an evaluation that cannot be one.

    None are probes, what did not end well or breaks a constraint, and searches that found nothing. What stands in comes last, and
    of that baselines; else the dearest budget counts, and then the loss.
    """
    if trial.origin is Origin.PROBE or result.loss is None or result.violates or (trial.origin is Origin.SEARCH and result.config is None):
        return None
    return stands_in(trial, result), trial.origin in ASIDE, -trial.budget, result.loss


class Optimizer(Protocol):
    """Decides what to train next; owns no files, no processes, no clock."""

    def ask(self) -> Trial | Idle:
        """The next trial, or why there is none."""
        ...

    def tell(self, result: Result) -> None:
        """Takes in what became of an asked trial."""
        ...


class Worker(Protocol):
    """Trains one configuration; knows nothing of brackets, samplers or stores."""

    def train(self, trial: Trial, workdir: Path) -> Result:
        """Trains `trial.config` for `trial.budget` and says what came of it; files go to `workdir`."""
        ...
