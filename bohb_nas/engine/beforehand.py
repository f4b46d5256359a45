"""Gathers what is known before a search starts, and refuses what does not fit it before anything is written."""

import inspect
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas import refs
from bohb_nas.datasets import Dataset
from bohb_nas.engine.knowledge_files import read_initial, read_prior
from bohb_nas.engine.warm_start import read_earlier
from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import Constraint, Knowledge, number_text, untold_text
from bohb_nas.layers import Layer, arithmetic
from bohb_nas.records import ASIDE, Value
from bohb_nas.space.encoding import Encoding
from bohb_nas.store.journal import State
from bohb_nas.store.study_dir import StudyDir

MOST_SAMPLES = 2000
"""Drawn before constraints are taken to leave nothing."""
_FEWEST_SAMPLES = 100
_MOST_S = 10.0
"""For sampling, however slow a user's size() is."""

Size = Callable[[Mapping[str, Value]], Mapping[str, float]]


def gather(meta: Mapping[str, Any], space: ConfigurationSpace, *, own: Path) -> tuple[Knowledge, list[str]]:
    """What a new study's record says is known, read from where it says; without `size`.

    Args:
        meta: the record.
        space: what it must fit.
        own: the new study's directory, which is no earlier study.

    Returns:
        The knowledge, and what the person should know.

    Raises:
        KnowledgeError: something cannot be read or does not fit.
    """
    initial, called = read_initial(meta["initial"], space) if meta["initial"] is not None else ([], [])
    prior = read_prior(Path(meta["prior"]), space) if meta["prior"] is not None else {}
    history, notes = read_earlier([Path(path) for path in meta["warm_start"] or ()], space, meta=meta, own=own)
    constraints = tuple(Constraint.parse(text) for text in meta["constraints"] or ())
    if called:
        notes = [f"tried first: configuration {', '.join(called)} of {meta['initial']}", *notes]
    return Knowledge(initial=tuple(initial), prior=prior, history=history, constraints=constraints), notes


def with_size(knowledge: Knowledge, meta: Mapping[str, Any], *, study: StudyDir, data: Dataset | None) -> Knowledge:
    """The knowledge with the `size` of the study's space, where it has constraints and the space has a `size`.

    Args:
        knowledge: what else is known.
        meta: the study's record.
        study: where a copy of the space's file lies, if it exists.
        data: what images are trained on, for a `size` that takes `image_shape` and `n_classes`.

    Raises:
        RefError: the space's module cannot be imported.
    """
    function = _size_of(meta, study) if knowledge.constraints else None
    if function is None:
        return knowledge
    images = {} if data is None else {"image_shape": data.image_shape, "n_classes": len(data.classes)}
    taken = {name: value for name, value in images.items() if name in inspect.signature(function).parameters}

    def size(config: Mapping[str, Value]) -> Mapping[str, float]:
        try:
            told = {str(name): float(value) for name, value in function(dict(config), **taken).items()}
            if unknown := [name for name, value in told.items() if math.isnan(value)]:
                raise ValueError(f"{', '.join(unknown)} is no number")
            return told
        except (Exception, SystemExit) as e:  # the function may be the user's
            raise KnowledgeError(f"size() of space {meta['space']} fails for {dict(config)}: {type(e).__name__}: {e}; correct it") from e

    return replace(knowledge, size=size)


def check_constraints(
    knowledge: Knowledge,
    space: ConfigurationSpace,
    *,
    bounded: Sequence[str],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Knowledge, list[str]]:
    """Makes sure that the constraints leave something, as far as that can be known before training.

    Args:
        knowledge: with `size`, if the space has one.
        space: what is searched.
        bounded: metrics that the person wants bounded before training.
        clock: seconds.

    Returns:
        The knowledge without the initial configurations that break a constraint, and what the person should know.

    Raises:
        KnowledgeError: a bounded metric is not known before training, no sampled configuration meets the constraints, or no
            initial one.
    """
    if not knowledge.constraints:
        return knowledge, []
    _check_apart(knowledge.constraints)
    encoding = Encoding(space)
    told = knowledge.size(encoding.sample(0)) if knowledge.size is not None else {}
    if untold := [name for name in bounded if name not in told]:
        raise KnowledgeError(
            f"--max-{untold[0]}: the space does not tell {untold[0]} before training (its size() tells: {', '.join(told) or 'nothing'}); "
            f"let size(config) return it, or check results with --constraint '{untold[0]}<=…' where the worker returns it"
        )
    late = [c for c in knowledge.constraints if c.metric not in told]
    notes = [f"constraint {c}: not known before training, so it is checked on results" for c in late]
    early = replace(knowledge, constraints=tuple(c for c in knowledge.constraints if c not in late))
    if early.constraints:
        notes.append(_share(early, encoding, clock))
    kept, left_out = [], []
    for number, config in enumerate(knowledge.initial, start=1):
        broken = _broken(early, config)
        if broken:
            left_out.append(f"initial configuration {number} is left out: it breaks {', '.join(broken)}")
        else:
            kept.append(config)
    if left_out and not kept:
        raise KnowledgeError(f"no initial configuration meets the constraints: {'; '.join(left_out)}; loosen them, or leave --initial out")
    return replace(knowledge, initial=tuple(kept)), [*notes, *left_out]


def check_told(knowledge: Knowledge, state: State) -> None:
    """Refuses to go on with a study whose worker does not return what a constraint is about.

    Raises:
        KnowledgeError: an evaluation lacks such a metric.
    """
    for evaluation in state.evaluations() if knowledge.constraints else ():
        if evaluation.trial.origin in ASIDE:
            continue
        if untold := knowledge.untold(evaluation.trial.config, evaluation.result):
            raise KnowledgeError(untold_text(untold, evaluation.trial.trial_id, evaluation.result.metrics))


def _size_of(meta: Mapping[str, Any], study: StudyDir) -> Callable[..., Mapping[str, float]] | None:
    """The function `size` of a space's module, or one that measures its `network`, or None.

    A user's file that the record lists is taken as it is: unchanged, or accepted now. One that is gone or was, from the study's inputs.
    """
    reference = meta["space"]
    if reference.endswith((".json", ".yaml", ".yml")):
        return None
    copy = study.copy_of(reference, "space")
    listed = reference in (meta.get("inputs") or {}) and Path(reference).is_file()
    module = refs.load_module("space", reference, copy=None if listed or not copy.is_file() else copy, start=meta["cwd"])
    if ":" in reference and not refs.is_file(reference):
        module = sys.modules[reference.partition(":")[0]]
    found = getattr(module, "size", None)
    if found is None and callable(describe := getattr(module, "network", None)):
        return partial(_measured, describe)
    return found if callable(found) else None


def _measured(
    describe: Callable[[Mapping[str, Value]], Layer],
    config: Mapping[str, Value],
    *,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    n_classes: int = 10,
) -> Mapping[str, float]:
    """The `size` of a space's file that offers `network(config)` and no `size`."""
    return arithmetic.size(describe(config), image_shape=image_shape, n_classes=n_classes)


def _broken(knowledge: Knowledge, config: Mapping[str, Value]) -> list[str]:
    """The constraints that a configuration breaks before training, with what it measures."""
    if knowledge.size is None:
        return []
    told = knowledge.size(config)
    return [f"{c} with {number_text(told[c.metric])}" for c in knowledge.unmet(told)]


def _check_apart(constraints: Sequence[Constraint]) -> None:
    """Refuses bounds on one metric that leave nothing between them, which no sample and no training is needed to see.

    Raises:
        KnowledgeError: two of them do.
    """
    for least in (c for c in constraints if c.relation == ">="):
        for most in (c for c in constraints if c.relation == "<=" and c.metric == least.metric):
            if least.bound > most.bound:
                raise KnowledgeError(f"no configuration meets {most} and {least}: the two contradict each other; leave one out")


def _share(knowledge: Knowledge, encoding: Encoding, clock: Callable[[], float]) -> str:
    """How many sampled configurations meet all constraints.

    Raises:
        KnowledgeError: none.
    """
    assert knowledge.size is not None
    began, n, n_met = clock(), 0, 0
    seen: dict[str, list[float]] = {}
    while n < MOST_SAMPLES and clock() - began < _MOST_S and (n < _FEWEST_SAMPLES or n_met == 0):
        config = encoding.sample(n)
        told = knowledge.size(config)
        for name, value in told.items():
            seen.setdefault(name, []).append(value)
        n, n_met = n + 1, n_met + (not knowledge.unmet(told))
    said = ", ".join(map(str, knowledge.constraints))
    if n_met:
        return f"constraints {said}: met by {n_met} of {n} configurations drawn at random"
    extremes = [
        f"the {'smallest' if c.relation == '<=' else 'largest'} {c.metric} seen is "
        f"{number_text((min if c.relation == '<=' else max)(seen[c.metric]))}"
        for c in knowledge.constraints
    ]
    slow = "" if n >= _FEWEST_SAMPLES else f"size() is so slow that only {n} could be tried in {_MOST_S:g} s: make it faster; or "
    raise KnowledgeError(
        f"no configuration meets {said}: {n} were drawn at random, and {'; '.join(extremes)}; "
        f"{slow}loosen the constraint, or change the space"
    )
