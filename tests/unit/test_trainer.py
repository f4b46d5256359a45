"""What a trainer makes of a crash when its program is to leave."""

import asyncio
from pathlib import Path

import pytest

from bohb_nas.engine.devices import local_devices
from bohb_nas.engine.launch import create, new_space
from bohb_nas.engine.plan import Request, plan
from bohb_nas.engine.trainer import Trainer
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.store import handovers
from bohb_nas.store.study_dir import StudyDir

CRASHES = """
def train(trial, workdir):
    (workdir / "began").touch()
    raise RuntimeError("what it had started is gone")
"""
TRIAL = Trial(trial_id="t00000", config_id="c00000", config={}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    (tmp_path / "crashes.py").write_text(CRASHES)
    study = StudyDir(tmp_path / "study")
    study.make()
    meta = plan(Request(space="toy", worker=str(tmp_path / "crashes.py")))
    create(study, meta, new_space(meta))
    return study


def trained(study: StudyDir, *, leaves: bool) -> Result:
    async def play() -> Result:
        trainer = Trainer(study, study.read_meta(), device=local_devices(1)[0], say=print)
        await trainer.start()
        try:
            job = trainer.train(TRIAL)
            while not (study.trials / "t00000" / "0" / "began").exists():
                await asyncio.sleep(0.01)
            if leaves:
                await trainer.hand_over("asked to leave", grace_s=60.0)
            return await job
        finally:
            await trainer.stop()

    return asyncio.run(play())


def test_a_crash_is_the_trial_s(study: StudyDir) -> None:
    assert trained(study, leaves=False).status is Status.CRASHED
    assert study.result("t00000").exists()


def test_a_crash_when_the_program_is_to_leave_need_not_be_and_is_not_told(study: StudyDir) -> None:
    assert trained(study, leaves=True).status is Status.PREEMPTED
    assert not study.result("t00000").exists()
    assert handovers.was_left(study, "t00000"), "it is started elsewhere at once"
