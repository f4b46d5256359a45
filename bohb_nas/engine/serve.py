"""The worker program: owns one device, joins whoever leads the study, outlives its masters, and leaves in good order.

It is a small shell around `distributed.Worker`; the training itself belongs to a `Trainer`. When nobody leads, a program
that stands for election starts a master beside itself; the study's lock decides between several.
"""

import asyncio
import json
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bohb_nas import standstill
from bohb_nas.engine.absence import Absence
from bohb_nas.engine.cluster import configure, listening_ip
from bohb_nas.engine.devices import Device, check_kind, host, note_kind, own
from bohb_nas.engine.election import Candidate
from bohb_nas.engine.service import DONE, Leaving, Service, Terms
from bohb_nas.engine.trainer import Trainer
from bohb_nas.files import dump_json
from bohb_nas.records import Result, Status, Trial
from bohb_nas.store.holders import worker_name
from bohb_nas.store.meta import path_kept
from bohb_nas.store.study_dir import StudyDir

_TOUCH_S = 5.0
"""Between two touches of a worker's lock, which say to machines that its kernel's lock does not reach that it lives."""
_ABSENT_S = 900.0
"""At least so long a study is missed before it is taken to be gone: a mount that is lost for some minutes costs no training."""
_trainer: Trainer | None = None


async def train(payload: str) -> str:
    """What the master submits, by reference: trains the trial in `payload` and returns its result, both as JSON."""
    assert _trainer is not None
    trial = Trial.from_json(json.loads(payload))
    job = _trainer.train(trial)
    try:
        result = await asyncio.shield(job)
    except asyncio.CancelledError:
        if not job.cancelled():
            raise
        result = Result(trial_id=trial.trial_id, status=Status.PREEMPTED, loss=None, train_s=0.0, message="its worker had to leave")
    return dump_json(result.to_json())


async def serve(path: Path, *, device: Device, terms: Terms, say: Callable[[str], None]) -> int:
    """Works for a study until it is done, nobody led it for `terms.wait_s` seconds, its time is over, or a signal says to leave.

    Raises:
        UsageError: the study's path is not UTF-8, as whoever trains is told it.
        DeviceBusyError: another worker owns the device.
        DeviceError: it is of another model than the study allows.
        StartError: the training child cannot start.
    """
    study = StudyDir(Path(path_kept(str(path.absolute()))))
    study.check_access()
    meta = study.read_meta()
    if os.path.exists(study.done):  # looked at first: to find out that all is over takes no data and no device
        say(DONE)
        return 0
    if terms.listen is not None:
        listening_ip(terms.listen)
    until = terms.until if math.isfinite(terms.until) else None
    lock = own(study, device.name, stand=terms.stand, until=until, **device.about())
    configure()
    standstill.watch()
    leaving = Leaving()
    leaving.listen()
    absence = Absence(study, patience_s=max(terms.wait_s, _ABSENT_S))
    trainer = Trainer(study, meta, device=device, say=say, gone=absence.lasts)
    global _trainer
    _trainer = trainer
    candidate = Candidate(study, say=say, listen=terms.listen) if terms.stand else None
    touching = asyncio.create_task(_touch(study.worker_lock(host(), device.name)))
    with lock:
        try:
            note_kind(study, device)  # before it is checked: of several that start at once one is the first
            check_kind(study, device, required=meta.get("require_same_gpu", False))
            if not await _started(trainer, leaving.asked):
                say(f"left: {leaving.why}")
                return 0
            replaced, ousted = lambda: study.is_another(meta), lambda: lock.superseded
            service = Service(
                study,
                trainer,
                leaving,
                candidate,
                terms,
                replaced=replaced,
                ousted=ousted,
                gone=absence.lasts,
                name=worker_name(host(), device.name),
                say=say,
            )
            return await service.run()
        finally:
            touching.cancel()
            try:
                await trainer.stop()
            finally:
                if candidate is not None:
                    await candidate.end()


async def _touch(path: Path) -> None:
    while True:
        with suppress(OSError):  # a disk that refuses is said where results are written
            os.utime(path)
        await asyncio.sleep(_TOUCH_S)


async def _started(trainer: Trainer, asked: asyncio.Event) -> bool:
    """Starts the trainer, which may take minutes; False when that was given up because the program is to leave."""
    starting, stop = asyncio.ensure_future(trainer.start()), asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    if starting.cancelled():
        return False
    starting.result()  # raises why it could not be started
    return True
