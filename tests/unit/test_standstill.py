"""A process that was stopped, and two that were not: one of them only busy, one deprived of the processor."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from bohb_nas import standstill
from bohb_nas.standstill import Watch
from bohb_nas.training.clock import TrainingClock

SCRIPT = """
import sys, time
from bohb_nas.standstill import Watch
watch = Watch(look_s=0.02, least_s=0.3)
watch.begin()
began, wall = watch.now(), time.monotonic()
print("begun", flush=True)
{work}
left_out = (time.monotonic() - wall) - (watch.now() - began)
print(watch.stood_s(), left_out)
"""

FORKED = """
import os
from bohb_nas import standstill
seconds = 1000.0
standstill._WATCH = standstill.Watch(lambda: seconds, busy_s=lambda thread: 0.0, look_s=3600.0)
standstill.watch()
seconds += 40.0
before = standstill.now()
if os.fork() == 0:
    seconds += 30.0
    print(standstill.now() - before, standstill.stood_s(), flush=True)
    os._exit(0)
os.wait()
"""
"""A process that stood still for 40 s, and a child of it that waits for 30 s."""


class Machine:
    """A clock, and what two threads have run and waited, that go on when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.busy = 0.0

    def passes(self, seconds: float, *, busy: float) -> None:
        self.now += seconds
        self.busy += busy


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def watch(machine: Machine) -> Watch:
    """One whose own thread never comes to look."""
    watch = Watch(lambda: machine.now, busy_s=lambda thread: machine.busy if thread == os.getpid() else 0.0, look_s=3600.0)
    watch.begin()
    return watch


@pytest.mark.parametrize(
    ("seconds", "busy", "stood_s"),
    [
        (30.0, 0.0, 30.0),  # stopped
        (30.0, 0.5, 29.5),  # stopped half a second after the last look, until which it trained
        (30.0, 30.0, 0.0),  # a library lets no other thread run, or others have all processors
        (30.0, 26.0, 0.0),  # likewise, with some reading from the disk
        (4.0, 0.0, 0.0),
    ],
)
def test_what_is_left_out_is_what_no_thread_ran_or_waited_to_run(
    watch: Watch, machine: Machine, seconds: float, busy: float, stood_s: float
) -> None:
    before = watch.now()
    machine.passes(seconds, busy=busy)
    assert watch.now() - before == seconds - stood_s
    assert watch.stood_s() == stood_s


def test_a_standstill_that_is_noticed_later_does_not_turn_the_clock_back(watch: Watch, machine: Machine) -> None:
    machine.passes(4.0, busy=0.0)
    before = watch.now()
    machine.passes(30.0, busy=0.0)
    assert watch.now() == before, "the 4 s since the last look are left out as well, and were told of before"
    assert watch.stood_s() == 34.0


def test_in_a_forked_process_nobody_looks_out_and_the_clock_goes_on() -> None:
    said = subprocess.run([sys.executable, "-c", FORKED], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.split() == ["30.0", "40.0"]


def test_who_does_not_look_out_leaves_nothing_out(machine: Machine) -> None:
    watch = Watch(lambda: machine.now)
    before = watch.now()
    machine.passes(30.0, busy=0.0)
    assert watch.now() - before == 30.0
    assert watch.stood_s() == 0.0


def played(work: str, *, stopped_s: float) -> tuple[float, float]:
    """What a process of its own says it stood still, and leaves out of its clock, when it is stopped for so long."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT.format(work=work)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        if stopped_s:
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(process.pid, signal.SIGCONT)
        process.stdin.close()
        said, left_out = process.stdout.read().split()
    return float(said), float(left_out)


def test_a_process_that_is_stopped_notices() -> None:
    said, left_out = played("sys.stdin.read()", stopped_s=0.7)
    assert said >= 0.65, "it may have been busy with the last look, and no longer than that"
    assert left_out == pytest.approx(said, abs=1e-3)


def test_a_process_that_no_other_thread_gets_a_turn_in_notices_nothing() -> None:
    said, _ = played("sum(range(3 * 10**7))", stopped_s=0.0)
    assert said == 0.0


def test_the_training_clock_leaves_standstills_out(watch: Watch, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "_WATCH", watch)
    clock = TrainingClock(torch.device("cpu"))
    clock.start()
    machine.passes(33.0, busy=3.0)
    assert clock.seconds() == 3.0
