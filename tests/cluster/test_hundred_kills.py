"""A hundred SIGKILLs at random moments, to masters, workers and training children: nothing is lost, doubled or done again."""

import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import pytest
from whole_studies import attempts, check_whole, count, master, program, search, start, wait_until

from bohb_nas.store import holders
from bohb_nas.store.notes import read_note
from bohb_nas.store.study_dir import StudyDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
N_WORKERS = 3


@dataclass
class Fire:
    """A study that is worked for by worker programs, which are started again when they die, as a cluster does."""

    study: Path
    log: Path
    rng: random.Random
    programs: dict[int, Popen[bytes]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    lost_s: float = 0.0
    """Seconds of training that kills cost."""
    takeover_s: list[float] = field(default_factory=list)
    results: dict[str, bytes] = field(default_factory=dict)

    def staff(self) -> None:
        """Starts whoever is missing, and sees to it that no finished evaluation has changed."""
        for k in range(N_WORKERS):
            if k not in self.programs or self.programs[k].poll() is not None:
                self.programs[k] = start(program("worker", str(self.study), "--device", f"cpu{k}", "--grace", "2s"), self.log)
        now = {p.name: p.read_bytes() for p in (self.study / "results").glob("*.json")}
        assert all(now.get(name) == content for name, content in self.results.items()), "a finished evaluation was lost or done again"
        self.results = now

    def kill(self, kind: str) -> bool:
        """Kills one of a kind, if there is one."""
        targets: Callable[[], list[int]] = {"master": self._masters, "worker": self._workers, "child": self._children}[kind]
        pids = targets()
        if not pids:
            return False
        pid, terms = self.rng.choice(pids), count(self.study, "lead")
        owner = pid if kind == "worker" else parent(pid)
        notes = [read_note(p) for p in (self.study / "running").glob("*.json")] if kind != "master" else []
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.lost_s += sum(time.time() - n["since"] for n in notes if n.get("pid") == owner)
        self.kills[kind] += 1
        if kind == "master" and not (self.study / "done").exists():
            began = time.monotonic()
            wait_until(lambda: count(self.study, "lead") > terms or (self.study / "done").exists(), what="a takeover")
            self.takeover_s.append(time.monotonic() - began)
        return True

    def _masters(self) -> list[int]:
        pid = master(self.study)
        return [pid] if pid is not None else []

    def _workers(self) -> list[int]:
        return [int(w["pid"]) for w in holders.living_workers(StudyDir(self.study))]

    def _children(self) -> list[int]:
        workers = self._workers()
        return [pid for pid in running("bohb_nas.engine.child") if parent(pid) in workers]

    def end(self) -> None:
        """Lets the study end."""
        deadline = time.monotonic() + 300
        while not (self.study / "done").exists():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            self.staff()
            time.sleep(0.2)
        for worker in self.programs.values():
            worker.wait(timeout=60)


def running(word: str) -> list[int]:
    """Processes with a word among their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def parent(pid: int) -> int | None:
    """Of a process, if it still lives."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def under_fire(study: Path, tmp_path: Path, *, trials: int, kinds: list[str], slow: float, pause_s: float, seed: int) -> Fire:
    """A study of so many trials with kills of these kinds, one after another, and then in peace."""
    first = start(search(study, "--trials", str(trials), "--method", "hyperband", "--workers", "0", slow=slow), tmp_path / "first.log")
    wait_until(lambda: count(study, "lead") == 1)
    fire = Fire(study, tmp_path / "workers.log", random.Random(seed))
    fire.staff()
    wait_until(lambda: count(study, "tell") >= 3)
    for kind in kinds:
        deadline = time.monotonic() + 60
        while not fire.kill(kind):
            assert time.monotonic() < deadline, f"there is no {kind} to kill"
            time.sleep(0.02)
            fire.staff()
        time.sleep(fire.rng.uniform(0.0, pause_s))
        fire.staff()
        assert not (study / "done").exists(), f"the study ended after {fire.kills.total()} kills: make it longer"
    first.wait()
    fire.end()
    return fire


def test_a_hundred_kills_over_five_hundred_trials(study: Path, tmp_path: Path) -> None:
    rng = random.Random(20261126)
    kinds = ["master"] * 30 + ["worker"] * 30 + ["child"] * 40
    rng.shuffle(kinds)
    kinds.remove("master")
    fire = under_fire(study, tmp_path, trials=500, kinds=["master", *kinds], slow=0.1, pause_s=0.8, seed=1)
    state = check_whole(study, trials=500)
    assert fire.kills.total() == 100
    again = {i: n for i, n in attempts(study).items() if n > 1}
    assert sum(n - 1 for n in again.values()) <= fire.kills["worker"] + fire.kills["child"], "a killed master costs no training"
    statuses = Counter(r.status.value for r in state.results.values())
    print(
        f"\n{dict(fire.kills)}: 500 trials told once each, {dict(statuses)}; {sum(n - 1 for n in again.values())} attempts were repeated, "
        f"{fire.lost_s:.1f} s of training lost; takeover {statistics.median(fire.takeover_s):.2f} s (median of {len(fire.takeover_s)}, "
        f"largest {max(fire.takeover_s):.2f} s)"
    )


def test_killed_masters_alone_cost_no_training(study: Path, tmp_path: Path) -> None:
    fire = under_fire(study, tmp_path, trials=60, kinds=["master"] * 10, slow=0.15, pause_s=1.0, seed=2)
    state = check_whole(study, trials=60)
    assert fire.kills == {"master": 10}
    assert set(attempts(study).values()) == {1}
    assert {r.status.value for r in state.results.values()} == {"ok"}
