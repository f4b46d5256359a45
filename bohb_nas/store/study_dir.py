"""The study directory: the only place that composes its paths, and the rules for who may use it.

Longer than 300 lines because it has every path.
"""

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bohb_nas.errors import JournalError, NoLinksError, RecordError, StorageError, StudyError, UsageError
from bohb_nas.files import FULL, dump_json, is_aside, pasted, storing, write_atomic, write_once
from bohb_nas.reading import NOT_AS_MEANT, parse_json, read_regular
from bohb_nas.records import RESULT_LIMIT_BYTES, Evaluation, Trial
from bohb_nas.store.lines import sound_bytes
from bohb_nas.store.local_folder import local_folder
from bohb_nas.store.meta import wrong_in

FORMAT = 2
"""Version of the directory's layout; a study of a newer one is refused. 2: what is known beforehand counts."""

LOG = "log.txt"
"""What a trial and its worker said, in the folder of an attempt."""
TRIAL = "trial.json"
"""The trial that an attempt is at, in its folder."""
_FILE_LIMIT_BYTES = 4 * RESULT_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class StudyDir:
    """The paths of one study."""

    path: Path

    @property
    def quoted(self) -> str:
        """The path as a command that is shown has it: it can be pasted into a shell."""
        return pasted(self.path)

    @property
    def study_json(self) -> Path:
        """What is searched and how; its presence makes the directory a study."""
        return self.path / "study.json"

    @property
    def space_json(self) -> Path:
        """The search space in ConfigSpace's own JSON, frozen at the start."""
        return self.path / "space.json"

    @property
    def inputs(self) -> Path:
        """The user's files as they were at the start."""
        return self.path / "inputs"

    @property
    def knowledge_json(self) -> Path:
        """Configurations to try first, prior and constraints, frozen at the start."""
        return self.inputs / "knowledge.json"

    @property
    def warm_start(self) -> Path:
        """Evaluations of earlier studies, frozen at the start; one JSON line each."""
        return self.inputs / "warm_start.jsonl"

    def copy_of(self, source: str | Path, kind: str) -> Path:
        """The copy of a user's file that serves as `kind`."""
        return self.inputs / f"{kind}-{Path(source).name}"

    @property
    def journal(self) -> Path:
        """Every ask and tell, one JSON line each."""
        return self.path / "journal.jsonl"

    @property
    def master_lock(self) -> Path:
        """Held by whoever leads."""
        return self.path / "master.lock"

    @property
    def leases(self) -> Path:
        """Leases in place of that lock, numbered; there only where locks do not reach every machine."""
        return self.path / "leases"

    @property
    def device_json(self) -> Path:
        """Of what kind the first worker's device was."""
        return self.path / "device.json"

    @property
    def scheduler_json(self) -> Path:
        """Where the leader can be reached."""
        return self.path / "scheduler.json"

    @property
    def last_led(self) -> Path:
        """In place of `scheduler_json` once a master has ended in good order: until when it led."""
        return self.path / "last_led.json"

    @property
    def job(self) -> Path:
        """The script of the job array that was last submitted."""
        return self.path / "job.sh"

    @property
    def done(self) -> Path:
        """Present when the study is finished."""
        return self.path / "done"

    @property
    def results(self) -> Path:
        """One file for each finished evaluation, written by its worker."""
        return self.path / "results"

    @property
    def running(self) -> Path:
        """One file for each evaluation in training; its time of modification is the heartbeat."""
        return self.path / "running"

    @property
    def workers(self) -> Path:
        """One lock and one log for each worker."""
        return self.path / "workers"

    @property
    def trials(self) -> Path:
        """One folder for each trial, in it one for each attempt."""
        return self.path / "trials"

    @property
    def tls(self) -> Path:
        """The folder of key and certificate."""
        return self.path / "tls"

    @property
    def credentials(self) -> tuple[Path, Path]:
        """Key and certificate of this study."""
        return self.tls / "key.pem", self.tls / "cert.pem"

    @property
    def report(self) -> Path:
        """Figures and the page of an analysis."""
        return self.path / "report"

    @property
    def trained(self) -> Path:
        """Models trained for good, a folder for each seed."""
        return self.path / "trained"

    def result(self, trial_id: str) -> Path:
        """The result file of a trial."""
        return self.results / f"{trial_id}.json"

    def heartbeat(self, trial_id: str) -> Path:
        """The file that says who trains a trial."""
        return self.running / f"{trial_id}.json"

    def worker_lock(self, host: str, device: str) -> Path:
        """The lock of the worker that owns a device of a host."""
        return self.workers / f"{file_name(host)}-{file_name(device)}.lock"

    def standby_lock(self, host: str) -> Path:
        """Held by the process of a host that is ready to lead."""
        return self.workers / f"{file_name(host)}.standby"

    def local_lock(self, device: str) -> Path:
        """The lock of a device of this machine, in a folder of this machine: for studies where there are no locks.

        Raises:
            StudyError: there is no place for that folder.
        """
        return local_folder() / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}-{file_name(device)}.lock"

    def worker_log(self, host: str, device: str) -> Path:
        """What a worker program said."""
        return self.workers / f"{file_name(host)}-{file_name(device)}.log"

    def attempts(self, trial_id: str) -> list[Path]:
        """The attempt folders of a trial, oldest first."""
        folder = self.trials / trial_id
        try:
            names = [name for name in os.listdir(folder) if name.isascii() and name.isdecimal() and len(name) < 10]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []
        return [folder / name for name in sorted(names, key=int)]

    def new_attempt(self, trial_id: str) -> Path:
        """Makes the folder of the next attempt at a trial; not in a study that is gone.

        Raises:
            StorageError: the disk refused, or the study is gone.
        """
        n = int(self.attempts(trial_id)[-1].name) + 1 if self.attempts(trial_id) else 0
        folder = self.trials / trial_id / str(n)
        with storing(folder):
            self._restore(self.trials)
            folder.parent.mkdir(exist_ok=True)
            while True:
                try:
                    folder.mkdir()
                except FileExistsError:  # another's, that was not shown when the folder was listed
                    folder = folder.with_name(str(int(folder.name) + 1))
                else:
                    return folder

    def checkpoint(self, trial_id: str) -> Path | None:
        """The newest checkpoint folder of a trial, or None."""
        return next((a / "checkpoint" for a in reversed(self.attempts(trial_id)) if (a / "checkpoint").is_dir()), None)

    def model(self, trial_id: str) -> Path | None:
        """The newest folder with a trained model that a trial left ready for use, or None."""
        return next((a / "model" for a in reversed(self.attempts(trial_id)) if (a / "model" / "model.json").is_file()), None)

    def drop_checkpoints(self, trial_id: str) -> None:
        """Deletes the checkpoints of a trial; a model that is ready for use stays."""
        for attempt in self.attempts(trial_id):
            shutil.rmtree(attempt / "checkpoint", ignore_errors=True)

    def exists(self) -> bool:
        """Whether a study stands here.

        Raises:
            OSError: the disk does not say.
        """
        try:
            return stat.S_ISREG(os.stat(self.study_json).st_mode)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise

    def check_apart(self, option: str, place: Path) -> None:
        """Refuses to have something written where the study's own files lie; its report's folder is free.

        Args:
            option: that names the place.
            place: a file or folder, there or not.

        Raises:
            UsageError: it is the study, or lies in it.
        """
        own, real = Path(os.path.realpath(self.path)), Path(os.path.realpath(place))
        if own in (real, *real.parents) and own / self.report.name not in (real, *real.parents):
            raise UsageError(
                f"{option} {place} lies in the study, whose own files nothing may replace; name a place elsewhere, or in {self.report}"
            )

    def check_access(self) -> None:
        """Refuses a directory that others could have tampered with.

        Raises:
            StudyError: it belongs to somebody else, others may write to it, or we may not.
        """
        about = self.path.stat()
        if about.st_uid != os.getuid():
            raise StudyError(
                f"study directory {self.path} belongs to user {about.st_uid}, you are {os.getuid()}; use a directory of your own"
            )
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StudyError(
                f"study directory {self.path} may be written by others (mode {stat.S_IMODE(about.st_mode):o}); run: chmod 700 {self.quoted}"
            )
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise StudyError(f"study directory {self.path} is not writable; give yourself the right (chmod u+rwx) or choose another DIR")

    def make(self, *, to_search: bool = True) -> None:
        """Makes the directory and its folders, readable by their owner only; harmless on an existing study.

        Args:
            to_search: whether results come into it, which takes hard links.

        Raises:
            StudyError: the place cannot hold a study.
            StorageError: the disk has no room.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.exists() and any(p.name not in _OWN_NAMES and not is_aside(p) for p in self.path.iterdir()):
                raise StudyError(f"{self.path} holds other files and no study; choose an empty or new DIR")
            self.check_access()
            if to_search:
                self._try_link()
            self.make_folders()
        except NoLinksError as e:
            raise StudyError(str(e)) from e
        except (FileExistsError, NotADirectoryError) as e:
            raise StudyError(f"{self.path} is not a directory; choose another DIR") from e
        except PermissionError as e:
            raise StudyError(f"{self.path} cannot be made or is not writable: {e.strerror}; choose another DIR") from e
        except OSError as e:
            refused = StorageError if e.errno in FULL else StudyError
            raise refused(f"cannot write {self.path}: {e.strerror}; free space or choose another DIR") from e

    def make_folders(self) -> None:
        """Makes those of its folders that are missing, in a directory that is there.

        Raises:
            OSError: the disk refused, or the directory is gone.
        """
        for folder in (self.inputs, self.results, self.running, self.workers, self.trials, self.tls):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _try_link(self) -> None:
        """Puts a file under its name once, as results and leases are, and takes it away.

        Raises:
            NoLinksError: the file system has no hard links.
            OSError: the disk refused.
        """
        tried = self.path / ".links.tmp"
        try:
            write_once(tried, b"")
        except NoLinksError:
            raise
        except StorageError as e:
            if not isinstance(e.__cause__, FileNotFoundError):  # another `run`, which came past here, has tidied up
                raise (e.__cause__ or e) from None
        finally:
            tried.unlink(missing_ok=True)

    def _restore(self, folder: Path) -> None:
        """Makes one of its folders anew where it was lost, with what else is missing; not in a study that is gone."""
        if not folder.is_dir() and self.exists():
            self.make_folders()

    def read_meta(self) -> dict[str, Any]:
        """What study.json says.

        Raises:
            StudyError: there is no study, it cannot be read, or a newer version wrote it.
            JournalError: the study is done, and its journal is gone or cannot be read.
        """
        try:
            meta = parse_json(read_regular(self.study_json, limit=_FILE_LIMIT_BYTES))
        except FileNotFoundError as e:
            raise StudyError(f"no study in {self.path}; `bohb-nas run {self.quoted}` starts one") from e
        except NotADirectoryError as e:
            raise StudyError(f"no study in {self.path}: accepted is a directory, and this is, or lies in, a file") from e
        except (OSError, ValueError, RecursionError) as e:
            raise StudyError(f"{self.study_json} cannot be read: {_why(e)}; restore it, or start a new study elsewhere") from e
        if isinstance(meta, dict) and type(meta.get("format")) is int and meta["format"] > FORMAT:
            raise StudyError(f"{self.path} was made by a newer version (format {meta['format']}, known: {FORMAT}); upgrade bohb-nas")
        if (wrong := wrong_in(meta)) is not None:
            raise StudyError(f"{self.study_json} is damaged: {wrong}; restore it, or start a new study elsewhere")
        if os.path.exists(self.done) and not sound_bytes(self.journal):
            raise JournalError(
                f"{self.journal} is missing or has no whole line, yet the study is done: accepted is the journal of its evaluations; "
                "restore it from a backup, or start a new study elsewhere"
            )
        return meta  # type: ignore[no-any-return]

    def is_another(self, meta: dict[str, Any]) -> bool:
        """Whether another study stands here than that of a record; one that cannot be read for now is taken for the same."""
        try:
            return self.read_meta().get("created") != meta.get("created")
        except (StudyError, JournalError):
            return False

    def check_same(self, meta: dict[str, Any]) -> None:
        """Makes sure that the study of a record stands here, as far as it can be read: what belongs to one must not reach another.

        Raises:
            StudyError: another stands here.
        """
        if self.is_another(meta):
            raise StudyError(f"another study has taken the place of this worker's in {self.path}; `bohb-nas worker {self.quoted}` joins it")

    def read_space(self) -> str:
        """What space.json says.

        Raises:
            StudyError: it cannot be read.
        """
        try:
            return read_regular(self.space_json, limit=_FILE_LIMIT_BYTES).decode()
        except (OSError, ValueError) as e:
            raise StudyError(f"{self.space_json} cannot be read: {_why(e)}; restore it, or start a new study elsewhere") from e

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Writes study.json as a whole."""
        write_atomic(self.study_json, json.dumps(meta, indent=1, allow_nan=False) + "\n")

    def finish(self, meta: dict[str, Any], time: float) -> None:
        """Says in `done` that the study has ended at `time`, under the stop rule and the rank probe of its record."""
        ended = {"time": time, "stop": meta["stop"], "rank_probe": meta.get("rank_probe", 0)}  # baselines alone and imports have no probe
        write_atomic(self.done, json.dumps(ended) + "\n")

    def read_result(self, trial: Trial, *, say: Callable[[str], None] | None = None) -> Evaluation | None:
        """The finished evaluation of a trial, or None.

        A file that is no evaluation of exactly this trial, whatever lies there instead, is set aside (its name says so), counts as
        absent, and `say` is told.

        Raises:
            StorageError: the disk cannot be read, or refuses to set a file aside.
        """
        path = self.result(trial.trial_id)
        try:
            evaluation = _stored(path)
            if evaluation.trial != trial:
                raise RecordError("its trial is not the one that was asked")
        except FileNotFoundError:
            return None
        except (OSError, RecordError, ValueError, RecursionError) as e:
            if isinstance(e, OSError) and e.errno not in NOT_AS_MEANT:
                raise StorageError(f"cannot read {path}: {e.strerror}; restore access, then run the same command again") from e
            aside = next(p for n in itertools.count() if not os.path.lexists(p := self.results / f"{trial.trial_id}.refused-{n}"))
            with storing(path):
                os.replace(path, aside)
            if say is not None:
                say(f"{path} is no result of trial {trial.trial_id} ({_why(e)}): set aside as {aside.name}, and the trial is trained again")
            return None
        return evaluation

    def trained_s(self, trial_id: str) -> float:
        """Seconds of training behind what a finished trial left, as its result says; 0 where none can be read."""
        try:
            return _stored(self.result(trial_id)).result.train_s
        except (OSError, RecordError, ValueError, RecursionError):
            return 0.0

    def write_result(self, evaluation: Evaluation) -> bool:
        """Stores a finished evaluation; False when one was stored before, which then stays.

        Where the folder of results was lost it is made anew, with what else is missing; not in a study that is gone.

        Raises:
            StorageError: the disk refused, or the study is gone.
        """
        path = self.result(evaluation.trial.trial_id)
        with storing(path):
            self._restore(self.results)
        return write_once(path, dump_json(evaluation.to_json()))


_OWN_NAMES = frozenset(
    {"study.json", "space.json", "inputs", "journal.jsonl", "master.lock", "leases", "device.json", "scheduler.json", "last_led.json"}
) | {*("job.sh", "done", "results", "running", "workers", "trials", "tls", "report", "trained")}


def _stored(path: Path) -> Evaluation:
    """What a result file holds.

    Raises:
        OSError, RecordError, ValueError, RecursionError: it cannot be read, or is none.
    """
    return Evaluation.from_json(parse_json(read_regular(path, limit=_FILE_LIMIT_BYTES, follow=False)))


def _why(error: Exception) -> str:
    """What an error says, without the number and path that the system's errors repeat."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)[:300]


def file_name(text: str) -> str:
    """What of a text stands in a file's name: a - only parts a host from its device."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", text)
