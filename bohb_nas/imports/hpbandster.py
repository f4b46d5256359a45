"""Makes a study of the log of an HpBandSter run. Everything is checked before anything is written.

Its journal is the study's own kind: a trial is asked when HpBandSter submitted it and told when it finished. A configuration's
first evaluation is a model's pick or random, as the log says; its later ones on higher budgets are promotions.
"""

import hashlib
import itertools
import math
import os
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas.durations import counted
from bohb_nas.entries import is_number
from bohb_nas.errors import LogError, StudyError, UsageError
from bohb_nas.files import storing, write_atomic
from bohb_nas.imports.hpbandster_log import CONFIGS, RESULTS, Log, Run, read
from bohb_nas.records import Budgets, Origin, Result, Status, Trial
from bohb_nas.space.files import load_pcs, load_space, space_to_json
from bohb_nas.store import notes
from bohb_nas.store.journal import Event, State
from bohb_nas.store.meta import OWNER, path_kept, unit_kept
from bohb_nas.store.study_dir import FORMAT, StudyDir

METHOD = "hpbandster"
"""The method and the worker of such a study."""
UNIT = "units"
"""Of budgets of which nobody says what they count."""
_SPACES = ("configspace.json", "configspace.pcs")
_TOLERANCE = 1e-6
"""Between the budgets of a log and a ladder, relatively."""
_ROUNDING = 1e-9
"""Between a budget and the same one reckoned otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of it."""

    n_evaluations: int
    notes: tuple[str, ...]
    """What people should know."""


def bring(source: Path, target: Path, *, space: str | None = None, unit: str | None = None) -> Imported:
    """Makes a study in `target` of the log in `source`.

    Args:
        source: the folder of a run.
        target: a new or empty directory.
        space: a reference to the space that was searched; None takes the file beside the log.
        unit: what budgets count; None leaves that open.

    Raises:
        UsageError: something is missing, does not fit, or stands in the way; nothing was written.
    """
    target = Path(os.path.realpath(target))  # of a link to an empty folder that folder is replaced
    if os.path.lexists(target) and not _is_empty(target):
        raise StudyError(f"{target} exists and is no empty directory; name a new DIR, nothing is overwritten")
    if target == Path.cwd():
        raise StudyError(
            f"{target} is the current directory, and whoever is in it would be nowhere: a new DIR takes its place; name another DIR"
        )
    if not os.path.isdir(source):
        raise LogError(f"{source} is no folder that can be reached; accepted is one with {CONFIGS} and {RESULTS}")
    reference = str(_space_file(source)) if space is None else space
    reference = path_kept(str(Path(reference).absolute())) if Path(reference).is_file() else reference
    searched = _space(reference)
    log = read(source, searched)
    own = notes.read_note(source / OWNER)
    unit = unit_kept(unit) if unit is not None else notes.text(own, "unit") or UNIT
    budgets = ladder([run.budget for run in log.runs], unit=unit)
    runs = [replace(run, budget=_rung(run.budget, budgets)[1]) for run in log.runs]
    events = _events(replace(log, runs=tuple(runs)), budgets, own=bool(own))
    text = "".join(event.to_line() + "\n" for event in events)
    _check(events)
    meta = _meta(source, reference, budgets)
    study = StudyDir(target.with_name(f".{target.name}.importing-{os.getpid()}"))  # whole before it has its name, whatever dies
    try:
        study.make(to_search=False)
        write_atomic(study.space_json, space_to_json(searched) + "\n")
        write_atomic(study.journal, text)
        study.finish(meta, events[-1].time)
        study.write_meta(meta)
        with storing(target):
            os.rename(study.path, target)
    finally:
        shutil.rmtree(study.path, ignore_errors=True)  # where it has no other name, whatever stopped it
    return Imported(n_evaluations=len(runs), notes=(*log.notes, *_failures(events, own=bool(own)), *_said(budgets, reference)))


def _is_empty(target: Path) -> bool:
    try:
        return not os.listdir(target)
    except OSError:
        return False


def _failures(events: Sequence[Event], *, own: bool) -> list[str]:
    """How evaluations without a loss were taken."""
    taken: Counter[Status] = Counter(event.result.status for event in events if event.result is not None)
    why = {Status.CRASHED: "without a result or loss", Status.DIVERGED: "with a loss that is no finite number"}
    failed = [word for word in Status if word is not Status.OK and taken[word]]
    return [f"taken as {word}, {'as the log says' if own else why[word]}: {counted(taken[word], 'evaluation')}" for word in failed]


def _said(budgets: Budgets, reference: str) -> list[str]:
    rungs = ", ".join(f"{b:g}" for b in budgets.rungs)
    unit = f"in {budgets.unit}" if budgets.unit != UNIT else "of which nobody says what they count (--budget-unit s for seconds)"
    return [f"space: {reference}", f"budgets {rungs}, {unit}; eta {budgets.eta:g}, by their ratio"]


def _space_file(source: Path) -> Path:
    found = next((source / name for name in _SPACES if (source / name).is_file()), None)
    if found is None:
        raise LogError(
            f"{source} has no {' or '.join(_SPACES)}: HpBandSter's log does not say what was searched. Give it with --space: a NAME of "
            "`bohb-nas list spaces`, FILE.py with a function space(), or ConfigSpace's FILE.json, FILE.yaml or FILE.pcs"
        )
    return found


def _space(reference: str) -> ConfigurationSpace:
    """The space behind a reference; files of older ConfigSpaces too, without what ConfigSpace says of their age.

    Raises:
        UsageError: there is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_pcs(reference) if reference.endswith(".pcs") else load_space(reference)


def ladder(found: Sequence[float], *, unit: str) -> Budgets:
    """The ladder max / eta^k that some budgets stand on; eta is the smallest ratio of neighbours, 3 where there is one budget.

    Raises:
        UsageError: they stand on none, or on one of too many.
    """
    distinct: list[float] = []
    for budget in sorted(found):
        if not distinct or not math.isclose(budget, distinct[-1], rel_tol=_TOLERANCE):
            distinct.append(budget)
    ratio = min((high / low for low, high in itertools.pairwise(distinct)), default=3.0)
    if not math.isfinite(distinct[-1] / distinct[0]):
        raise LogError(f"budgets from {distinct[0]:g} to {distinct[-1]:g} are too far apart; a run on such budgets cannot be imported")
    eta = float(round(ratio)) if math.isclose(ratio, round(ratio), rel_tol=_TOLERANCE) else float(f"{ratio:.12g}")
    top = distinct[-1]
    n = round(math.log(top / distinct[0]) / math.log(eta)) if eta > 1 else 0
    low = top / eta**n
    low = distinct[0] if math.isclose(distinct[0], low, rel_tol=_ROUNDING) else low  # so that an own export has its budgets back
    try:
        budgets = Budgets(min=low, max=top, eta=eta, unit=unit) if eta >= 2 else None
    except UsageError as e:
        raise LogError(f"{e}; a run on such budgets cannot be imported") from e
    if budgets is None or not all(_rung(budget, budgets)[0] >= 0 for budget in distinct):
        listed = ", ".join(f"{b:g}" for b in distinct[:10])
        raise LogError(f"the budgets {listed} are no ladder max / eta^k with eta of at least 2; a run on such budgets cannot be imported")
    return budgets


def _rung(budget: float, budgets: Budgets) -> tuple[int, float]:
    """The rung of a budget and the ladder's own number for it; -1 where it has none."""
    return next(((k, b) for k, b in enumerate(budgets.rungs) if math.isclose(b, budget, rel_tol=_TOLERANCE)), (-1, budget))


def _events(log: Log, budgets: Budgets, *, own: bool) -> list[Event]:
    """The journal: one term, every ask and tell at its time."""
    runs = sorted(log.runs, key=lambda run: (run.submitted, run.budget))
    entry: dict[Any, int] = {}
    highest: dict[Any, int] = {}
    dated: list[tuple[float, int, Event]] = [(runs[0].submitted, 0, Event(term=1, time=runs[0].submitted))]
    for n, run in enumerate(runs):
        rung = _rung(run.budget, budgets)[0]
        promoted = rung > highest.setdefault(run.id, rung)
        highest[run.id] = max(highest[run.id], rung)
        bracket = len(budgets.rungs) - 1 - entry.setdefault(run.id, rung)
        config = log.configs[run.id]
        origin = Origin.PROMOTED if promoted else Origin.MODEL if config.model_based else Origin.RANDOM
        trial = Trial(
            trial_id=f"t{n:05d}",
            config_id="-".join(map(str, run.id)),
            config=config.config,
            budget=run.budget,
            bracket=bracket,
            rung=rung,
            seed=0,
            origin=origin,
        )
        dated.append((run.submitted, 1, Event(term=1, time=run.submitted, trial=trial, reason="imported from HpBandSter")))
        dated.append((run.finished, 2, Event(term=1, time=run.finished, result=_result(run, trial.trial_id, own=own))))
    return [event for _, _, event in sorted(dated, key=lambda one: one[:2])]


def _result(run: Run, trial_id: str, *, own: bool) -> Result:
    """The result; of an export of `bohb-nas` with the status, seconds, metrics and broken constraints that it says."""
    details: dict[str, Any] = {"hpbandster": {"id": list(run.id), "started": run.started, "info": run.info}}
    status, train_s, metrics = run.status, run.finished - run.started, {}
    if own and isinstance(run.info, dict):
        word, told, broken = (run.info.get(name) for name in ("status", "metrics", "violates"))
        if isinstance(broken, list) and broken and all(isinstance(text, str) for text in broken):
            details["violates"] = broken
        seconds: Any = run.info.get("train_s")
        if run.loss is None and isinstance(word, str) and word in set(Status) - {Status.OK}:
            status = Status(word)
        train_s = float(seconds) if is_number(seconds) and seconds >= 0 else train_s
        metrics = {str(k): float(v) for k, v in told.items() if is_number(v)} if isinstance(told, dict) else {}
    return Result(trial_id=trial_id, status=status, loss=run.loss, train_s=train_s, metrics=metrics, details=details, message=run.message)


def _check(events: Sequence[Event]) -> None:
    """Makes sure that the journal reads as what it is."""
    state = State()
    for event in events:
        state.apply(Event.from_line(event.to_line().encode()))


def _meta(source: Path, reference: str, budgets: Budgets) -> dict[str, Any]:
    digests = {name: hashlib.sha256((source / name).read_bytes()).hexdigest() for name in (CONFIGS, RESULTS)}
    return {
        **{"format": FORMAT, "space": reference, "method": METHOD, "method_options": {}, "worker": METHOD, "worker_options": {}},
        **{"budgets": budgets.to_json(), "seed": 0, "promote": "restart", "rank_probe": 0, "cwd": path_kept(str(Path.cwd()))},
        "stop": {"brackets": None, "trials": None, "total_s": None},
        "imported": {"format": METHOD, "from": path_kept(str(source.absolute())), **digests},
        "created": time.time(),
    }
