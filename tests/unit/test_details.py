"""What a state keeps of results' details: all that anybody reads there, and nothing that only grows."""

import ast
import gc
import tracemalloc
from pathlib import Path
from typing import Any, cast

import pytest

import bohb_nas
from bohb_nas.engine.launch import Parts
from bohb_nas.engine.opening import Made, take_back
from bohb_nas.knowledge import NOTHING
from bohb_nas.methods import Method
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.store.details import KEPT, slim
from bohb_nas.store.following import Follower
from bohb_nas.store.journal import Event, Journal, State, fold, read_events
from bohb_nas.store.study_dir import StudyDir

PACKAGE = Path(bohb_nas.__file__).parent
FRESH = {"engine/drive.py", "engine/kept.py", "engine/trainer.py", "records.py", "samplers/earlier.py", "store/details.py"} | {
    "workers/command.py"
}
"""Modules that take details as a whole: of results that come from a worker, of evaluations of earlier studies, or to slim them."""
CURVE_BYTES, N = 100_000, 60


def trial(n: int) -> Trial:
    return Trial(trial_id=f"t{n}", config_id=f"c{n}", config={"x": n}, budget=1.0, bracket=0, rung=0, seed=n, origin=Origin.RANDOM)


def result(n: int, **details: Any) -> Result:
    return Result(trial_id=f"t{n}", status=Status.OK, loss=1 / (n + 1), train_s=1.0, details=details)


def write(path: Path) -> None:
    """A journal of which 6 MB are curves."""
    journal = Journal(path, State())
    journal.write(Event(term=1, time=0.0))
    for n in range(N):
        journal.write(Event(term=1, time=float(n), trial=trial(n)))
        told = result(n, curve="x" * CURVE_BYTES, engine={"host": "far"}, bound="bytes")
        journal.write(Event(term=1, time=n + 0.5, result=told))


def peak_bytes(path: Path, how: Any) -> int:
    tracemalloc.start()
    try:
        assert len(how(path).results) == N
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def named(node: ast.Attribute, parent: dict[ast.AST, ast.AST]) -> str | None:
    """The detail that is read where `.details` stands: .get("it"), ["it"], "it" in ..., or f(..., "it"); None where all are."""
    above = parent[node]
    if isinstance(above, ast.Attribute) and above.attr == "get":
        above = parent[above]
        found = above.args[0] if isinstance(above, ast.Call) else None
    elif isinstance(above, ast.Subscript):
        found = above.slice
    elif isinstance(above, ast.Compare):
        found = above.left
    elif isinstance(above, ast.Call) and node in above.args[:-1]:
        found = above.args[above.args.index(node) + 1]
    else:
        found = None
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


def test_every_detail_that_is_read_is_kept() -> None:
    read, whole = set(), set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if ".details" not in (text := path.read_text()):
            continue
        tree = ast.parse(text)
        parent = {below: above for above in ast.walk(tree) for below in ast.iter_child_nodes(above)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "details":
                name = named(node, parent)
                (whole.add(str(path.relative_to(PACKAGE))) if name is None else read.add(name))
    assert read == KEPT
    assert whole == FRESH


def test_what_nobody_reads_is_let_go_and_the_rest_is_as_it_was() -> None:
    kept: dict[str, Any] = {name: [name] for name in sorted(KEPT)}
    assert slim(result(1, curve=[1, 2], **kept)) == result(1, **kept)
    whole = result(1, **kept)
    assert slim(whole) is whole


def test_a_state_keeps_no_curves_and_no_more_than_a_line_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path)
    assert path.stat().st_size > N * CURVE_BYTES
    assert peak_bytes(path, fold) < N * CURVE_BYTES / 3
    assert peak_bytes(path, lambda path: Follower(path).look()) < N * CURVE_BYTES / 3


def test_the_writer_keeps_no_curves_either_and_the_journal_has_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, State())
    events = [
        Event(term=1, time=0.0),
        Event(term=1, time=1.0, trial=trial(0)),
        Event(term=1, time=2.0, result=result(0, curve=[1], bound="b")),
    ]
    for event in events:
        journal.write(event)
    assert list(read_events(path)) == events
    assert journal.state.results == {"t0": result(0, bound="b")}
    assert [e.result for e in journal.state.events] == [None, result(0, bound="b")]
    assert journal.state == fold(path) == Follower(path).look()


class Listener:
    """A method that takes what it is told."""

    def __init__(self) -> None:
        self.heard: list[Trial | Result] = []
        self.collected: list[bool] = []
        """Whether what it leaves in circles is collected meanwhile."""

    def ask(self) -> Trial:
        raise AssertionError("nothing is asked of a method that replays")

    def replay(self, trial: Trial) -> None:
        self.heard.append(trial)
        self.collected.append(gc.isenabled())

    def tell(self, result: Result) -> None:
        self.heard.append(result)


@pytest.mark.parametrize(("method", "details"), [("mine.py", {"curve": [1, 2], "bound": "b"}), ("asha", {"bound": "b"})])
def test_a_users_method_hears_all_details_again(tmp_path: Path, method: str, details: dict[str, Any]) -> None:
    study, listener = StudyDir(tmp_path / "study"), Listener()
    study.make()
    told = result(0, curve=[1, 2], bound="b")
    journal = Journal(study.journal, State())
    for event in [Event(term=1, time=0.0), Event(term=1, time=1.0, trial=trial(0)), Event(term=1, time=2.0, result=told)]:
        journal.write(event)
    with study.journal.open("a") as stream:  # a second tell, which does not count
        stream.write(Event(term=1, time=3.0, result=told).to_line() + "\n")
    made = Made(meta={"method": method}, parts=cast(Parts, None), knowledge=NOTHING, optimizer=cast(Method, listener))
    take_back(study, made, fold(study.journal))
    assert listener.heard == [trial(0), result(0, **details)]
    assert listener.collected == [True]
