"""Workers that have to go: what they train goes on elsewhere, and nobody takes what he cannot finish."""

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from whole_studies import all_details, attempts, check_whole, count, lines, program, search, start, wait_until

from bohb_nas.store.notes import read_note

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SMALL = {
    "family": "cell",
    "cell_channels": 8.0,
    "cell_repeats": 1,
    **dict.fromkeys([f"cell_edge_{edge}" for edge in ("0_1", "0_2", "0_3", "1_2", "1_3", "2_3")], "nor_conv_1x1"),
    "optimizer": "sgd",
    "sgd_learning_rate": 0.1,
    "sgd_one_minus_momentum": 0.1,
    "sgd_weight_decay": 1e-4,
    "batch_size": 32,
    "schedule": "cosine",
    "warm_up": 0.1,
    "label_smoothing": 0.0,
    **dict.fromkeys(["average", "flip", "crop", "cutout"], "off"),
    **dict.fromkeys(["mixing", "policy"], "none"),
}
"""A network of `joint` whose steps are short wherever it is trained."""


def trained(study: Path) -> dict[str, float]:
    """Trial -> for how long it has been in training."""
    notes = {p.stem: read_note(p) for p in (study / "running").glob("*.json")}
    return {i: time.time() - n["since"] for i, n in notes.items() if "since" in n}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_what_is_handed_over_owes_only_the_rest(study: Path, tmp_path: Path, number: signal.Signals) -> None:
    options = ["--budget-min", "9", "--trials", "3", "--method", "random_search", "--workers", "0"]
    master = start(search(study, *options, slow=0.5), tmp_path / "master.log")
    wait_until(lambda: count(study, "lead") == 1)
    first = start(program("worker", str(study), "--device", "cpu0"), tmp_path / "first.log")
    wait_until(lambda: any(seconds > 2.0 for seconds in trained(study).values()))
    first.send_signal(number)
    assert first.wait(timeout=60) == 0, (tmp_path / "first.log").read_text()
    assert f"leaving: asked to leave by {number.name}" in (tmp_path / "first.log").read_text()
    left = study / "trials" / "t00000" / "0"
    assert read_note(left / "left.json")["train_s"] > 1.0
    second = start(program("worker", str(study), "--device", "cpu1"), tmp_path / "second.log")
    assert master.wait(timeout=120) == 0, (tmp_path / "master.log").read_text()
    assert second.wait(timeout=60) == 0
    check_whole(study, trials=3)
    assert attempts(study) == {"t00000": 2, "t00001": 1, "t00002": 1}
    details = all_details(study)
    assert details["earlier"] + details["attempt_s"] == pytest.approx(9.0)
    assert 1.0 < details["attempt_s"] < 8.0
    assert not (left / "handover").exists(), "nobody needs it any more"


def test_a_worker_whose_time_is_over_hands_over_and_goes(study: Path, tmp_path: Path) -> None:
    options = ["--budget-min", "9", "--trials", "2", "--method", "random_search", "--workers", "0"]
    master = start(search(study, *options, slow=1.5), tmp_path / "master.log")
    wait_until(lambda: count(study, "lead") == 1)
    brief = start(program("worker", str(study), "--device", "cpu0", "--time", "20s", "--grace", "5s"), tmp_path / "brief.log")
    assert brief.wait(timeout=120) == 0, (tmp_path / "brief.log").read_text()
    assert "the time of this worker is over" in (tmp_path / "brief.log").read_text()
    begun = dict(attempts(study))
    assert begun, "it was given a trial, because it can hand over"
    assert all((study / "trials" / i / "0" / "left.json").exists() for i in begun if not (study / "results" / f"{i}.json").exists())
    second = start(program("worker", str(study), "--device", "cpu1"), tmp_path / "second.log")
    assert master.wait(timeout=120) == 0, (tmp_path / "master.log").read_text()
    assert second.wait(timeout=60) == 0
    check_whole(study, trials=2)


SLEEPS = f'{shlex.quote(sys.executable)} -c \'import sys, time; time.sleep(float(sys.argv[1])); print("{{{{\\"loss\\": 1}}}}")\' {{budget}}'


def command_search(study: Path, *arguments: str) -> list[str]:
    return program("run", str(study), "--space", "toy", "--command", SLEEPS + " {lr} {width} {optimizer} --m {momentum}", *arguments)


def test_a_worker_without_the_time_for_a_trial_is_not_given_one(study: Path, tmp_path: Path) -> None:
    """The program cannot hand over; budgets are 2 s and 30 s."""
    options = ["--budget-min", "2s", "--budget-max", "30s", "--eta", "15", "--method", "asha", "--trials", "18", "--workers", "0"]
    master = start(command_search(study, *options), tmp_path / "master.log")
    wait_until(lambda: count(study, "lead") == 1)
    brief = start(program("worker", str(study), "--device", "cpu0", "--time", "28s", "--grace", "1s"), tmp_path / "brief.log")
    long = start(program("worker", str(study), "--device", "cpu1"), tmp_path / "long.log")
    assert brief.wait(timeout=120) == 0, (tmp_path / "brief.log").read_text()
    assert master.wait(timeout=200) == 0, (tmp_path / "master.log").read_text()
    assert long.wait(timeout=60) == 0
    state = check_whole(study, trials=18)
    by_budget = {(state.trials[i].budget, r.details["engine"]["device"]) for i, r in state.results.items()}
    assert (2.0, "cpu0") in by_budget
    assert (30.0, "cpu0") not in by_budget
    assert {r.status.value for r in state.results.values()} == {"ok"}
    assert set(attempts(study).values()) == {1}, "nothing was begun in vain"


def test_a_warning_lets_end_what_cannot_be_handed_over(study: Path, tmp_path: Path) -> None:
    options = ["--budget-min", "8s", "--budget-max", "8s", "--method", "random_search", "--trials", "2", "--workers", "0"]
    master = start(command_search(study, *options), tmp_path / "master.log")
    wait_until(lambda: count(study, "lead") == 1)
    first = start(program("worker", str(study), "--device", "cpu0"), tmp_path / "first.log")
    wait_until(lambda: any(seconds > 1.0 for seconds in trained(study).values()))
    first.send_signal(signal.SIGUSR1)
    assert first.wait(timeout=60) == 0, (tmp_path / "first.log").read_text()
    assert (study / "results" / "t00000.json").exists(), "there was time enough"
    second = start(program("worker", str(study), "--device", "cpu1"), tmp_path / "second.log")
    assert master.wait(timeout=120) == 0, (tmp_path / "master.log").read_text()
    assert second.wait(timeout=60) == 0
    check_whole(study, trials=2)
    assert set(attempts(study).values()) == {1}


def test_a_signal_to_all_processes_of_a_job_crashes_no_trial(study: Path, tmp_path: Path) -> None:
    """As schedulers send it: to the worker, its child, and the program that it runs."""
    options = ["--budget-min", "8s", "--budget-max", "8s", "--method", "random_search", "--trials", "1", "--workers", "0"]
    master = start(command_search(study, *options), tmp_path / "master.log")
    wait_until(lambda: count(study, "lead") == 1)
    first = start(program("worker", str(study), "--device", "cpu0"), tmp_path / "first.log")
    wait_until(lambda: any(seconds > 1.0 for seconds in trained(study).values()))
    for pid in [*descendants(first.pid), first.pid]:  # the worker last: it must not take the deaths for crashes until it hears of it
        os.kill(pid, signal.SIGTERM)
    assert first.wait(timeout=60) == 0, (tmp_path / "first.log").read_text()
    second = start(program("worker", str(study), "--device", "cpu1"), tmp_path / "second.log")
    assert master.wait(timeout=120) == 0, (tmp_path / "master.log").read_text()
    assert second.wait(timeout=60) == 0
    state = check_whole(study, trials=1)
    assert [r.status.value for r in state.results.values()] == ["ok"]


def descendants(pid: int) -> list[int]:
    """The processes below one, the nearest first, without those of the master that stands by."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == pid:
            found += [int(process.name), *descendants(int(process.name))]
    return found


def test_images_are_trained_on_for_the_rest_of_the_budget(study: Path, tmp_path: Path) -> None:
    options = ["--dataset", "digits", "--budget-min", "14s", "--budget-max", "14s", "--method", "random_search"]
    options += ["--worker-option", "n_threads=1"]  # two that wait for each other wait long where others have the cores
    small = tmp_path / "small.json"  # a random network's steps may be too long for 14 s where the machine is starved
    small.write_text(json.dumps([SMALL]))
    master = start(
        program("run", str(study), *options, "--initial", str(small), "--trials", "1", "--workers", "0"), tmp_path / "master.log"
    )
    wait_until(lambda: count(study, "lead") == 1)
    first = start(program("worker", str(study), "--device", "cpu0"), tmp_path / "first.log")
    wait_until(lambda: any((study / "trials").glob("t00000/0/curve.jsonl")), what="a step")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 0, (tmp_path / "first.log").read_text()
    second = start(program("worker", str(study), "--device", "cpu1"), tmp_path / "second.log")
    assert master.wait(timeout=200) == 0, (tmp_path / "master.log").read_text()
    assert second.wait(timeout=60) == 0
    result = next(iter(check_whole(study, trials=1).results.values()))
    assert result.status.value == "ok", result.message
    assert [line["event"] for line in lines(study)].count("ask") == 1
    details = all_details(study)
    assert details["earlier"], "what was trained before"
    assert 0.0 < details["attempt_s"] < 13.9
    parts = [attempt["train_s"] for attempt in details["earlier"]] + [details["attempt_s"]]
    assert result.metrics["new_s"] == pytest.approx(sum(parts)), "every second counts once"
    last_step_s = result.metrics["step_max_s"]  # what the last step takes beyond the budget, where others work on the machine, too
    assert 14.0 * 0.98 <= result.metrics["new_s"] <= 14.0 * 1.02 + last_step_s
