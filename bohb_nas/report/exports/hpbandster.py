"""A study as a run directory of HpBandSter, which its own reader and DeepCAVE open.

Format: `configspace.json`, the space as ConfigSpace writes it; `configs.json`, a line `[id, configuration, {"model_based_pick": bool}]`
for each configuration; `results.json`, a line `[id, budget, {"submitted", "started", "finished"}, {"loss", "info"}, null]` for each
finished evaluation. An id is `[i, 0, j]`: of the configurations that entered at rung i, the j-th. Two rules come from DeepCAVE: a failed
evaluation has a loss and the state CRASHED, since null would count as a success, and hyperparameters without a choice are
left out, since one of them turns every importance into NaN. A file `bohb_nas.json` says whose export it is.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bohb_nas.durations import counted
from bohb_nas.errors import StorageError, UsageError
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.records import ASIDE, NOT_DRAWN, Evaluation, Origin, Result, Trial, Value
from bohb_nas.report.exports._owner import name_of
from bohb_nas.report.exports._table import Written, times
from bohb_nas.report.status import Watch
from bohb_nas.store import notes
from bohb_nas.store.journal import State
from bohb_nas.store.meta import ALONE, OWNER
from bohb_nas.store.stays import stay

_LEFT_OUT = "baselines, probes and searches in a worker"
_FILES = (OWNER, "configspace.json", "configs.json", "results.json")
_FAILED_LOSS = 1.0
"""What a failure counts as, or the highest loss of a success where that is more: it must not look like the best."""


def make(watch: Watch, to: Path) -> "RunDirectory":
    """The export to a folder.

    Raises:
        UsageError: the study has no space or has lost it, or there is something else than an earlier export of it.
    """
    from bohb_nas.space.files import frozen_space, space_to_json
    from bohb_nas.space.without import without_constants

    study = watch.study
    if study.read_meta()["space"] == ALONE and not study.space_json.exists():
        raise UsageError(f"{study.path} has no search space: baselines alone were trained in it; --format csv takes them")
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {to} is a file; a run directory of HpBandSter is a folder, name one that is new")
    name = name_of(study)
    if to.is_dir() and any(to.iterdir()) and notes.text(notes.read_note(to / OWNER), "study") != name:
        raise UsageError(f"--to {to} holds something else than an earlier export of this study; name a new or empty folder")
    space, left_out = without_constants(frozen_space(study.read_space(), study.space_json))
    return RunDirectory(watch, to, name=name, space=space_to_json(space), left_out=left_out)


class RunDirectory:
    """The files of a study in a folder, each replaced as a whole."""

    def __init__(self, watch: Watch, to: Path, *, name: str, space: str, left_out: frozenset[str]) -> None:
        self._watch = watch
        self._to = to
        self._name = name
        self._space = space
        self._left_out = left_out
        self._written = Written()
        self._said = ""
        """Of what was written."""

    def update(self) -> str:
        """Writes all finished evaluations of this moment, where the files have others or one is not there."""
        state = self._watch.look()
        if not self._written.holds(state, *(self._to / name for name in _FILES)):
            self._said = self._write(state)
            self._written.note(state)
        return self._said

    def _write(self, state: State) -> str:
        try:
            self._to.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(f"cannot make {self._to}: {e.strerror}; free space, or name a folder where you may write") from e
        if notes.text(notes.read_note(self._to / OWNER), "study") not in (None, self._name):
            raise UsageError(f"--to {self._to} holds the export of another study, begun since this one was; name another folder")
        unit = self._watch.study.read_meta()["budgets"]["unit"]
        told = [e for e in state.evaluations() if e.trial.origin not in ASIDE | NOT_DRAWN]
        keyed = [(_key(e, self._left_out), e) for e in told]
        found = {key: _config(e, self._left_out) for key, e in keyed}
        ids = _ids(list(state.trials.values()), found)
        picks = {t.config_id: t.origin is Origin.MODEL for t in reversed(state.trials.values())}
        configs = [[list(ids[key]), dict(config), {"model_based_pick": picks[key[0]]}] for key, config in found.items()]
        asked, ended = times(state)
        worst = max([_FAILED_LOSS, *(e.result.loss for e in told if e.result.loss is not None)])
        results = [_line(e, list(ids[key]), asked=asked, ended=ended, failed=worst) for key, e in keyed]
        texts = (
            dump_json({"study": self._name, "unit": unit}) + "\n",
            self._space + "\n",
            "".join(dump_json(line) + "\n" for line in configs),
            "".join(dump_json(line) + "\n" for line in results),
        )
        for name, text in zip(_FILES, texts, strict=True):
            write_atomic(self._to / name, text, mode=0o644)
        beside = len(state.results) - len(told)
        return f"{counted(len(results), 'evaluation')} of {counted(len(configs), 'configuration')}: {self._to}" + (
            f"; {_LEFT_OUT} are left out, HpBandSter has no word for them: {counted(beside, 'evaluation')}" if beside else ""
        )


_Key = tuple[str, str]
"""A configuration's id in the study, and the configuration as JSON: a worker that searches by itself finds another at every budget."""


def _config(evaluation: Evaluation, left_out: frozenset[str]) -> Mapping[str, Value]:
    return {name: value for name, value in evaluation.config.items() if name not in left_out}


def _key(evaluation: Evaluation, left_out: frozenset[str]) -> _Key:
    return evaluation.trial.config_id, dump_json(_config(evaluation, left_out))


def _ids(asked: list[Trial], keys: Iterable[_Key]) -> dict[_Key, tuple[int, int, int]]:
    """[i, 0, j] of every configuration: i its entry rung, j its number among those."""
    entered = {t.config_id: t.rung for t in reversed(asked)}
    ids: dict[_Key, tuple[int, int, int]] = {}
    counts: dict[int, int] = {}
    for key in keys:
        rung = entered[key[0]]
        ids[key] = rung, 0, counts.get(rung, 0)
        counts[rung] = counts.get(rung, 0) + 1
    return ids


def _line(e: Evaluation, config_id: list[int], *, asked: Mapping[str, float], ended: Mapping[str, float], failed: float) -> list[Any]:
    trial_id, where = e.trial.trial_id, stay(e.result)
    submitted = asked[trial_id]  # by the master's clock, the others by the worker's, which may be behind
    started = submitted if where is None else max(submitted, where.began)
    finished = ended[trial_id] if where is None else max(started, where.ended)
    stamps = {"submitted": submitted, "started": started, "finished": finished}
    loss = failed if e.result.loss is None else e.result.loss
    return [config_id, e.trial.budget, stamps, {"loss": loss, "info": _info(e.trial, e.result)}, None]


def _info(trial: Trial, result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {"trial_id": trial.trial_id, "status": str(result.status), "train_s": result.train_s}
    told |= {"state": "CRASHED", "message": result.message or ""} if result.loss is None else {}
    told |= {"violates": list(result.violates)} if result.violates else {}
    return told | ({"metrics": dict(result.metrics)} if result.metrics else {})
