"""A study whose files were cut at every byte goes on: nothing finished is lost, trained again or told twice."""

from pathlib import Path

import pytest
from study_fakes import planned
from toy_studies import drive

from bohb_nas.engine.plan import Request
from bohb_nas.records import Result, Trial
from bohb_nas.store.journal import fold
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.workers.toy import ToyWorker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
N_TRIALS = 2


class Counting:
    """The toy worker, with a list of what it trained."""

    def __init__(self) -> None:
        self.trained: list[str] = []

    def train(self, trial: Trial, workdir: Path) -> Result:
        self.trained.append(trial.trial_id)
        return ToyWorker(seconds_per_budget=0.0).train(trial, workdir)


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    request = Request(space="toy", worker="toy", method="random_search", budget_min=1, budget_max=9, trials=N_TRIALS)
    study = planned(tmp_path / "study", request)
    drive(study, n_trials=N_TRIALS)
    return study


def test_a_journal_cut_at_every_byte_is_taken_up_and_results_come_back_from_their_files(study: StudyDir) -> None:
    whole, results = study.journal.read_bytes(), {p: p.read_bytes() for p in study.results.iterdir()}
    state = fold(study.journal)
    for at in range(len(whole) + 1):
        study.journal.write_bytes(whole[:at])
        worker = Counting()
        finished, _ = drive(study, n_trials=N_TRIALS, worker=worker)
        again = fold(study.journal)
        assert finished
        assert (again.trials, again.results, again.pending) == (state.trials, state.results, []), f"cut at {at}"
        assert worker.trained == [], f"cut at {at}: a finished trial was trained again"
        assert sum(b'"tell"' in line for line in study.journal.read_bytes().splitlines()) == N_TRIALS
        assert study.journal.read_bytes().startswith(whole[: whole.rfind(b"\n", 0, at) + 1]), "completed lines stay as they were"
        for torn in study.path.glob("journal.jsonl.torn-*"):
            assert whole[:at].endswith(torn.read_bytes())
            torn.unlink()
    assert {p: p.read_bytes() for p in study.results.iterdir()} == results


def test_a_result_cut_at_every_byte_is_set_aside_by_name_and_trained_again(study: StudyDir) -> None:
    path, whole_journal = study.result("t00001"), study.journal.read_bytes()
    whole = path.read_bytes()
    trial = fold(study.journal).trials["t00001"]
    untold = b"".join(line for line in whole_journal.splitlines(keepends=True) if not (b'"tell"' in line and b"t00001" in line))
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        said: list[str] = []
        assert study.read_result(trial, say=said.append) is None
        aside = study.results / "t00001.refused-0"
        assert (aside.read_bytes(), path.exists()) == (whole[:at], False)
        assert str(path) in said[0]
        assert aside.name in said[0]
        aside.unlink()
    for at in (0, len(whole) // 2, len(whole) - 1):
        study.journal.write_bytes(untold)
        path.write_bytes(whole[:at])
        worker = Counting()
        drive(study, n_trials=N_TRIALS, worker=worker)
        assert worker.trained == ["t00001"]
        assert len(fold(study.journal).results) == N_TRIALS
