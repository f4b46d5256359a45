"""The record of a study: written, compared with what was typed for an existing study, turned into objects, and its data and worker asked.

What was typed for an existing study and says otherwise than its record is listed and refused; only workers and what `_TAKEN` names
may differ. In which order a study is opened by these steps says `opening`.
"""

import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from bohb_nas.datasets import Dataset, prepare
from bohb_nas.engine.drive import StopRule
from bohb_nas.engine.keys import make_keys
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.training_process import options_of
from bohb_nas.entries import refuse_unknown
from bohb_nas.errors import BohbNasError, OptionError, StorageError, StudyError, UsageError, end_text
from bohb_nas.files import dump_json, is_aside, write_atomic
from bohb_nas.hyperband import worth
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.methods import load_method
from bohb_nas.one_shot_settings import SEARCHES
from bohb_nas.records import Budgets
from bohb_nas.refs import let_import, load_module
from bohb_nas.space.files import frozen_space, load_space, space_to_json
from bohb_nas.store.frozen import freeze
from bohb_nas.store.inputs import changed_inputs, remedy, store_inputs
from bohb_nas.store.meta import IMAGE_WORKERS, refuse_no_search
from bohb_nas.store.notes import tail
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.training import visible

DEFAULT_BRACKETS = 32
_CHECK_S = 600.0
"""Until a worker has said whether it accepts the space."""
_TAKEN = ("stop", "rank_probe", "hard_limit_s", "promote", "skip_unreadable", "listen", "lease_s", "require_same_gpu")
"""What a study takes from whoever resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The live objects that a study's record names."""

    space: ConfigurationSpace
    budgets: Budgets
    method_options: Any
    stop: StopRule
    worth: float | None
    """Sum of the budgets after which the search ends, where that is known beforehand."""


def build(meta: dict[str, Any], space: ConfigurationSpace) -> Parts:
    """Makes the parts of a study from its record.

    Raises:
        UsageError: the method is unknown or refuses its options.
    """
    budgets = Budgets(**meta["budgets"])
    method = load_method(meta["method"], start=meta["cwd"])
    has_brackets = "n_brackets" in {f.name for f in fields(method.Options)}
    if "n_brackets" in meta["method_options"]:
        raise OptionError("n_brackets is no --method-option: give --brackets, which may differ when the study is resumed")
    stop = meta["stop"]
    if stop["brackets"] is not None and not has_brackets:
        raise OptionError(f"method {meta['method']} has no brackets; use --trials or --total-time instead of --brackets")
    limited = any(v is not None for v in stop.values())
    n_brackets = {"n_brackets": stop["brackets"] if limited else DEFAULT_BRACKETS} if has_brackets else {}
    known = [f.name for f in fields(method.Options) if f.name != "n_brackets"]
    refuse_unknown(f"method {meta['method']}", meta["method_options"], known)
    try:
        options = method.Options(**meta["method_options"], **n_brackets)
    except TypeError as e:
        raise OptionError(f"method {meta['method']}: {e}; --method-option accepts: {', '.join(known)}") from e
    ends = meta["method"] in SEARCHES  # by itself, after two trials or so
    total = worth(budgets, stop["brackets"] or DEFAULT_BRACKETS) if stop["brackets"] or not (limited or ends) else None
    if total is not None and not math.isfinite(total):
        raise UsageError(
            f"so many brackets of budgets up to {budgets.max:g} add up to more than a number holds; give smaller budgets or fewer"
        )
    seconds = budgets.unit == "s"
    rule = StopRule(trials=stop["trials"], total_s=stop["total_s"], worth=None if has_brackets else total, in_seconds=seconds)
    return Parts(space=space, budgets=budgets, method_options=options, stop=rule, worth=total)


def check(
    meta: dict[str, Any], space: ConfigurationSpace, *, ask_worker: bool = True, trains_here: bool = True
) -> tuple[list[str], Dataset | None]:
    """Makes sure that data and worker can be had, without writing into the study.

    Args:
        meta: its record.
        space: what is searched.
        ask_worker: whether to start a training process for that.
        trains_here: whether workers are to train on this machine, so that its GPUs matter.

    Returns:
        What the person should know, a line each, and the data set, where the worker trains on one of ours.

    Raises:
        UsageError: the data set cannot be read or is not the study's, or the worker refuses space or options.
        BohbNasError: the worker's process ended without an answer.
    """
    notes: list[str] = []
    found: Dataset | None = None
    if meta["worker"] in IMAGE_WORKERS:
        found = check_data(meta, skip_unreadable=meta["skip_unreadable"])
        n_test = 0 if found.test_labels is None else len(found.test_labels)
        notes.append(
            f"data set {found.name}: {len(found.train_labels)} images for training and validation, {n_test} for the final test, "
            f"{len(found.classes)} classes, {'x'.join(map(str, found.image_shape))}"
        )
        notes += [f"data set {found.name}: {remark}" for remark in found.remarks]
        notes += [f"warning: unreadable image left out: {path}: {reason}" for path, reason in found.skipped]
    if ask_worker:
        notes += _ask_worker(meta, space, trains_here=trains_here)
    return notes, found


def check_data(meta: dict[str, Any], *, skip_unreadable: bool) -> Dataset:
    """The data set of a worker that trains on one of ours.

    Args:
        meta: the study's record, which names it, and the fingerprint of the data that the study began with, if it has begun and says it.
        skip_unreadable: whether images that cannot be read are left out.

    Raises:
        UsageError: it cannot be read, or is not the study's.
    """
    dataset, data_dir = meta["worker_options"]["dataset"], meta["worker_options"].get("data_dir")
    let_import(dataset, start=meta["cwd"])
    found = prepare(dataset, data_dir=Path(data_dir) if data_dir else None, skip_unreadable=skip_unreadable)
    if meta.get("data_fingerprint") not in (None, found.fingerprint):
        raise StudyError(f"data set {dataset} has changed since the study started; restore it, or start a new study")
    return found


def _ask_worker(meta: dict[str, Any], space: ConfigurationSpace, *, trains_here: bool = True) -> list[str]:
    """Starts a training child for a moment: can the worker be made, and does it accept the space? What it has to say of it, a line each."""
    asked = dump_json({"check": space_to_json(space)}) + "\n"
    # a GPU that a login node names and lacks keeps nobody from searching elsewhere
    elsewhere = not trains_here and meta["worker"] in IMAGE_WORKERS and meta["worker_options"].get("device") is None
    # no pipes: what the worker started as it was imported may hold them open for as long as it likes
    try:
        told, log = tempfile.TemporaryFile(), tempfile.NamedTemporaryFile()  # noqa: SIM115 - entered below, where other errors are others'
    except OSError as e:
        raise StorageError(f"no temporary file can be made: {e.strerror}; TMPDIR names another folder for them") from e
    with told, log:
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-m", "bohb_nas.engine.child", str(os.getpid()), meta["worker"], dump_json(options_of(meta))],
                input=asked.encode(errors="replace"),
                stdout=told,
                stderr=log,
                cwd=meta["cwd"],
                env={**os.environ, visible.NAME: ""} if elsewhere else None,
                check=False,
                timeout=_CHECK_S,
            )
        except subprocess.TimeoutExpired as e:
            raise UsageError(f"worker {meta['worker']} was not ready after {_CHECK_S:g} s; make it start faster") from e
        told.seek(0)
        answers, said = [json.loads(line) for line in told], tail(Path(log.name), 2000)
    for answer in answers:
        if "error" in answer:
            raise UsageError(answer["error"])
    if not any("checked" in answer for answer in answers):
        raise BohbNasError(
            f"worker {meta['worker']} has not said whether it accepts the space: its process ended with {end_text(child.returncode)}:\n"
            f"{said}"
        )
    return [str(note) for answer in answers for note in answer.get("notes", ())]


def create(study: StudyDir, meta: dict[str, Any], space: ConfigurationSpace, knowledge: Knowledge = NOTHING) -> None:
    """Writes a new study; its record comes last, so that a study exists as a whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    for path in filter(is_aside, study.path.iterdir()):
        path.unlink(missing_ok=True)
    write_atomic(study.space_json, space_to_json(space) + "\n")
    meta["inputs"] = store_inputs(study, meta)
    meta["frozen"] = freeze(study, knowledge)
    make_keys(study)  # though a master would: a disk without room for them is to leave no study
    meta |= {"created": time.time(), "versions": _versions(), "git_commit": _git_commit(meta["cwd"])}
    study.write_meta(meta)


def check_folder(meta: dict[str, Any]) -> None:
    """Makes sure that the folder is there in which a study finds its commands and files.

    Raises:
        StudyError: it is gone.
    """
    folder = meta.get("cwd")
    if folder is not None and not Path(folder).is_dir():
        raise StudyError(
            f"the folder where this study was started is gone: {folder}; its commands and files are looked up there: restore it, or where "
            f"it was moved or copied, put a link in its place: ln -s NEW {shlex.quote(folder)}"
        )


def reopen(study: StudyDir, request: Request) -> tuple[dict[str, Any], ConfigurationSpace]:
    """The record and space of an existing study, after comparing them with what was typed now. Writes nothing.

    Raises:
        StudyError: it is another search or none, or the user's files have changed since.
    """
    stored = study.read_meta()
    refuse_no_search(stored, study.path)
    wanted = plan(request, base=stored)
    meta = {**stored, **{name: wanted[name] for name in _TAKEN}}
    different = [
        f"{name}: the study has {json.dumps(stored.get(name))}, asked is {json.dumps(value)}"
        for name, value in wanted.items()
        if name != "format" and meta.get(name) != value
    ]
    if different:
        listed = "\n  ".join(different)
        raise StudyError(f"{study.path} belongs to another search:\n  {listed}\nuse another DIR, or leave these options out to resume it")
    changed = changed_inputs(stored)
    if changed and not request.accept_changed_inputs:
        check_folder(stored)  # of which this would be only what follows
        listed = "\n  ".join(changed)
        raise StudyError(
            f"files are not those that this study took at its start or by the last --accept-changed-inputs:\n  {listed}\n"
            f"{remedy(study, stored, accept='add --accept-changed-inputs')}"
        )
    return meta, frozen_space(study.read_space(), study.space_json)


def keep(study: StudyDir, meta: dict[str, Any]) -> None:
    """Writes what `reopen` changed in a study's record, and the user's files as they are now."""
    if changed_inputs(meta):
        meta["inputs"] = store_inputs(study, meta)
    if meta != study.read_meta():
        study.write_meta(meta)


def new_space(meta: dict[str, Any]) -> ConfigurationSpace:
    """The space of a new study; where its file offers `network(config)`, the record tells the image classifier to take it."""
    reference, options = meta["space"], meta["worker_options"]
    space = load_space(reference)
    if meta["worker"] in IMAGE_WORKERS and reference.endswith(".py") and hasattr(load_module("space", reference), "network"):
        options.setdefault("network", reference)
    return space


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("bohb-nas", "ConfigSpace", "numpy", "scipy", "torch", "torchvision", "distributed"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_commit(folder: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run([git, "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
