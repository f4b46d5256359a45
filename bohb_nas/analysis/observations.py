"""Reads a study into told evaluations with their times, and those of a budget into observations: configurations, each with a loss.

The rules that every finding rests on:

* What DIVERGED counts as the worst loss that ended well at its budget: it is a fact about the configuration. Any other failure says
  nothing about it and is left out, and counted.
* A configuration that was told several times at one budget is one observation, with the mean of its losses.
* A result that breaks a constraint is an observation like any other; it is only never the incumbent.
* Baselines and probes are not of the search. Probes are observations of importance all the same: nothing selected them.
* A trial in which the worker searches by itself is of the search, and no observation: its loss is that of no single configuration.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.arrays import Floats
from bohb_nas.errors import SpaceError, UsageError
from bohb_nas.records import ASIDE, NOT_DRAWN, Evaluation, Origin, Result, Status, Trial, Value, comparable_loss, stands_in
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import frozen_space
from bohb_nas.store import notes
from bohb_nas.store.journal import Event, State, fold
from bohb_nas.store.meta import ALONE
from bohb_nas.store.stays import Stay, shared_s, stay
from bohb_nas.store.study_dir import StudyDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An evaluation with its times: seconds since the first ask, without the spans that nobody led and those of baselines."""

    trial: Trial
    result: Result
    asked: float
    told: float
    stay: Stay | None

    @property
    def device(self) -> str | None:
        """The model of its device."""
        return self.stay.model if self.stay is not None and self.stay.model is not None else notes.text(self.result.details, "device")

    @property
    def aside(self) -> bool:
        """Whether it stands beside the search."""
        return self.trial.origin in ASIDE

    @property
    def drawn(self) -> bool:
        """Whether its configuration was drawn from the space, so that its loss says something of it."""
        return self.trial.origin not in NOT_DRAWN

    @property
    def stands_in(self) -> bool:
        """Whether it is the incumbent only as long as the search has no ordinary evaluation."""
        return stands_in(self.trial, self.result)

    @property
    def comparable_loss(self) -> float | None:
        """Its loss, if that may be held against those of other networks at the budget."""
        return comparable_loss(self.trial, self.result)

    @property
    def config(self) -> Mapping[str, Value]:
        """What was trained, or what a worker that searches by itself found."""
        return Evaluation(trial=self.trial, result=self.result).config


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A study as it was read."""

    study: StudyDir
    meta: Mapping[str, Any]
    space: ConfigurationSpace | None
    """None of a study of baselines alone."""
    told: tuple[Told, ...]
    """In the order of telling."""
    span_s: float
    """From the first ask to the last line, in the same time."""
    used_s: float
    """The same with what was in training while nobody led."""
    done: bool
    device: str | None = None
    """The only model whose evaluations are here; None for all."""

    @property
    def search(self) -> list[Told]:
        """Without baselines and probes."""
        return [one for one in self.told if not one.aside]

    def of(self, origin: Origin) -> list[Told]:
        """Those that came from there."""
        return [one for one in self.told if one.trial.origin is origin]


def read(study: StudyDir, *, device: str | None = None) -> Record:
    """Reads a study, running and importing nothing of it.

    Args:
        study: its directory.
        device: the model of the device whose evaluations alone count; None takes all.

    Raises:
        StudyError: there is no study, or a part of it is damaged.
        UsageError: no evaluation is of that device.
    """
    meta = study.read_meta()
    done = study.done.exists()  # asked first: what is read afterwards has all of a study that is done
    times = _Times()
    state = fold(study.journal, heard=times.hear)
    asked, told = times.since_the_first_ask()
    found = [
        Told(trial=state.trials[i], result=result, asked=asked[i], told=told[i], stay=stay(result)) for i, result in state.results.items()
    ]
    whole = Record(
        study=study,
        meta=meta,
        space=frozen_space(study.read_space(), study.space_json) if study.space_json.exists() or meta["space"] != ALONE else None,
        told=tuple(found),
        span_s=times.span_s,
        used_s=times.span_s
        + shared_s(state.gaps, [one.stay.span for one in found if one.stay and one.trial.origin is not Origin.BASELINE]),
        done=done,
    )
    return whole if device is None else _on(whole, device)


def _on(record: Record, device: str) -> Record:
    kept = tuple(one for one in record.told if one.device == device)
    if not kept:
        there = ", ".join(sorted({one.device for one in record.told if one.device is not None})) or "none, no evaluation names one"
        raise UsageError(f"--device {device!r}: no evaluation of {record.study.path} is of that model; there are {there}")
    return replace(record, told=kept, device=device)


class _Times:
    """When trials were asked and told, on a clock that stands still while nobody leads, and while baselines are trained.

    It is that of `State.span_s`, which only knows how late it is.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[str | None, str | None, float, bool]] = []
        """Of each the trial that it asks or tells, the seconds before it in which somebody led, and whether those were a baseline's."""
        self._last: float | None = None
        self._baseline = False
        self.span_s = 0.0

    def hear(self, state: State, event: Event) -> None:
        """Takes a line in."""
        lead = event.trial is None and event.result is None
        trial = event.trial if event.result is None else state.trials[event.result.trial_id]
        self._baseline = trial.origin is Origin.BASELINE if trial is not None else self._baseline
        end = event.until if lead else event.time
        asked = event.trial.trial_id if event.trial is not None else None
        told = event.result.trial_id if event.result is not None else None
        self._lines.append((asked, told, 0.0 if self._last is None or end is None else max(0.0, end - self._last), self._baseline))
        self._last = event.time

    def since_the_first_ask(self) -> tuple[dict[str, float], dict[str, float]]:
        """Times of ask and tell by trial id, in seconds; a study of baselines alone has the time of its baselines."""
        alone = all(baseline for asks, tells, _, baseline in self._lines if asks is not None or tells is not None)
        asked: dict[str, float] = {}
        told: dict[str, float] = {}
        now, first = 0.0, None
        for asks, tells, seconds, baseline in self._lines:
            now += seconds if alone or not baseline else 0.0
            if asks is not None:
                first = now if first is None else first
                asked[asks] = now - first
            elif tells is not None:
                told[tells] = now - (first or 0.0)
        self.span_s = now - first if first is not None else 0.0
        return asked, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What is known at a budget: n configurations, each with a loss."""

    budget: float
    config_ids: tuple[str, ...]
    configs: tuple[Mapping[str, Value], ...]
    losses: Floats
    """(n,)"""
    origins: tuple[Origin, ...]
    """Of each one's first trial there."""
    n_left_out: int
    """Trials whose failure says nothing about their configuration."""
    n_diverged: int
    """Trials that count as the worst loss."""

    def __len__(self) -> int:
        return len(self.config_ids)


def worst_loss(told: Iterable[Told], budget: float) -> float | None:
    """The worst loss that ended well at a budget; None without."""
    return max((one.result.loss for one in told if one.trial.budget == budget and one.result.loss is not None), default=None)


def observe(told: Iterable[Told], budget: float, *, worst: float | None) -> Observations:
    """The observations at a budget, in the order in which their configurations were first told there.

    Args:
        told: evaluations that are asked about.
        budget: theirs.
        worst: the worst loss there, of these or others, which is that of what diverged.
    """
    here = [one for one in told if one.trial.budget == budget]
    losses: dict[str, list[float]] = {}
    firsts: dict[str, Trial] = {}
    n_diverged = 0
    for one in here:
        loss = one.result.loss
        if one.result.status is Status.DIVERGED and worst is not None:
            loss, n_diverged = worst, n_diverged + 1
        if loss is not None:
            losses.setdefault(one.trial.config_id, []).append(loss)
            firsts.setdefault(one.trial.config_id, one.trial)
    return Observations(
        budget=budget,
        config_ids=tuple(losses),
        configs=tuple(firsts[i].config for i in losses),
        losses=np.array([mean(each) for each in losses.values()], dtype=np.float64),
        origins=tuple(firsts[i].origin for i in losses),
        n_left_out=len(here) - sum(map(len, losses.values())),
        n_diverged=n_diverged,
    )


def budgets_of(told: Iterable[Told]) -> list[float]:
    """The budgets of evaluations, cheapest first."""
    return sorted({one.trial.budget for one in told})


def mean(losses: Sequence[float]) -> float:
    """Their mean, which finite losses always have: sums of enormous ones would not be finite."""
    return math.fsum(loss / len(losses) for loss in losses)


def strangers(space: ConfigurationSpace, told: Iterable[Told]) -> frozenset[str]:
    """The configurations that are none of a space's: a study that was made elsewhere may hold such."""
    encoding = Encoding(space)
    configs = {one.trial.config_id: one.trial.config for one in told}
    try:
        encoding.encode([*configs.values()])
    except SpaceError:
        return frozenset(config_id for config_id, config in configs.items() if not _is_of(encoding, config))
    return frozenset()


def _is_of(encoding: Encoding, config: Mapping[str, Value]) -> bool:
    try:
        encoding.encode([config])
    except SpaceError:
        return False
    return True
