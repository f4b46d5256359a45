"""What `status` shows of a study that goes on elsewhere: by hand, under fire, and of whatever lies where notes should be."""

import io
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from study_fakes import META, beat, make_study, result, trial, write_log

from bohb_nas import cli_watch
from bohb_nas.cli import cli
from bohb_nas.engine.election import leading
from bohb_nas.errors import JournalError
from bohb_nas.locks import Lock
from bohb_nas.records import Origin, Result, Status
from bohb_nas.report import tables
from bohb_nas.report.exports.prometheus import exposition
from bohb_nas.report.logs import trial_logs, worker_logs
from bohb_nas.report.status import Watch, status
from bohb_nas.store.journal import Event
from bohb_nas.store.notes import first_line, last_line
from bohb_nas.store.study_dir import StudyDir


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return make_study(tmp_path / "study", now=time.time())


def text(renderable: Any) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def hold(path: Path, **note: Any) -> Lock:
    lock = Lock(path)
    assert lock.acquire(json.dumps(note))
    return lock


def touch(path: Path, *, age_s: float) -> None:
    path.write_text("{}")
    os.utime(path, (time.time() - age_s, time.time() - age_s))


def test_workers_with_their_models_trials_and_limits(study: StudyDir) -> None:
    now = time.time()
    beat(study, "t3", host="near", device="g7", pid=8, since=now - 40, attempt=2)
    beat(study, "t4", host="far", device="g0", pid=9, since=now - 20, attempt=0)
    near = hold(
        study.worker_lock("near", "g7"), host="near", device="g7", pid=8, since=now - 100, model="Big 5", memory_gib=80, until=now + 500
    )
    idle = hold(study.worker_lock("near", "g8"), host="near", device="g8", pid=7, since=now - 100, until=None)
    with near, idle:
        found = {(w["host"], w["device"]): w for w in status(study)["workers"]}
    assert list(found) == [("near", "g7"), ("near", "g8"), ("far", "g0")], "the last by its heartbeat alone: its lock is not seen from here"
    busy = found["near", "g7"]
    assert (busy["trial"], busy["model"], busy["memory_gib"], busy["pid"]) == ("t3", "Big 5", 80.0, 8)
    assert 40 <= busy["elapsed_s"] < 100
    assert 400 < busy["time_left_s"] <= 500
    assert (found["near", "g8"]["trial"], found["near", "g8"]["time_left_s"]) == (None, None)
    assert (found["far", "g0"]["trial"], found["far", "g0"]["model"]) == ("t4", "Fast 9"), "as its results say"
    shown = text(tables.status({**status(study), "workers": list(found.values())}))
    assert "near-g7  Big 5" in shown
    assert "/ 1s" in shown
    assert "idle" in shown


def test_a_worker_started_anew_does_not_train_what_the_one_before_trained(study: StudyDir) -> None:
    beat(study, "t3", host="near", device="g7", pid=8, since=time.time() - 40)
    with hold(study.worker_lock("near", "g7"), host="near", device="g7", pid=9, since=time.time()):
        assert status(study)["workers"][0]["trial"] is None


def test_the_queue_is_what_nobody_trains(study: StudyDir) -> None:
    assert status(study)["queue"] == {"n": 2, "trials": ["t3", "t4"]}
    beat(study, "t4", host="far", device="g0", pid=9, since=time.time() - 20)
    figures = status(study)
    assert figures["queue"] == {"n": 1, "trials": ["t3"]}
    assert "queue: 1 waiting for a worker (t3)" in text(tables.status(figures))
    beat(study, "t4", age_s=70, host="far", device="g0", pid=9, since=time.time() - 200)
    assert status(study)["queue"]["n"] == 2, "its heart stopped"


def test_a_master_that_leads_that_is_silent_and_that_is_elsewhere(study: StudyDir) -> None:
    assert status(study)["master"] is None
    since = time.time() - 7200
    with hold(study.master_lock, host="near", pid=5, since=since):
        assert status(study)["master"]["heartbeat_age_s"] is None
        assert "led by pid 5 on near for 2h; it has no address yet" in text(tables.status(status(study)))
        touch(study.scheduler_json, age_s=2)
        master = status(study)["master"]
        assert {k: master[k] for k in ("host", "pid", "since", "term", "silent")} == {
            "host": "near",
            "pid": 5,
            "since": since,
            "term": 4,
            "silent": False,
        }
        assert 2 <= master["heartbeat_age_s"] < 12
        assert 7200 <= master["leads_for_s"] < 7300
        touch(study.scheduler_json, age_s=40)
        assert status(study)["master"]["silent"]
        assert "silent for 40s: it is stopped, or its machine cannot be reached" in text(tables.status(status(study)))
        touch(study.scheduler_json, age_s=-40)
        assert status(study)["master"]["heartbeat_age_s"] == 0.0, "a file server whose clock runs ahead"
    touch(study.scheduler_json, age_s=2)
    assert status(study)["master"]["host"] == "near", "its lock is not seen from here, its heart is"
    study.master_lock.write_text(json.dumps({"host": socket.gethostname(), "pid": 5}))
    assert status(study)["master"] is None, "here it would be seen"


def test_the_time_left_runs_on_between_the_lines_of_the_journal(study: StudyDir) -> None:
    study.write_meta({**META, "stop": {"brackets": None, "trials": None, "total_s": 3600}})
    assert status(study)["time_left_s"] == pytest.approx(2400.0), "nobody leads: 1200 s of 3600 are used, and no more are"
    with hold(study.master_lock, host="near", pid=5, since=time.time() - 1800):
        assert status(study)["time_left_s"] == pytest.approx(1800.0, rel=0.01), "the last line is 600 s old"
    with hold(study.master_lock, host="near", pid=5, since=time.time() - 100):
        assert status(study)["time_left_s"] == pytest.approx(2300.0, rel=0.01), "resumed 100 s ago, and no line written yet"
    study.write_meta({**META, "stop": {"brackets": None, "trials": 9, "total_s": None}})
    with hold(study.master_lock, host="near", pid=5, since=time.time() - 1800):
        assert status(study)["time_left_s"] == pytest.approx(1800.0, rel=0.01), "6 more at 400 s each, 600 s of which are over"


def test_throughput_by_hand(study: StudyDir) -> None:
    figures = status(study)["throughput"]  # nobody leads: time stopped with the last line, 1200 s after the start
    for window in ("overall", "last_hour"):
        assert figures[window]["hours"] == pytest.approx(1 / 3)
        assert figures[window]["evaluations_per_hour"] == pytest.approx(9.0)
        assert figures[window]["device_hours_per_hour"] == pytest.approx(1.0)  # 300, 300 and 600 s
    beat(study, "t3", host="far", device="g0", pid=9, since=time.time() - 600)
    touch(study.scheduler_json, age_s=0)
    with hold(study.master_lock, host="near", pid=5, since=1.0):
        figures = status(study)["throughput"]
    assert figures["last_hour"]["hours"] == pytest.approx(0.5, rel=0.02)
    assert figures["last_hour"]["evaluations_per_hour"] == pytest.approx(6.0, rel=0.02)
    assert figures["last_hour"]["device_hours_per_hour"] == pytest.approx(1.0, rel=0.02)  # 1200 s told and 600 s of t3
    assert "throughput: 6 evaluations/h, 1.00 device hours/h overall\n" in text(tables.status({**status(study), "throughput": figures}))


def test_baselines_are_trained_beside_the_throughput(study: StudyDir) -> None:
    alone = replace(trial(8), origin=Origin.BASELINE), replace(trial(9), origin=Origin.BASELINE)
    start = time.time() - 300
    lines = [
        Event(term=5, time=start),
        Event(term=5, time=start, trial=alone[0]),
        Event(term=5, time=start + 200, result=result(8, 0.5, host="near", device="g0", began=start, ended=start + 200, idle_s=None)),
        Event(term=5, time=start + 200, trial=alone[1]),
    ]
    with study.journal.open("a") as stream:
        stream.writelines(line.to_line() + "\n" for line in lines)
    beat(study, "t9", host="near", device="g0", pid=5, since=start + 200)
    touch(study.scheduler_json, age_s=500)  # of a master that was killed
    with leading(study, task="baselines"):
        figures = status(study)
    for window in figures["throughput"].values():
        assert window["hours"] == pytest.approx(1 / 3), "the search was led for 1200 s"
        assert window["evaluations_per_hour"] == pytest.approx(9.0)
        assert window["device_hours_per_hour"] == pytest.approx(1.0)
    master = figures["master"]
    assert (master["task"], master["heartbeat_age_s"], master["silent"]) == ("baselines", None, False)
    assert f"\nbaselines are trained by pid {os.getpid()} on {socket.gethostname()} for 1s\n" in text(tables.status(figures))
    assert "not led; the same `run` resumes it when baselines have ended" in text(tables.status(figures))
    assert 'bohb_nas_master_up{study="x"} 0.0' in exposition(figures, study="x", now=0.0), "the alert: nobody leads the search"
    with leading(study):
        assert status(study)["master"]["task"] == "search"


def test_the_hours_of_an_imported_run_are_those_of_its_training(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    lines = [Event(term=1, time=0.0), Event(term=1, time=0.0, trial=trial(0)), Event(term=1, time=0.0, trial=trial(1))]
    lines.append(Event(term=1, time=4000.0, result=replace(result(0, 0.5), train_s=1500.0, metrics={})))
    lines.append(Event(term=1, time=8000.0, result=replace(result(1, 0.5), train_s=1500.0, metrics={"new_s": 1200.0})))
    study.journal.write_text("".join(line.to_line() + "\n" for line in lines))
    figures = status(study)["throughput"]
    assert figures["overall"]["device_hours_per_hour"] == pytest.approx(2700 / 8000), "of the second, 300 s were trained before"
    assert figures["last_hour"]["device_hours_per_hour"] == pytest.approx(1200 / 3600)


def test_a_trial_in_training_that_outlived_its_master_is_in_no_rate_without_its_time(tmp_path: Path) -> None:
    """Asked 600 s ago; its master died at once, the next leads since 10 s ago; one device trains it all the time."""
    study, now = StudyDir(tmp_path / "study"), time.time()
    study.make()
    study.write_meta(META)
    lines = [
        Event(term=1, time=now - 600),
        Event(term=1, time=now - 600, trial=trial(0)),
        Event(term=2, time=now - 10, until=now - 600),
    ]
    study.journal.write_text("".join(line.to_line() + "\n" for line in lines))
    beat(study, "t0", host="far", device="g0", pid=9, since=now - 600)
    with hold(study.master_lock, host="near", pid=5, since=now - 10):
        led = status(study)["throughput"]["overall"]
    for overall in (led, status(study)["throughput"]["overall"]):
        assert overall["hours"] * 3600 == pytest.approx(600, rel=0.02)
        assert overall["device_hours_per_hour"] == pytest.approx(1.0, rel=0.02)


def test_only_the_last_hour_counts_in_it(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", now=time.time())
    lines = [Event(term=4, time=time.time() + 2700, result=result(3, 0.5, host="far", device="g0", began=1.0, ended=2.0, idle_s=None))]
    with study.journal.open("a") as stream:
        stream.writelines(line.to_line() + "\n" for line in lines)
    # the window begins 900 s before now: of the told, t2 (until 600 s ago; 300 s of it) and the new one, long ago by its own clock
    figures = status(study)["throughput"]["last_hour"]
    assert figures["evaluations_per_hour"] == pytest.approx(2.0)
    assert figures["device_hours_per_hour"] == pytest.approx(300 / 3600, rel=0.02)


def test_losses_that_differ_by_little_are_told_apart(study: StudyDir) -> None:
    figures = status(study)
    for budget, best in (("1", -1000000.25), ("3", -1000000.82)):
        figures["by_budget"][budget] |= {"best_loss": best, "median_loss": -1000000.08}
    figures["incumbent"]["loss"] = -1000000.82
    shown = text(tables.status(figures))
    assert "-1000000.25" in shown
    assert "-1000000.08" in shown
    assert "incumbent t2: loss -1000000.82 at 3s" in shown


def test_a_long_value_of_a_configuration_is_shown_whole(study: StudyDir) -> None:
    text = "x" * 100
    lines = [
        Event(term=4, time=time.time(), trial=replace(trial(7, 3.0), config={"short": 1, "a_long_name": text})),
        Event(term=4, time=time.time(), result=result(7, 0.125)),
    ]
    with study.journal.open("a") as stream:
        stream.writelines(line.to_line() + "\n" for line in lines)
    for command in (("status",), ("best",), ("status", "--why", "t7")):
        shown = CliRunner().invoke(cli, [command[0], str(study.path), *command[1:]]).stdout
        assert f"\nshort=1\na_long_name={text}\n" in shown, "a line for each, where there is no terminal"
    file = io.StringIO()
    Console(width=60, file=file, force_terminal=True, highlight=False).print(tables.configuration({"a_long_name": text}))
    assert re.sub(r"\s", "", file.getvalue()) == f"a_long_name={text}", "in a terminal it goes on in the next line"


def test_words_between_colons_are_no_pictures(study: StudyDir) -> None:
    study.write_meta({**META, "budgets": {**META["budgets"], "unit": ":star:"}})
    assert "3 :star:  " in CliRunner().invoke(cli, ["status", str(study.path)]).stdout


def test_a_mix_of_devices_is_said(study: StudyDir) -> None:
    figures = status(study)
    assert figures["by_model"] == {"Fast 9": 2, "Slow 1": 1}
    assert "devices: 2 on Fast 9, 1 on Slow 1; equal seconds on them are not equal budgets" in text(tables.status(figures))
    assert "devices:" not in text(tables.status({**figures, "by_model": {"Fast 9": 3}}))


def test_failures_with_the_end_of_their_logs(study: StudyDir) -> None:
    write_log(study, "t1", 0, "".join(f"line {n}\n" for n in range(9)) + "\x1b[31mthe end\x1b[0m\n")
    write_log(study, "t1", 1, "of an attempt that told nothing\n")
    failed = status(study)["failures"]
    assert failed == [
        {
            "trial_id": "t1",
            "status": "crashed",
            "budget": 1.0,
            "worker": "far-g0",
            "attempt": 0,
            "message": "out of luck",
            "log": ["line 5", "line 6", "line 7", "line 8", "the end"],
        }
    ]
    assert "failed t1 at 1s on far-g0, crashed: out of luck\n  | line 5\n" in text(tables.status(status(study)))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (None, "no reason given"),
        ("\n \n", "no reason given"),
        ("\n needs 99 GiB\nmore", " needs 99 GiB"),
        ("Traceback (most recent call last):\n  File\nValueError: no", "ValueError: no"),
        ("Traceback (most recent call last):\n" + "  File\n" * 100_000 + "ValueError: no", "ValueError: no"),
        ("\x1b[2Jgone" + "x" * 10**6, "gone" + "x" * 196),
    ],
)
def test_the_line_of_a_message_that_says_most(message: str | None, said: str) -> None:
    assert first_line(message) == said


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (None, "no reason given"),
        ("\n \n", "no reason given"),
        ("needs 99 GiB\nmore\n\n", "more"),
        ("\x1b[2Jgone\x1b[31m", "gone"),
        ("1 %\r2 %\rno" + "x" * 300, "no" + "x" * 198),
    ],
)
def test_how_a_message_ends(message: str | None, said: str) -> None:
    assert last_line(message) == said


def test_a_watch_says_what_a_first_look_says(study: StudyDir) -> None:
    watch, fixed = Watch(study), ("by_status", "by_budget", "by_model", "use_of_time", "incumbent", "running", "evaluations", "failures")
    watch.figures()
    for n, loss in ((3, None), (4, 0.125)):
        with study.journal.open("a") as stream:
            place: dict[str, Any] = {"host": "far", "device": "g0", "began": time.time() + n, "ended": time.time() + n + 1, "idle_s": 0.5}
            stream.write(Event(term=4, time=time.time(), result=result(n, loss, **place)).to_line() + "\n")
        on, anew = watch.figures(), status(study)
        assert {k: on[k] for k in fixed} == {k: anew[k] for k in fixed}
    assert on["incumbent"]["loss"] == 0.125


HOSTILE: list[Any] = [None, True, -1, 1e308, 10**400, float("nan"), float("inf"), "", "x" * 10**5, "\x1b[2J", [], {}, [[[]]], {"a": {}}]


TELLABLE = [v for v in HOSTILE if not (isinstance(v, float | int) and not -1e308 <= v <= 1e308)]
"""What a journal can hold: its JSON is strict."""


def hostile_note(rng: random.Random) -> bytes:
    names = (
        "host",
        "device",
        "pid",
        "since",
        "until",
        "model",
        "memory_gib",
        "attempt",
        "stand",
        "began",
        "ended",
        "idle_s",
        "step",
        "lr",
        "t",
    )
    body = json.dumps({name: rng.choice([*HOSTILE, "h", 3, 2.5]) for name in names if rng.random() < 0.8}).encode()
    match rng.randrange(6):
        case 0:
            return body[: rng.randrange(len(body))]
        case 1:
            return rng.choice([b"", b"\0" * 99, b"[" * 9999, b'{"a":' * 9999, b"\xff\xfe", b"null", b"9" * 9999, b"x" * 10**6])
    return body


def test_whatever_lies_where_notes_should_be(study: StudyDir, tmp_path: Path) -> None:
    rng = random.Random(1)
    os.mkfifo(study.running / "t0.json")
    (study.running / "t3.txt.json").mkdir()
    for _ in range(60):
        for path in (study.heartbeat("t3"), study.heartbeat("t4"), study.scheduler_json, study.trials / "t3" / "0" / "curve.jsonl"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hostile_note(rng) + b"\n")
        lock, master = Lock(study.worker_lock("h", "d")), Lock(study.master_lock)
        with lock, master:
            lock.acquire(hostile_note(rng).decode(errors="replace")[:4000])
            master.acquire(hostile_note(rng).decode(errors="replace")[:4000])
            figures = status(study)
        json.dumps(figures, allow_nan=False)
        shown = text(tables.status(figures))
        assert "\x1b[2J" not in shown
        assert len(shown) < 10_000
    for arguments in (
        ["status", str(study.path)],
        ["logs", str(study.path)],
        ["export", str(study.path), "--format", "prometheus", "--to", str(tmp_path / "x.prom")],
        ["export", str(study.path), "--format", "tensorboard", "--to", str(tmp_path / "runs")],
    ):
        shown_by = CliRunner().invoke(cli, arguments)
        assert shown_by.exit_code == 0, shown_by.output


def test_whatever_a_worker_reported(study: StudyDir) -> None:
    rng = random.Random(2)
    with study.journal.open("a") as stream:
        for n in range(5, 105):
            enormous = {name: rng.choice([1e308, 5.0]) for name in ("images_per_s", "mfu", "efficiency", "new_s")}
            details = {
                "engine": rng.choice([*TELLABLE, json.loads(json.dumps({k: rng.choice(TELLABLE) for k in ("host", "device", "began")}))])
            }
            details |= {"bound": rng.choice([*TELLABLE, "bytes"]), "violates": rng.choice(TELLABLE)}
            told = Result(
                trial_id=f"t{n}",
                status=Status.OK if n % 3 else Status.CRASHED,
                loss=rng.choice([1e308, -1e308, 0.5]) if n % 3 else None,
                train_s=rng.choice([0.0, 1e308]),
                metrics=enormous,
                details=details,
                message=rng.choice([None, "", "\x1b[2J" + "x" * 10**5, "\n" * 10**5]),
            )
            stream.write(Event(term=4, time=time.time(), trial=trial(n)).to_line() + "\n")
            line = {"event": "tell", "term": 4, "result": told.to_json(), "time": rng.choice([1e308, -1e308, time.time()])}
            stream.write(json.dumps(line) + "\n")
    study.write_meta({**META, "space": "\x1b[2J", "constraints": ["\x1b[2J"]})
    figures = status(study)
    assert figures["evaluations"] == 103
    json.dumps(figures, allow_nan=False)
    assert "\x1b[2J" not in text(tables.status(figures))
    assert CliRunner().invoke(cli, ["status", str(study.path)]).exit_code == 0


@pytest.fixture
def fire(study: StudyDir) -> Iterator[None]:
    """Somebody who makes, tears and deletes whatever a study holds, all the time."""
    over, rng = threading.Event(), random.Random(3)
    whole = study.journal.read_bytes()

    def burn() -> None:
        while not over.is_set():
            name = f"t{rng.randrange(5)}"
            paths = [
                study.heartbeat(name),
                study.worker_lock("h", name),
                study.workers / f"h-{name}.log",
                study.scheduler_json,
                study.result(name),
            ]
            paths += [study.trials / name / str(rng.randrange(3)) / file for file in ("log.txt", "curve.jsonl")]
            for path in rng.sample(paths, 4):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(hostile_note(rng))
            for path in rng.sample(paths, 4):
                path.unlink(missing_ok=True)
            for folder in (study.trials / name, *study.trials.glob(f"{name}/*")):
                try:
                    folder.rmdir()
                except OSError:
                    continue
            os.truncate(study.journal, len(whole))
            with study.journal.open("ab") as stream:
                stream.write(b'{"event": "tel'[: rng.randrange(14)])

    burning = threading.Thread(target=burn)
    burning.start()
    yield
    over.set()
    burning.join()


@pytest.mark.usefixtures("fire")
def test_a_study_may_change_while_it_is_looked_at(study: StudyDir, tmp_path: Path) -> None:
    from bohb_nas.report.exports import make

    watch = Watch(study)
    exports = [make("prometheus", watch, tmp_path / "x.prom"), make("tensorboard", watch, tmp_path / "runs")]
    for _ in range(40):
        figures = watch.figures()
        assert figures["evaluations"] == 3
        text(tables.status(figures))
        trial_logs(study)
        worker_logs(study)
        for export in exports:
            export.update()


def test_a_journal_is_damaged_when_two_looks_say_so() -> None:
    answers: list[dict[str, Any] | JournalError] = [
        {"done": False},
        JournalError("half"),
        {"done": False},
        JournalError("half"),
        JournalError("broken"),
    ]

    def figures() -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, JournalError):
            raise answer
        return answer

    looks = cli_watch._looks(figures, 0.0)
    assert [next(looks), next(looks)] == [{"done": False}] * 2
    with pytest.raises(JournalError, match="broken"):
        next(looks)


PROGRAM = """
import signal, sys
from bohb_nas import cli_watch
from bohb_nas.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what it starts in the background
cli_watch._REDRAW_S = 0.05
main()
"""


def test_a_terminal_is_drawn_over_and_never_cleared(study: StudyDir) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "status", str(study.path), "--watch"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while True:
            shown += os.read(ours, 65536)
            if shown.count(b"3 evaluations") == 3:
                study.done.write_text("{}")
    except OSError:  # the program has closed the terminal
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    assert b"\x1b[2J" not in shown
    assert b"\x1b[1A" in shown, "the cursor goes up to draw over"
    assert b"done" in shown[shown.rindex(b"3 evaluations") :]


def test_where_there_is_no_terminal_it_is_printed_again_until_ctrl_c(study: StudyDir) -> None:
    command = [sys.executable, "-c", PROGRAM, "status", str(study.path), "--watch"]
    for more, separator in (([], b"--- "), (["--json"], b'{"evaluations"')):
        process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE)
        assert process.stdout is not None
        shown = b""
        while shown.count(separator) < 3:
            shown += os.read(process.stdout.fileno(), 65536)
        process.send_signal(signal.SIGINT)
        shown += process.stdout.read()
        process.stdout.close()
        assert process.wait() == 0
        assert b"\x1b" not in shown


def test_the_last_hour_is_shown_beside_more_than_an_hour(study: StudyDir) -> None:
    rates = {"evaluations_per_hour": 1234.5, "device_hours_per_hour": 3.5}
    throughput = {"overall": {"hours": 2.5, **rates}, "last_hour": {"hours": 1.0, **rates, "evaluations_per_hour": 7.25}}
    shown = text(tables.status({**status(study), "throughput": throughput}))
    assert (
        "throughput: 1,234 evaluations/h, 3.50 device hours/h overall; 7.25 evaluations/h, 3.50 device hours/h over the last hour" in shown
    )
