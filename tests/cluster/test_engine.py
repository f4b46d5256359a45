"""Several processes, real disks, uninvited guests."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from whole_studies import count, wait_until
from whole_studies import search as command

from bohb_nas import make_optimizer
from bohb_nas.engine.cluster import security
from bohb_nas.engine.dask_engine import DaskEngine
from bohb_nas.engine.keys import make_keys
from bohb_nas.engine.launch import build
from bohb_nas.space.files import space_from_json
from bohb_nas.store import holders
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("method", ["bohb_2018", "bohb", "hyperband", "random_search"])
def test_the_recorded_order_of_a_parallel_study_gives_the_same_asks(study: Path, method: str) -> None:
    stop = ["--trials", "60"]
    subprocess.run(command(study, "--method", method, "--workers", "3", *stop, slow=0.002), check=True, capture_output=True)
    space = space_from_json((study / "space.json").read_text())
    meta = StudyDir(study).read_meta()
    parts = build(meta, space)
    again = make_optimizer(method, space=space, budgets=parts.budgets, seed=meta["seed"], n_workers=3, options=parts.method_options)
    events = fold(study / "journal.jsonl").events
    assert sum(e.trial is not None for e in events) == 60
    for event in events:
        if event.trial is not None:
            assert again.ask() == event.trial
        elif event.result is not None:
            again.tell(event.result)


def test_workers_without_a_master_elect_one(study: Path) -> None:
    first = subprocess.Popen(
        command(study, "--brackets", "6", "--method", "hyperband", slow=0.1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: count(study, "tell") >= 2)
    first.kill()
    first.wait()
    for worker in holders.living_workers(StudyDir(study)):
        os.kill(int(worker["pid"]), signal.SIGKILL)
    results = {p.name: p.read_bytes() for p in (study / "results").iterdir()}
    joined = [
        subprocess.Popen(
            [sys.executable, "-m", "bohb_nas", "worker", str(study), "--device", f"cpu{k}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for k in range(2)
    ]
    for worker_program in joined:
        worker_program.communicate(timeout=240)
        assert worker_program.returncode == 0
    state = fold(study / "journal.jsonl")
    assert (study / "done").exists()
    assert state.pending == []
    assert len(state.results) == 40
    assert all((study / "results" / name).read_bytes() == content for name, content in results.items())


def test_the_elected_one_is_stopped_and_another_takes_over(study: Path) -> None:
    subprocess.run(command(study, "--trials", "1", slow=0.1), check=True, capture_output=True)
    more = subprocess.Popen(
        command(study, "--trials", "40", "--workers", "0", slow=0.1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: not (study / "done").exists())
    more.kill()
    more.wait()
    joined = {}
    for k in range(2):
        program = [sys.executable, "-m", "bohb_nas", "worker", str(study), "--device", f"cpu{k}"]
        joined[k] = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: count(study, "tell") >= 5 and holders.master(StudyDir(study)) is not None)
    leader = int((holders.master(StudyDir(study)) or {})["pid"])
    parent = int(Path(f"/proc/{leader}/stat").read_text().rsplit(")", 1)[1].split()[1])
    elected = next(p for p in joined.values() if p.pid == parent)
    elected.send_signal(signal.SIGTERM)
    _, said = elected.communicate(timeout=60)
    assert (elected.returncode, "Traceback" in said) == (0, False), said
    other = next(p for p in joined.values() if p is not elected)
    _, said = other.communicate(timeout=240)
    assert other.returncode == 0, said
    state = fold(study / "journal.jsonl")
    assert (len(state.results), state.pending) == (40, [])
    assert {r.status.value for r in state.results.values()} == {"ok"}, "no trial was charged for the stop"


def test_a_killed_worker_is_started_again_and_its_trial_too(study: Path) -> None:
    master = subprocess.Popen(
        command(study, "--trials", "12", "--method", "random_search", slow=0.05),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def kill_a_worker(after: int) -> None:
        wait_until(lambda: count(study, "tell") >= after)
        os.kill(int(next(holders.living_workers(StudyDir(study)))["pid"]), signal.SIGKILL)

    for n in (2, 6):
        kill_a_worker(after=n)
    _, said = master.communicate(timeout=240)
    assert master.returncode == 0, said
    assert said.count("ended (signal SIGKILL, often out of memory) and is started again") == 2
    state = fold(study / "journal.jsonl")
    assert len(state.results) == 12
    assert {r.status.value for r in state.results.values()} == {"ok"}


FAILS_AFTER_THE_CHECK = """
import pathlib
seen = pathlib.Path(__file__).with_name("seen")
if seen.exists():
    raise RuntimeError("no such library")
seen.touch()
def train(trial, workdir): ...
"""


def test_workers_that_cannot_start_end_the_search_with_their_last_words(study: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(FAILS_AFTER_THE_CHECK)
    search = [sys.executable, "-m", "bohb_nas", "run", str(study), "--space", "toy", "--worker", str(worker), "--trials", "1"]
    done = subprocess.run(search, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("is started again") == 3
    assert "all workers have ended" in done.stderr
    assert "no such library" in done.stderr
    again = subprocess.run(search, capture_output=True, text=True, check=False)
    assert again.returncode == 2, "now the check finds it, before anything starts"
    assert "no such library" in again.stderr


def test_a_master_that_ends_before_a_worker_joins_leaves_no_word_behind(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = StudyDir(study)
    directory.make()
    make_keys(directory)
    with caplog.at_level("DEBUG", logger="asyncio"):
        for term in range(30):
            with DaskEngine(directory, term=term, needs_s=lambda _: None, say=print):
                pass
            gc.collect()  # futures complain when they are collected
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio" and r.levelname == "ERROR"] == []


def test_a_second_master_is_refused_while_the_first_lives(study: Path) -> None:
    first = subprocess.Popen(command(study, slow=1.0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: count(study, "ask") >= 1)
    second = subprocess.run(command(study, slow=1.0), capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"living master (pid {first.pid}" in second.stderr
    assert f"bohb-nas worker {study}" in second.stderr
    busy = subprocess.run(
        [sys.executable, "-m", "bohb_nas", "worker", str(study), "--device", "cpu0"], capture_output=True, text=True, check=False
    )
    assert "one worker per device" in busy.stderr
    first.terminate()
    first.wait(timeout=60)


IMPATIENT = "from bohb_nas.engine import cluster; from bohb_nas.__main__ import main; cluster._FULL_S = 2.0; main()"
"""The command line, where a disk has to stay full for two seconds until a master ends instead of a minute."""


def test_a_full_disk_stops_the_search_with_the_remedy_and_loses_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(small)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        study = small / "study"
        said_so = command(study, "--trials", "30", "--method", "random_search", slow=0.05)
        search = [sys.executable, "-P", "-c", IMPATIENT, *said_so[said_so.index("run") :]]
        first = subprocess.Popen(search, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: count(study, "tell") >= 3)
        filler = small / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)
        _, said = first.communicate(timeout=180)
        assert first.returncode == 1
        assert "No space left" in said
        assert "free space" in said
        assert str(study) in said
        before = {p.name: p.read_bytes() for p in (study / "results").glob("*.json")}
        told = set(fold(study / "journal.jsonl").results)
        waiting = fold(study / "journal.jsonl").pending
        filler.unlink()
        again = subprocess.run(search, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        state = fold(study / "journal.jsonl")
        assert len(state.results) == 30
        assert told <= set(state.results)
        assert all((study / "results" / name).read_bytes() == content for name, content in before.items())
        assert waiting, "one was in training, or waited for room"
        attempts = {trial.trial_id: len(StudyDir(study).attempts(trial.trial_id)) for trial in waiting}
        assert set(attempts.values()) == {1}, "what was finished on a full disk is not trained again"
    finally:
        subprocess.run(["pkill", "-9", "-f", str(small)], check=False)
        subprocess.run(["umount", "-l", str(small)], check=False)


def test_a_full_disk_at_the_start_is_refused(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(small)], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        (small / "filler").write_bytes(b"x" * 53_000)
        refused = subprocess.run(command(small / "study"), capture_output=True, text=True, check=False)
        assert refused.returncode == 1, refused.stderr
        assert "No space left" in refused.stderr
        assert not (small / "study" / "study.json").exists()
        assert not (small / "study" / "journal.jsonl").exists()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


def test_a_read_only_disk_is_refused_for_a_new_study_and_for_a_resume(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(small)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        subprocess.run(command(small / "study", "--trials", "1"), check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for study, trials in (("study", "2"), ("another", "1")):
            refused = subprocess.run(command(small / study, "--trials", trials), capture_output=True, text=True, check=False)
            assert refused.returncode == 2, refused.stderr
            assert "writ" in refused.stderr
            assert "Traceback" not in refused.stderr
        shown = subprocess.run(
            [sys.executable, "-m", "bohb_nas", "status", str(small / "study")], capture_output=True, text=True, check=True
        )
        assert "1 evaluation," in shown.stdout
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


def listeners(pids: set[int]) -> list[tuple[str, int]]:
    """Addresses on which these processes listen."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


def test_strangers_are_refused(study: Path, tmp_path: Path) -> None:
    first = subprocess.Popen(command(study, slow=2.0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: count(study, "ask") >= 1)
    worker_pids = {int(w["pid"]) for w in holders.living_workers(StudyDir(study))}
    open_ports = listeners({first.pid, *worker_pids})
    assert open_ports, "the scheduler listens somewhere"
    assert {address for address, _ in open_ports} == {"0100007F"}, "only on 127.0.0.1"
    for _, port in open_ports:
        assert _plain_http(port) is None

    other = StudyDir(tmp_path / "other")
    other.make()
    make_keys(other)
    address = json.loads((study / "scheduler.json").read_text())["address"]
    assert asyncio.run(_connect(address, StudyDir(study))) == "joined"
    with pytest.raises((ssl.SSLError, OSError)):
        asyncio.run(_connect(address, other))
    with pytest.raises((OSError, ValueError, RuntimeError)):
        asyncio.run(_connect(address.replace("tls://", "tcp://"), None))
    with pytest.raises(OSError, match=r"(?i)certificate|alert|EOF"):  # the refusal, or the end that follows where it comes too late
        _tls_without_certificate(int(address.rpartition(":")[2]))
    first.terminate()
    first.wait(timeout=60)


def _plain_http(port: int) -> str | None:
    """What a port answers to an HTTP request in plain: None when it does not speak HTTP, or has nothing there."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        s.sendall(b"GET /info/main/workers.html HTTP/1.1\r\nHost: x\r\n\r\n")
        s.settimeout(2)
        try:
            answer = s.recv(100)
        except OSError:
            return None
    return None if b" 200 " not in answer else answer.decode()


def _tls_without_certificate(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as s:
        s.sendall(b"x" * 100)
        while s.recv(100):
            pass
        raise ConnectionError("closed without an alert")


async def _connect(address: str, study: StudyDir | None) -> str:
    from distributed.comm.core import connect

    arguments = security(study).get_connection_args("client") if study is not None else {}
    comm = await connect(address, timeout=5, **arguments)
    await comm.write({"op": "identity", "reply": True})
    answer = await asyncio.wait_for(comm.read(), 5)
    comm.abort()
    return "joined" if "workers" in answer else "refused"


def test_an_adopted_worker_that_dies_is_replaced(study: Path) -> None:
    search = command(study, "--trials", "14", "--method", "random_search", slow=0.08)
    first = subprocess.Popen(search, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: count(study, "tell") >= 2)
    first.kill()
    first.wait()
    adopted = int(next(holders.living_workers(StudyDir(study)))["pid"])
    second = subprocess.Popen(search, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    told = count(study, "tell")
    wait_until(lambda: count(study, "tell") >= told + 2)
    assert adopted in {int(w["pid"]) for w in holders.living_workers(StudyDir(study))}
    os.kill(adopted, signal.SIGKILL)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert len(fold(study / "journal.jsonl").results) == 14


def test_a_finished_study_says_so_at_once_and_goes_on_when_asked_for_more(study: Path) -> None:
    subprocess.run(command(study, "--trials", "3"), check=True, capture_output=True)
    again = subprocess.run(command(study, "--trials", "3", "--workers", "0"), capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == 0, again.stderr
    assert "3 evaluations, 0 running, done" in again.stdout
    assert count(study, "lead") == 1, "nothing was led again"
    subprocess.run(command(study, "--trials", "4"), check=True, capture_output=True)
    assert count(study, "tell") == 4


FORKING = """
import os, signal, time
from bohb_nas import Result, Status
def train(trial, workdir):
    if trial.trial_id == "t00001":
        if os.fork() == 0:
            time.sleep(600)
        os.kill(os.getpid(), signal.SIGSEGV)
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=1.0, train_s=0.0, details={"pid": os.getpid()})
"""


def test_a_child_that_dies_with_descendants_is_told_and_they_are_ended(study: Path, tmp_path: Path) -> None:
    worker = tmp_path / "forking.py"
    worker.write_text(FORKING)
    unit = ["--budget-unit", "epochs", "--budget-max", "9"]  # no limit in seconds comes to the rescue
    arguments = [*("--space", "toy", "--worker", str(worker), "--trials", "4"), *unit]
    done = subprocess.run(
        [sys.executable, "-m", "bohb_nas", "run", str(study), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results = fold(study / "journal.jsonl").results
    assert [str(r.status) for r in results.values()] == ["ok", "crashed", "ok", "ok"]
    assert "SIGSEGV" in (results["t00001"].message or "")
    left = subprocess.run(["pgrep", "-f", str(worker)], capture_output=True, text=True, check=False).stdout.split()
    assert left == []


def test_a_resume_without_its_data_is_refused_and_costs_nothing(study: Path, tmp_path: Path) -> None:
    from PIL import Image

    data = tmp_path / "photos"
    for name, level in (("dark", 40), ("light", 200)):
        (data / "train" / name).mkdir(parents=True)
        for k in range(20):
            Image.new("L", (8, 8), level + k).save(data / "train" / name / f"{k}.png")
    environment = {**os.environ, "BOHB_NAS_CACHE": str(tmp_path / "cache")}
    search = [
        sys.executable,
        "-m",
        "bohb_nas",
        "run",
        str(study),
        "--dataset",
        f"image_folder:{data}",
        "--budget-max",
        "1s",
        "--budget-min",
        "1s",
    ]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*search, *more], env=environment, capture_output=True, text=True, check=False)

    first = run("--trials", "1")
    assert first.returncode in (0, 1), first.stderr
    before = (study / "journal.jsonl").read_bytes()
    data.rename(tmp_path / "elsewhere")
    refused = run("--trials", "3")
    assert (refused.returncode, "photos" in refused.stderr) == (2, True), refused.stderr
    assert (study / "journal.jsonl").read_bytes() == before
    (tmp_path / "elsewhere").rename(data)
    Image.new("L", (8, 8), 7).save(data / "train" / "dark" / "0.png")
    changed = run("--trials", "3")
    assert (changed.returncode, "has changed since the study started" in changed.stderr) == (2, True), changed.stderr
