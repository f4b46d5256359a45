"""The checks find what they are for: each fake breaks one clause of a contract."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, Constant

from bohb_nas import leaving, make_optimizer, testing
from bohb_nas.errors import UsageError
from bohb_nas.records import Idle, Origin, Result, Status, Trial
from bohb_nas.search_spaces import toy as toy_space
from bohb_nas.testing import Finding, check_file, check_method, check_space, check_worker
from bohb_nas.workers import toy as toy_worker


def _problems(findings: list[Finding]) -> dict[str, str]:
    return {finding.statement: finding.problem for finding in findings if finding.problem is not None}


def test_a_space_without_a_choice() -> None:
    space = ConfigurationSpace()
    space.add(Constant("a", 1))
    assert "can be searched" in next(iter(_problems(check_space(space))))


class Altered:
    """A toy worker whose results are altered."""

    def __init__(self, alter: Callable[[Result], Any]) -> None:
        self._alter = alter

    def train(self, trial: Trial, workdir: Path) -> Any:
        return self._alter(toy_worker.make().train(trial, workdir))


def _raise(_: Result) -> None:
    raise RuntimeError("out of paper")


def _exit(_: Result) -> None:
    raise SystemExit("no such file")


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda _: None, "train returned NoneType"),
        (lambda r: r.loss, "train returned float"),
        (lambda r: replace(r, trial_id="other"), "pass on trial.trial_id"),
        (lambda r: replace(r, status=Status.CRASHED, loss=None, message="too wide"), "too wide"),
        (lambda r: replace(r, details={"curve": object()}), "not JSON serializable"),
        (lambda r: replace(r, details={"curve": float("nan")}), "ValueError"),
        (lambda r: replace(r, metrics={"device": "cpu"}), "metrics device ('cpu') are no finite numbers"),
        (_raise, "RuntimeError: out of paper"),
        (_exit, "SystemExit: no such file"),
    ],
)
def test_a_worker_that_breaks_the_contract(tmp_path: Path, alter: Callable[[Result], Any], said: str) -> None:
    problems = _problems(check_worker(Altered(alter), toy_space.space(), workdir=tmp_path))
    assert len(problems) == 3
    assert all(said in problem for problem in problems.values())


def test_the_toy_worker_breaks_nothing(tmp_path: Path) -> None:
    assert _problems(check_worker(toy_worker.make(), toy_space.space(), workdir=tmp_path)) == {}


@pytest.mark.parametrize(
    "way", ["sys.stdout.close()", "sys.stdout = None", "sys.stdout.detach()", "sys.stdout = os.fdopen(1, 'w')", "os.close(1)"]
)
def test_a_worker_that_spoils_standard_output_is_checked_to_the_end(tmp_path: Path, way: str) -> None:
    text = "from bohb_nas.workers import toy\nimport os, sys\ndef train(trial, workdir):\n"
    (tmp_path / "mine.py").write_text(f"{text}    {way}\n    return toy.make().train(trial, workdir)\n")
    command = [sys.executable, "-m", "bohb_nas", "check", str(tmp_path / "mine.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 3


class Leaver:
    """Trains for a second unless it is asked to leave; parts of that can be spoilt."""

    hands_over = True

    def __init__(self, spoil: str) -> None:
        self.spoil = spoil

    def train(self, trial: Trial, workdir: Path) -> Result:
        again = (workdir / "interrupted").exists()
        if again and self.spoil == "forgets":
            raise RuntimeError("what is this folder")
        if trial.trial_id == "check-leaving" and self.spoil == "unasked":
            return self._result(trial, Status.PREEMPTED)
        until = time.monotonic() + (0.0 if again else 0.3)
        while time.monotonic() < until:
            if leaving.asked() and self.spoil != "stays":
                (workdir / "handover").mkdir()
                return self._result(trial, Status.PREEMPTED)
            time.sleep(0.01)
        return self._result(trial, Status.OK)

    def _result(self, trial: Trial, status: Status) -> Result:
        return Result(trial_id=trial.trial_id, status=status, loss=0.5 if status is Status.OK else None, train_s=0.0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [("", None), ("stays", "after it was asked to leave"), ("forgets", "what is this folder"), ("unasked", "without being asked")],
)
def test_a_worker_that_hands_over_is_asked_to_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str, said: str | None) -> None:
    monkeypatch.setattr(testing, "_SOON_S", 0.1 if spoil == "stays" else 60.0)
    problems = _problems(check_worker(Leaver(spoil), toy_space.space(), workdir=tmp_path))
    assert list(problems) == (["asked to leave it does so soon, and the next attempt goes on"] if said else [])
    assert all(str(said) in problem for problem in problems.values())


class Wrapped:
    """A random search that a subclass spoils."""

    def __init__(self, **given: Any) -> None:
        self.inner = make_optimizer("random_search", **given)
        self.reason = "spoilt"
        self.n_asked = 0

    def ask(self) -> Trial | Idle:
        self.n_asked += 1
        return self.inner.ask()

    def tell(self, result: Result) -> None:
        self.inner.tell(result)

    def replay(self, trial: Trial) -> None:
        self.inner.replay(trial)


class Waits(Wrapped):
    def ask(self) -> Trial | Idle:
        return Idle.WAIT


class Stops(Wrapped):
    def ask(self) -> Trial | Idle:
        return Idle.DONE


class Reissues(Wrapped):
    def ask(self) -> Trial | Idle:
        asked = super().ask()
        return replace(asked, trial_id="t") if isinstance(asked, Trial) else asked

    def tell(self, result: Result) -> None:
        pass


class OffTheLadder(Wrapped):
    def ask(self) -> Trial | Idle:
        asked = super().ask()
        return replace(asked, budget=26.0) if isinstance(asked, Trial) else asked


class Illegal(Wrapped):
    def ask(self) -> Trial | Idle:
        asked = super().ask()
        return replace(asked, config={**asked.config, "width": 99}) if isinstance(asked, Trial) else asked


class Whimsical(Wrapped):
    count = 0

    def ask(self) -> Trial | Idle:
        Whimsical.count += 1
        asked = super().ask()
        return replace(asked, seed=Whimsical.count) if isinstance(asked, Trial) else asked


class NeedsLosses(Wrapped):
    def tell(self, result: Result) -> None:
        assert result.loss is not None
        super().tell(result)


class CountsTells(Wrapped):
    n_told = 0

    def ask(self) -> Trial | Idle:
        asked = super().ask()
        return replace(asked, rung=self.n_told) if isinstance(asked, Trial) else asked

    def tell(self, result: Result) -> None:
        self.n_told += 1
        super().tell(result)


class PromotesAll(Wrapped):
    def ask(self) -> Trial | Idle:
        asked = super().ask()
        return replace(asked, config_id="c", origin=Origin.PROMOTED) if isinstance(asked, Trial) else asked


class Forgets(Wrapped):
    def replay(self, trial: Trial) -> None:
        pass

    def tell(self, result: Result) -> None:
        pass


@pytest.mark.parametrize(
    ("method", "statement", "said"),
    [
        (Waits, "complete, legal and new", "waits although no trial is running"),
        (Stops, "complete, legal and new", "asks nothing"),
        (Reissues, "complete, legal and new", "issued twice"),
        (OffTheLadder, "complete, legal and new", "no rung"),
        (Illegal, "complete, legal and new", "width"),
        (Whimsical, "the seed and the order of results", "ask 0"),
        (NeedsLosses, "goes on when every trial fails", "AssertionError"),
        (CountsTells, "told twice", "ask"),
        (PromotesAll, "not promoted", "which failed"),
        (Forgets, "replayed", "uninterrupted"),
    ],
)
def test_a_method_that_breaks_the_contract(method: type[Wrapped], statement: str, said: str) -> None:
    problems = _problems(check_method(method))
    (problem,) = (problem for stated, problem in problems.items() if statement in stated)
    assert said in problem


@pytest.mark.parametrize("method", ["random_search", "hyperband"])
def test_methods_of_ours_break_nothing(method: str) -> None:
    assert _problems(check_method(partial(make_optimizer, method))) == {}


SPACE = "from bohb_nas.search_spaces.toy import space\n"
WORKER = "from bohb_nas.workers.toy import make\n"
METHOD = "from bohb_nas.methods.random_search import Options, make\n"
DATASET = "from bohb_nas.datasets.digits import load\n"


@pytest.mark.parametrize(("text", "n"), [(SPACE, 5), (WORKER, 4), (METHOD, 6), (DATASET, 1), (SPACE + WORKER + DATASET, 10)])
def test_a_file_is_checked_for_all_that_it_offers(tmp_path: Path, text: str, n: int) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    findings = check_file(str(path))
    assert _problems(findings) == {}
    assert len(findings) == n


@pytest.mark.parametrize("text", ["", "import nowhere", "1 +"])
def test_a_file_that_offers_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError):
        check_file(str(path))


@pytest.mark.parametrize("name", ["none.py", "none.json", "none.yaml"])
def test_a_file_that_is_not_there_is_no_kind_of_thing_yet(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"^there is no file {tmp_path}/{name}; give the path of one that is$"):
        check_file(str(tmp_path / name))


ROTATE = '{"operator": "rotate", "probability": 1, "magnitude": [0, 15]}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"\ufeff[{ROTATE}]\n", None),
        (f"\n[{ROTATE.replace('1,', '0.5,')}]", "the probabilities sum to 0.5; accepted is 1"),
        (f"[{ROTATE},]", "is not JSON"),
    ],
)
def test_a_policy(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "policy.json").write_text(text)
    (finding,) = check_file(str(tmp_path / "policy.json"))
    assert (finding.problem is None) is (said is None)
    assert str(said) in str(finding.problem)


@pytest.mark.parametrize("text", ["", "operators: rotate", '"rotate"', "3", "{}".encode("utf-16")])
def test_what_is_neither_a_space_nor_a_policy_is_told_what_each_is(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "mine.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(
        UsageError,
        match=r"mine\.json' does not begin as an object or a list of JSON in UTF-8.* space, an object .* policy, a list of operators",
    ):
        check_file(str(tmp_path / "mine.json"))


def test_a_space_in_json(tmp_path: Path) -> None:
    toy_space.space().to_json(tmp_path / "space.json")
    assert _problems(check_file(str(tmp_path / "space.json"))) == {}
