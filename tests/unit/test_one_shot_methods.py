"""AutoHAS and DHA as methods: what they ask of a worker that searches by itself, whatever becomes of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, Constant
from in_process import InProcessEngine, driven

from bohb_nas.engine.child import make_worker
from bohb_nas.engine.drive import Wish
from bohb_nas.engine.replaying import replay
from bohb_nas.errors import JournalError, KnowledgeError, OptionError, RecordError
from bohb_nas.knowledge import Knowledge
from bohb_nas.methods import Method, autohas, dha, make_optimizer
from bohb_nas.records import Budgets, Idle, Origin, Result, Status, Trial, Value
from bohb_nas.search_spaces.toy import space
from bohb_nas.store.journal import Event, Journal, fold
from bohb_nas.store.study_dir import StudyDir

BUDGETS = Budgets(min=400, max=10800)
FOUND: dict[str, Value] = {"lr": 0.001, "width": 3, "optimizer": "sgd", "momentum": 0.5}
DEFAULT: dict[str, Value] = {"lr": 0.01, "width": 4, "optimizer": "adam"}
"""Momentum is inactive under adam."""


def method(name: str = "autohas", *, seed: int = 0, **options: Any) -> Method:
    chosen = {"autohas": autohas, "dha": dha}[name].Options(**options)
    return make_optimizer(name, space=space(), budgets=BUDGETS, seed=seed, options=chosen)


def asked(optimizer: Method) -> Trial:
    trial = optimizer.ask()
    assert isinstance(trial, Trial)
    return trial


def ok(trial: Trial, config: dict[str, Value] | None = None) -> Result:
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.5, train_s=1.0, config=config)


def failed(trial: Trial, status: Status = Status.CRASHED) -> Result:
    return Result(trial_id=trial.trial_id, status=status, loss=None, train_s=1.0, message="no luck")


def test_what_is_left_to_do_is_known_until_it_is_over() -> None:
    optimizer = autohas.make(space=space(), budgets=BUDGETS, seed=0, n_workers=1, options=autohas.Options())
    assert optimizer.left == "nothing was searched"
    optimizer.tell(ok(asked(optimizer), FOUND))
    assert optimizer.left == "what the search found was not trained by itself"
    optimizer.tell(ok(asked(optimizer)))
    assert optimizer.given_up is None
    assert optimizer.left is None


def test_why_it_was_given_up_is_known_after_the_last_attempt() -> None:
    optimizer = dha.make(space=space(), budgets=BUDGETS, seed=0, n_workers=1, options=dha.Options())
    for _ in range(3):
        assert optimizer.given_up is None
        optimizer.tell(failed(asked(optimizer)))
    assert (optimizer.left, optimizer.given_up) == (None, "given up: the search failed 3 times; t00002 ended as crashed")


@pytest.mark.parametrize(
    ("name", "options", "most"),
    [
        ("autohas", {"n_bases": 101}, 100),
        ("autohas", {"controller": "uniform", "tried": 10_001}, 10_000),
        ("autohas", {"rollouts": 101}, 100),
        ("dha", {"proj_dims": 1001}, 1000),
    ],
)
def test_what_would_take_for_ever_is_refused(name: str, options: dict[str, Any], most: int) -> None:
    with pytest.raises(OptionError, match=f"to {most}$"):
        method(name, **options)
    method(name, **{option: most if isinstance(value, int) else value for option, value in options.items()})


def test_autohas_searches_and_then_trains_what_was_found() -> None:
    optimizer = method()
    first = asked(optimizer)
    assert first.config == pytest.approx(DEFAULT)
    assert (first.origin, first.budget, first.rung, first.bracket) == (Origin.SEARCH, 10800.0, 3, 0)
    assert optimizer.reason == "the search itself"
    assert optimizer.ask() is Idle.WAIT
    assert "t00000" in optimizer.reason
    optimizer.tell(ok(first, FOUND))
    second = asked(optimizer)
    assert (second.config, second.origin, second.budget, second.rung) == (FOUND, Origin.MODEL, 10800.0, 3)
    assert second.config_id != first.config_id
    assert second.seed != first.seed
    assert optimizer.reason == "what the search found, trained by itself"
    optimizer.tell(ok(second))
    assert optimizer.ask() is Idle.DONE
    assert optimizer.reason == "what the search found is trained"


def test_the_search_has_seconds_of_its_own_and_the_training_the_dearest_budget() -> None:
    optimizer = method(search_s=600)
    first = asked(optimizer)
    assert (first.budget, first.rung) == (600.0, 3)
    optimizer.tell(ok(first, FOUND))
    assert asked(optimizer).budget == 10800.0


@pytest.mark.parametrize(("name", "options"), [("dha", {}), ("autohas", {"retrain": False})])
def test_without_retraining_the_search_is_all(name: str, options: dict[str, Any]) -> None:
    optimizer = method(name, **options)
    optimizer.tell(ok(asked(optimizer), FOUND))
    assert optimizer.ask() is Idle.DONE
    assert optimizer.reason == "the search is through"


def test_dha_trains_what_it_found_when_told_to() -> None:
    optimizer = method("dha", retrain=True)
    optimizer.tell(ok(asked(optimizer), FOUND))
    assert asked(optimizer).config == FOUND


@pytest.mark.parametrize("status", [Status.CRASHED, Status.DIVERGED, Status.LOST, Status.OUT_OF_MEMORY])
def test_a_failed_search_is_asked_three_times_with_other_seeds(status: Status) -> None:
    optimizer = method()
    trials, reasons = [], []
    for _ in range(3):
        trials.append(asked(optimizer))
        reasons.append(optimizer.reason)
        optimizer.tell(failed(trials[-1], status))
    assert {t.origin for t in trials} == {Origin.SEARCH}
    assert len({t.seed for t in trials}) == len({t.trial_id for t in trials}) == 3
    assert reasons[1] == f"the search itself, with another seed: t00000 ended as {status}"
    assert optimizer.ask() is Idle.DONE
    assert optimizer.reason == f"given up: the search failed 3 times; t00002 ended as {status}"


def test_a_failed_training_is_asked_once_more_with_another_seed() -> None:
    optimizer = method()
    optimizer.tell(failed(asked(optimizer)))
    optimizer.tell(ok(asked(optimizer), FOUND))
    trials = []
    for _ in range(2):
        trials.append(asked(optimizer))
        optimizer.tell(failed(trials[-1]))
    assert [(t.config, t.origin) for t in trials] == [(FOUND, Origin.MODEL)] * 2
    assert trials[0].seed != trials[1].seed
    assert optimizer.ask() is Idle.DONE
    assert optimizer.reason == "given up: the training of what it found failed 2 times; t00003 ended as crashed"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (None, "brought no configuration"),
        ({**FOUND, "width": 17}, "width = 17"),
        ({**DEFAULT, "momentum": 0.5}, "momentum is given but inactive"),
        ({"lr": 0.1, "width": 4, "optimizer": "sgd"}, "momentum is missing"),
        ({**DEFAULT, "depth": 3}, "depth"),
    ],
)
def test_what_is_none_of_the_space_is_a_failed_search(config: dict[str, Value] | None, why: str) -> None:
    optimizer = method()
    optimizer.tell(ok(asked(optimizer), config))
    again = asked(optimizer)
    assert again.origin is Origin.SEARCH
    assert why in optimizer.reason


def test_what_the_engine_left_out_of_a_search_is_why_it_failed() -> None:
    optimizer = method()
    optimizer.tell(replace(ok(asked(optimizer), None), details={"config_left_out": "width = 17; accepted is 1 to 16"}))
    assert asked(optimizer).origin is Origin.SEARCH
    assert "found what the space does not have: width = 17" in optimizer.reason


def test_what_was_found_is_written_as_the_space_writes_it() -> None:
    spelt = ConfigurationSpace({"lr": (0.0, 1.0), "width": (1, 16)})
    spelt.add(Constant("family", "wrn"))
    optimizer = make_optimizer("autohas", space=spelt, budgets=BUDGETS)
    assert asked(optimizer).config == {"lr": 0.5, "width": 8, "family": "wrn"}
    optimizer.tell(Result(trial_id="t00000", status=Status.OK, loss=0.5, train_s=1.0, config={"lr": 1, "width": 3.0}))
    found = asked(optimizer).config
    assert found == {"lr": 1.0, "width": 3, "family": "wrn"}
    assert {name: type(value) for name, value in found.items()} == {"lr": float, "width": int, "family": str}


@pytest.mark.parametrize("search_s", [0, -1.0, float("nan"), float("inf"), pytest.param(10**400, id="beyond every float"), "20m", True])
def test_seconds_of_a_search_are_a_number_above_0(search_s: object) -> None:
    with pytest.raises(OptionError, match="search_s"):
        autohas.Options(search_s=search_s)  # type: ignore[arg-type]


def test_options_of_the_search_are_the_methods() -> None:
    with pytest.raises(OptionError, match="controller is 'best'; accepted is robust"):
        autohas.Options(controller="best")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="proj_dims"):
        dha.Options(proj_dims=1)
    with pytest.raises(OptionError, match="retrain is 1; accepted is true or false"):
        dha.Options(retrain=1)  # type: ignore[arg-type]
    assert (autohas.Options().retrain, dha.Options().retrain) == (True, False)


@pytest.mark.parametrize("name", ["autohas", "dha"])
def test_budgets_are_seconds(name: str) -> None:
    with pytest.raises(OptionError, match="'epochs'"):
        make_optimizer(name, space=space(), budgets=Budgets(min=1, max=9, unit="epochs"))


def test_what_is_known_beforehand_is_refused() -> None:
    with pytest.raises(KnowledgeError, match="method dha takes no initial configurations"):
        make_optimizer("dha", space=space(), budgets=BUDGETS, knowledge=Knowledge(initial=(DEFAULT,)))
    make_optimizer("dha", space=space(), budgets=BUDGETS, knowledge=Knowledge())  # of which nothing is known


def test_a_journal_of_another_search_is_refused() -> None:
    first = asked(method())
    with pytest.raises(JournalError, match="budget 600, search"):
        method(search_s=600).replay(first)
    waiting = method()
    with pytest.raises(JournalError, match=r"model.*would have asked .*search"):
        waiting.replay(replace(first, origin=Origin.MODEL))
    waiting.replay(first)
    with pytest.raises(JournalError, match="would have asked no trial"):
        waiting.replay(first)
    waiting.tell(failed(first))
    with pytest.raises(RecordError, match="never asked"):
        waiting.tell(failed(Trial.from_json({**first.to_json(), "trial_id": "t00001"})))


WORKER = """
from bohb_nas import Result, Status

def train(trial, workdir):
    if trial.origin == "search":
        if trial.trial_id == "t00000":
            raise RuntimeError("an unlucky start")
        found = {"lr": 0.001, "width": 3, "optimizer": "sgd", "momentum": 0.5}
        return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.01, train_s=trial.budget, config=found)
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.25 + trial.config["lr"], train_s=trial.budget)
"""


def run(path: Path, worker: Path, *, stop_after: int | None = None) -> tuple[bool, Journal]:
    """Searches in place until the end, or until so many trials are asked; on a new clock each time."""
    study = StudyDir(path)
    study.make()
    state, optimizer = fold(study.journal), method(search_s=600)
    replay(optimizer, state)
    journal = Journal(study.journal, state)
    journal.write(Event(term=state.term + 1, time=0.0))
    engine = InProcessEngine(study, make_worker(str(worker), {}))

    def wish() -> Wish:
        return Wish.STOP if stop_after is not None and len(state.trials) >= stop_after else Wish.GO_ON

    return driven(study, journal, optimizer, engine, budgets=BUDGETS, clock=lambda: 1.0, wish=wish), journal


@pytest.mark.parametrize("stop_after", [None, 1, 2, 3])
def test_a_study_ends_with_the_trained_configuration_however_often_it_was_stopped(tmp_path: Path, stop_after: int | None) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    if stop_after is not None:
        assert not run(tmp_path / "study", tmp_path / "worker.py", stop_after=stop_after)[0]
    finished, journal = run(tmp_path / "study", tmp_path / "worker.py")
    assert finished
    trials, results = list(journal.state.trials.values()), journal.state.results
    assert [(t.trial_id, t.origin, t.budget, results[t.trial_id].status) for t in trials] == [
        ("t00000", Origin.SEARCH, 600.0, Status.CRASHED),
        ("t00001", Origin.SEARCH, 600.0, Status.OK),
        ("t00002", Origin.MODEL, 10800.0, Status.OK),
    ]
    assert journal.state.incumbent is not None
    assert (journal.state.incumbent.trial.config, journal.state.incumbent.result.loss) == (FOUND, 0.251)
    assert (journal.state.n_asked, journal.state.budget_asked) == (3, 12000.0)
    assert fold(StudyDir(tmp_path / "study").journal) == journal.state
