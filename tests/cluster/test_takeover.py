"""Masters that are stopped for a while: with the kernel's lock nobody replaces them, with a lease somebody does."""

import os
import signal
import time
from pathlib import Path

import pytest
from whole_studies import attempts, check_whole, count, lines, master, program, search, start, wait_until

from bohb_nas.store.journal import fold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
STOPPED_S = 9.0


def test_a_stopped_master_that_holds_the_lock_is_not_replaced(study: Path, tmp_path: Path) -> None:
    first = start(search(study, "--trials", "40", "--workers", "1", slow=0.06), tmp_path / "first.log")
    wait_until(lambda: count(study, "tell") >= 4)
    second = start(program("worker", str(study), "--device", "cpu7"), tmp_path / "second.log")
    wait_until(lambda: len({line["result"]["details"]["engine"]["device"] for line in lines(study) if "result" in line}) == 2)
    os.kill(first.pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    assert master(study) == first.pid
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(timeout=200) == 0, (tmp_path / "first.log").read_text()
    assert second.wait(timeout=60) == 0, (tmp_path / "second.log").read_text()
    check_whole(study, trials=40)
    assert count(study, "lead") == 1
    assert set(attempts(study).values()) == {1}, "what was in training went on"


def test_a_stopped_master_whose_lease_runs_out_is_replaced_and_ends_when_it_wakes(study: Path, tmp_path: Path) -> None:
    lease = ["--lock", "lease", "--lease-time", "3s"]
    first = start(search(study, "--trials", "40", "--workers", "1", *lease, slow=0.06), tmp_path / "first.log")
    wait_until(lambda: count(study, "tell") >= 4)
    second = start(program("worker", str(study), "--device", "cpu7"), tmp_path / "second.log")
    wait_until(lambda: len({line["result"]["details"]["engine"]["device"] for line in lines(study) if "result" in line}) == 2)
    os.kill(first.pid, signal.SIGSTOP)
    wait_until(lambda: count(study, "lead") == 2, what="a takeover")
    told = count(study, "tell")
    wait_until(lambda: count(study, "tell") >= told + 4, what="progress under the second master")
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(timeout=60) == 2
    assert "taken over" in (tmp_path / "first.log").read_text()
    assert second.wait(timeout=200) == 0, (tmp_path / "second.log").read_text()
    state = check_whole(study, trials=40)
    assert [line["term"] for line in lines(study) if line["event"] == "lead"] == [1, 2]
    after = lines(study)[next(i for i, line in enumerate(lines(study)) if line["event"] == "lead" and line["term"] == 2) :]
    assert {line["term"] for line in after} == {2}, "the first wrote nothing more"
    assert {r.status.value for r in state.results.values()} == {"ok"}
    assert set(attempts(study).values()) == {1}, "what was in training was adopted"


def test_lines_of_a_superseded_master_do_not_count(study: Path, tmp_path: Path) -> None:
    """As a master would write them that was stopped between its last look at the lease and the write."""
    lease = ["--lock", "lease", "--lease-time", "3s"]
    first = start(search(study, "--trials", "6", "--workers", "1", *lease), tmp_path / "first.log")
    assert first.wait(timeout=120) == 0, (tmp_path / "first.log").read_text()
    again = start(search(study, "--trials", "9", "--workers", "1"), tmp_path / "again.log")
    assert again.wait(timeout=120) == 0, (tmp_path / "again.log").read_text()
    journal = study / "journal.jsonl"
    ask = next(line for line in journal.read_text().splitlines() if '"event":"ask"' in line)
    late = ask.replace('"trial_id":"t00000"', '"trial_id":"t00009"')
    assert late != ask
    with journal.open("a") as stream:
        stream.write(late + "\n")
    assert fold(journal).pending == []
    more = start(search(study, "--trials", "12", "--workers", "1"), tmp_path / "more.log")
    assert more.wait(timeout=120) == 0, (tmp_path / "more.log").read_text()
    state = fold(journal)
    assert (len(state.results), state.pending, state.term) == (12, [], 3)
