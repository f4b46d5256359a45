"""A study as runs of MLflow, written by MLflow's own client: one run for each finished evaluation, in an SQLite file.

A run is written once: an update adds those that are missing, whoever wrote the others, and goes on with one that was interrupted.
"""

import itertools
import logging
import posixpath
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from bohb_nas.durations import counted
from bohb_nas.errors import NoLocksError, StorageError, UsageError
from bohb_nas.locks import Lock
from bohb_nas.records import Evaluation
from bohb_nas.report.exports._owner import name_of
from bohb_nas.report.exports._table import check_file, hyperparameters, make_folder, times
from bohb_nas.report.status import Watch
from bohb_nas.store.notes import first_line
from bohb_nas.store.stays import stay

_ID = "bohb_nas.trial_id"
_PAGE = 1000
_AGAIN_S = 0.1
"""Between two looks whether another export still writes."""
_LONGEST = 500
"""Characters of a value: the most that every version of MLflow takes."""
_LONGEST_NAME = 200
"""Characters of a name, without a number."""
_FORBIDDEN = re.compile(r"[^\w\-. /]")
"""What MLflow does not take in a name."""
_LEADING_DOTS = re.compile(r"^\.+")


def make(watch: Watch, to: Path) -> "Runs":
    """The export to an SQLite file; MLflow no longer takes folders.

    Raises:
        UsageError: MLflow is not installed, or no such file can be written.
    """
    try:
        tracking, entities, *_ = map(import_module, ("mlflow.tracking", "mlflow.entities", "sqlalchemy", "alembic"))
    except ImportError as e:
        raise UsageError(f"--format mlflow needs MLflow ({e}): pip install 'bohb-nas[mlflow]'") from e
    if to.suffix != ".db":
        raise UsageError(
            f"--to {to}: MLflow's runs go to an SQLite file; accepted is a name that ends in .db, e.g. {to.with_suffix('.db')}"
        )
    check_file(to)
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)  # what it says of an error is in ours
    return Runs(watch, to, tracking=tracking, entities=entities)


class Runs:
    """The runs of a study in a store of MLflow, in an experiment of the study's path."""

    def __init__(self, watch: Watch, to: Path, *, tracking: Any, entities: Any) -> None:
        self._watch = watch
        self._to = to
        self._tracking = tracking
        self._client: Any = None
        self._entities = entities
        self._complete: set[str] = set()
        """Trials whose runs are written."""

    def update(self) -> str:
        """Adds the runs that are missing, one process after the other: two would add the same."""
        make_folder(self._to)
        with Lock(self._to.with_name(f"{self._to.name}.lock")) as lock:
            try:
                while not lock.acquire():
                    time.sleep(_AGAIN_S)
            except NoLocksError as e:
                return f"{self._add()}; {e}, so that nothing keeps a second export from adding the same"
            return self._add()

    def _add(self) -> str:
        refusals = import_module("mlflow.exceptions").MlflowException, import_module("sqlalchemy.exc").SQLAlchemyError
        state = self._watch.look()
        asked, told = times(state)
        evaluations = list(state.evaluations())
        params = _names(itertools.chain(hyperparameters(self._watch.study), *(e.config for e in evaluations)))
        metrics = _names(f"metric.{name}" for e in evaluations for name in e.result.metrics)
        try:
            self._client = self._client or self._tracking.MlflowClient(tracking_uri=f"sqlite:///{self._to}")
            experiment = self._experiment()
            begun = self._begun(experiment)
            for e in evaluations:
                trial_id = e.trial.trial_id
                if trial_id not in self._complete:
                    values = _params(e, params), _metrics(e, metrics)
                    self._write(e, *values, experiment, begun.get(trial_id), asked=asked[trial_id], told=told[trial_id])
                    self._complete.add(trial_id)
        except (*refusals, OSError) as e:
            raise StorageError(
                f"MLflow cannot write {self._to}: {first_line(str(e))}; what it has is kept, the same command goes on"
            ) from e
        uri = shlex.quote(f"sqlite:///{self._to}")
        return f"{counted(len(self._complete), 'run')}: {self._to}; `mlflow ui --backend-store-uri {uri}` shows them"

    def _experiment(self) -> str:
        name = name_of(self._watch.study)
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        files = self._to.with_suffix(".artifacts").as_uri()  # of which there are none
        return str(self._client.create_experiment(name, artifact_location=files))

    def _begun(self, experiment: str) -> dict[str, str]:
        """Trial -> run, of runs that an interruption left unfinished; those that are complete are noted."""
        begun: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs([experiment], max_results=_PAGE, page_token=token)
            for run in page:
                trial_id = run.data.tags.get(_ID)
                if trial_id is not None and run.info.status in ("FINISHED", "FAILED"):
                    self._complete.add(trial_id)
                elif trial_id is not None:
                    begun[trial_id] = run.info.run_id
            token = page.token
            if not token:
                return begun

    def _write(
        self,
        e: Evaluation,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        experiment: str,
        run_id: str | None,
        *,
        asked: float,
        told: float,
    ) -> None:
        where = stay(e.result)
        began, ended = (asked, told) if where is None else (where.began, where.ended)
        if run_id is None:
            name = {_ID: e.trial.trial_id, "mlflow.runName": e.trial.trial_id}
            run_id = self._client.create_run(experiment, start_time=round(began * 1000), tags=name).info.run_id
        stamp = round(ended * 1000)
        numbers = [self._entities.Metric(name, value, stamp, 0) for name, value in metrics.items()]
        texts = [self._entities.Param(name, value) for name, value in params.items()]
        tags = [self._entities.RunTag(name, value) for name, value in _tags(e).items()]
        for start in range(0, max(len(numbers), len(texts), len(tags)), 100):  # of what MLflow takes at once
            some = slice(start, start + 100)
            self._client.log_batch(run_id, metrics=numbers[some], params=texts[some], tags=tags[some])
        self._client.set_terminated(run_id, status="FINISHED" if e.result.loss is not None else "FAILED", end_time=stamp)


def _metrics(e: Evaluation, names: Mapping[str, str]) -> dict[str, float]:
    told = {} if e.result.loss is None else {"loss": e.result.loss}
    told |= {"budget": e.trial.budget, "train_s": e.result.train_s}
    return told | {names[f"metric.{name}"]: value for name, value in e.result.metrics.items()}


def _params(e: Evaluation, names: Mapping[str, str]) -> dict[str, str]:
    return {names[name]: str(value)[:_LONGEST] for name, value in e.config.items()}


def _tags(e: Evaluation) -> dict[str, str]:
    trial, where = e.trial, stay(e.result)
    found = {"config_id": trial.config_id, "origin": trial.origin, "status": e.result.status, "bracket": trial.bracket, "rung": trial.rung}
    found |= {"seed": trial.seed, "violates": "; ".join(e.result.violates), "message": e.result.message or ""}
    found |= {} if where is None else {"host": where.host, "device": where.device, "model": where.model or ""}
    return {f"bohb_nas.{name}": str(value)[:_LONGEST] for name, value in found.items() if value != ""}


def _names(names: Iterable[str]) -> dict[str, str]:
    """Names -> those that MLflow takes; what would have the same is numbered, in the order of the first mention: a_b, a_b-2."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        plain = _plain(name)
        numbered = (f"{plain}-{n}" for n in itertools.count(2))
        found[name] = next(free for free in itertools.chain([plain], numbered) if free not in taken)
        taken.add(found[name])
    return found


def _plain(name: str) -> str:
    """A name of characters that MLflow takes, and no path that could be written shorter or that leads out of a folder: it takes none."""
    plain = _FORBIDDEN.sub("_", name)[:_LONGEST_NAME]
    if posixpath.normpath(plain) == plain and not plain.startswith(("/", "..")) and plain != ".":
        return plain
    return _LEADING_DOTS.sub(lambda dots: "_" * len(dots[0]), plain.replace("/", "_")) or "_"
