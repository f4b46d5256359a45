"""The peers of the benchmark as methods under the virtual clock; each is skipped where its package is not installed."""

import importlib.util
import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Categorical, Configuration, ConfigurationSpace, Constant, EqualsCondition, Float, Integer, OrdinalHyperparameter

from bohb_nas import refs
from bohb_nas.benchmarks import Observation
from bohb_nas.errors import OptionError
from bohb_nas.methods import make_optimizer
from bohb_nas.records import Budgets, Idle, Optimizer, Origin, Result, Status, Trial, Value
from bohb_nas.simulation.clock import Run, simulate

FOLDER = Path(__file__).parents[2] / "bench" / "peers"
PACKAGES = {
    "optuna_tpe": ("optuna",),
    "dehb": ("dehb",),
    "smac_mf": ("smac",),
    "neps_brackets": ("neps",),
    "syne_tune_bohb": ("syne_tune",),
    "ray_tune_bohb": ("ray", "hpbandster"),
}
"""Method file -> the packages that it needs."""
INSTALLED = {name for name, packages in PACKAGES.items() if all(map(importlib.util.find_spec, packages))}
"""Looked up before a peer is loaded: then the folder, and in it a dehb.py, can be imported from."""


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) if name == "smac_mf" else name for name in PACKAGES])
def peer(request: pytest.FixtureRequest) -> str:
    """The path of a method file."""
    if request.param not in INSTALLED:
        pytest.skip(f"{' or '.join(PACKAGES[request.param])} is not installed: see bench/peers/README.md")
    return str(FOLDER / f"{request.param}.py")


def mixed_space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    optimizer = Categorical("optimizer", ["sgd", "adam"])
    depth = Integer("depth", (1, 4))
    momentum, beta = Float("momentum", (0.0, 0.99)), Float("beta", (0.8, 0.999))
    width = Integer("width", (16, 256), log=True)
    space.add(optimizer, depth, momentum, beta, width, Float("lr", (1e-4, 1.0), log=True), Categorical("flip", [True, False]))
    space.add(OrdinalHyperparameter("batch", [32, 64, 128]), Constant("classes", 10))
    space.add(EqualsCondition(momentum, optimizer, "sgd"), EqualsCondition(beta, optimizer, "adam"), EqualsCondition(width, depth, 3))
    return space


@dataclass(kw_only=True)
class Toy:
    """Costs what its budget says; loss is best at lr 0.01 and falls with the budget; adam may fail."""

    name: str = "toy"
    space: ConfigurationSpace = field(default_factory=mixed_space)
    budgets: Budgets = field(default_factory=lambda: Budgets(min=1, max=27, unit="epochs"))
    best: float = 0.0
    median: float = 1.0
    mean_cost: float = 27.0
    cost_unit: str = "epochs"
    adam_fails: bool = False

    def evaluate(self, config: Mapping[str, Value], budget: float, *, seed: int) -> Observation:
        if self.adam_fails and config["optimizer"] == "adam":
            return Observation(loss=None, cost=0.5, status=Status.CRASHED)
        return Observation(loss=self.truth(config) + 1 / budget, cost=budget)

    def truth(self, config: Mapping[str, Value]) -> float:
        lr = config["lr"]
        assert isinstance(lr, float)
        return abs(float(np.log10(lr)) + 2) + 0.1 * (config["optimizer"] == "sgd")


class Recorder:
    """An optimizer that notes what another one asks and is told."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.trials: list[Trial] = []
        self.failed: set[str] = set()

    def ask(self) -> Trial | Idle:
        asked = self._optimizer.ask()
        if isinstance(asked, Trial):
            self.trials.append(asked)
        return asked

    def tell(self, result: Result) -> None:
        if result.loss is None:
            self.failed |= {t.config_id for t in self.trials if t.trial_id == result.trial_id}
        self._optimizer.tell(result)


def search(peer: str, problem: Toy, *, seed: int = 0, n_workers: int = 1, full: float = 12) -> tuple[Recorder, Run]:
    optimizer = make_optimizer(peer, space=problem.space, budgets=problem.budgets, seed=seed, n_workers=n_workers)
    recorder = Recorder(optimizer)
    return recorder, simulate(recorder, problem, n_workers=n_workers, horizon=full * problem.mean_cost, seed=seed)


def by_config(trials: list[Trial]) -> dict[str, list[Trial]]:
    groups = defaultdict(list)
    for trial in trials:
        groups[trial.config_id].append(trial)
    return groups


def global_numpy_state() -> list[int]:
    state: Any = np.random.get_state()
    return [*state[1].tolist(), state[2]]


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What an import does to the random state is not held against a peer."""
    for name in INSTALLED:
        refs.load_module("method", str(FOLDER / f"{name}.py"))


@pytest.fixture(autouse=True)
def no_trace(imported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A peer leaves no file, prints nothing, and does not touch the random state or the logging of its host."""
    monkeypatch.chdir(tmp_path)
    before, np_before, handlers = random.getstate(), global_numpy_state(), list(logging.getLogger().handlers)
    yield
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert random.getstate() == before
    assert global_numpy_state() == np_before
    assert logging.getLogger().handlers == handlers


def test_a_peer_names_its_version(peer: str) -> None:
    module = refs.load_module("method", peer)
    assert module.VERSION.split(".")[0].isdigit()


@pytest.mark.parametrize("n_workers", [1, 4])
def test_every_trial_is_a_rung_and_a_legal_configuration(peer: str, n_workers: int) -> None:
    problem = Toy()
    recorder, run = search(peer, problem, n_workers=n_workers)
    assert run.busy == pytest.approx(n_workers * run.horizon)  # no worker ever waited
    assert [t.trial_id for t in recorder.trials] == [f"t{n:05d}" for n in range(len(recorder.trials))]
    assert {t.rung for t in recorder.trials} == {0, 1, 2, 3}
    for trial in recorder.trials:
        assert trial.budget == (1.0, 3.0, 9.0, 27.0)[trial.rung]
        assert Trial.from_json(trial.to_json()) == trial
        Configuration(problem.space, values=dict(trial.config)).check_valid_configuration()  # complete, and nothing inactive
        assert all(type(value) in (bool, int, float, str) for value in trial.config.values())
        assert type(trial.config["flip"]) is bool
        assert 0 <= 3 - trial.rung <= 3
        assert trial.rung >= 3 - trial.bracket


@pytest.mark.parametrize("n_workers", [1, 4])
def test_a_promotion_is_the_same_configuration_higher_up(peer: str, n_workers: int) -> None:
    recorder, _ = search(peer, Toy(), n_workers=n_workers)
    groups = by_config(recorder.trials)
    assert any(len(group) > 2 for group in groups.values())
    for group in groups.values():
        assert all(t.config == group[0].config and t.seed == group[0].seed for t in group)
        rungs = [t.rung for t in group]
        if not peer.endswith("dehb.py"):  # which may train a configuration once more on the same rung
            assert rungs == sorted(set(rungs))
        assert [t.origin is Origin.PROMOTED for t in group] == [0 <= max(rungs[:n], default=3) < rungs[n] for n in range(len(group))]


def test_of_many_only_the_better_go_up(peer: str) -> None:
    problem = Toy()
    recorder, _ = search(peer, problem, full=20)
    groups = [group for group in by_config(recorder.trials).values() if group[0].rung == 0][:27]
    up, down = ([problem.truth(g[0].config) for g in groups if (len(g) > 1) is promoted] for promoted in (True, False))
    assert 0 < len(up) < len(down)
    assert np.mean(up) < np.mean(down)


@pytest.mark.parametrize("n_workers", [1, 4])
def test_what_failed_never_goes_up_and_the_search_goes_on(peer: str, n_workers: int) -> None:
    recorder, run = search(peer, Toy(adam_fails=True), n_workers=n_workers)
    assert run.failed
    assert run.evaluations[-1]
    groups = by_config(recorder.trials)
    assert recorder.failed
    again = [config_id for config_id in recorder.failed if len(groups[config_id]) > 1]
    if peer.endswith("smac_mf.py"):  # it fills every place of the next rung, if need be with what failed
        assert len(again) < 0.1 * len(recorder.failed)
    else:
        assert again == []


def test_a_seed_gives_the_same_trials_and_another_gives_others(peer: str) -> None:
    trials = [search(peer, Toy(), seed=seed, n_workers=4, full=6)[0].trials for seed in (5, 5, 6)]
    assert trials[0] == trials[1]
    assert trials[0] != trials[2]


def test_no_rung_and_no_bracket_of_a_ladder_to_243_is_lost(peer: str) -> None:
    problem = Toy(space=ConfigurationSpace({"lr": (0.001, 1.0)}), budgets=Budgets(min=1, max=243))
    recorder = make_optimizer(peer, space=problem.space, budgets=problem.budgets)
    seen: set[tuple[int, int]] = set()
    for n in range(2000):
        trial = recorder.ask()
        assert isinstance(trial, Trial)
        seen.add((trial.bracket, trial.rung))
        recorder.tell(Result(trial_id=trial.trial_id, status=Status.OK, loss=float(n % 97), train_s=1.0))
        if {s for s, _ in seen} == set(range(6)) and (5, 5) in seen and not peer.endswith("syne_tune_bohb.py"):
            break
    if peer.endswith("syne_tune_bohb.py"):  # one ladder, which everything enters at the bottom
        assert {rung for _, rung in seen} == set(range(6))
        return
    assert {(s, 5 - s) for s in range(6)} <= seen
    assert (5, 5) in seen


def test_one_rung_is_a_search_without_promotions(peer: str) -> None:
    if peer.endswith("dehb.py"):
        with pytest.raises(OptionError, match="budgets from 27 to 27: DEHB accepts ladders of at least two rungs"):
            search(peer, Toy(budgets=Budgets(min=27, max=27)))
        return
    recorder, _ = search(peer, Toy(budgets=Budgets(min=27, max=27)), full=15)
    assert len(by_config(recorder.trials)) == len(recorder.trials) >= 15


class TestOptuna:
    @pytest.fixture
    def optuna(self) -> Any:
        return pytest.importorskip("optuna", reason="optuna is not installed: see bench/peers/README.md")

    @pytest.fixture(autouse=True)
    def module(self, optuna: Any) -> Any:
        return refs.load_module("method", str(FOLDER / "optuna_tpe.py"))

    def test_a_bracket_is_the_one_that_optuna_itself_gives(self, optuna: Any) -> None:
        recorder, _ = search(str(FOLDER / "optuna_tpe.py"), Toy(), seed=3)
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
        study = optuna.create_study(study_name="study-3", pruner=pruner)
        trial = study.ask()
        trial.report(0.0, step=1)
        trial.should_prune()  # it counts its brackets when first asked
        for number, group in enumerate(by_config(recorder.trials).values()):
            frozen = optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED)
            frozen.number = number
            expected = pruner._get_bracket_id(study, frozen)
            assert (3 - group[0].bracket, group[0].rung) == (expected, expected)

    def test_eta_is_whole(self) -> None:
        with pytest.raises(OptionError, match=r"eta 2.5: Optuna's pruner accepts whole numbers"):
            make_optimizer(str(FOLDER / "optuna_tpe.py"), space=mixed_space(), budgets=Budgets(min=1, max=27, eta=2.5))


class TestRayTune:
    PEER = str(FOLDER / "ray_tune_bohb.py")

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        if "ray_tune_bohb" not in INSTALLED:
            pytest.skip("ray or hpbandster is not installed: see bench/peers/README.md")

    def test_brackets_are_those_of_ray(self) -> None:
        """For four rungs and eta 3: ceil(4 / (s + 1) 3^s) configurations, of which ceil(n / 3) go up, and then from the start."""
        optimizer = make_optimizer(self.PEER, space=mixed_space(), budgets=Budgets(min=1, max=27))
        seen: list[tuple[int, int]] = []
        for k in range(150):
            trial = optimizer.ask()
            assert isinstance(trial, Trial)
            seen.append((trial.bracket, trial.rung))
            optimizer.tell(Result(trial_id=trial.trial_id, status=Status.OK, loss=float(k * 7 % 50), train_s=1.0))
        sizes = {3: (27, 9, 3, 1), 2: (12, 4, 2), 1: (6, 2), 0: (4,)}
        again = seen.index((3, 0), 100)
        assert {place: seen[:again].count(place) for place in seen} == {
            (s, 3 - s + halvings): 2 * n for s, counts in sizes.items() for halvings, n in enumerate(counts)
        }
        assert seen[:28] == [(3, 0)] * 27 + [(2, 1)]  # one is lined up before the bracket halves
        assert seen[28:37] == [(3, 1)] * 9

    def test_of_a_ladder_to_729_the_lowest_rung_is_kept(self) -> None:
        """729 · 3^-6 rounds down to 0, and Ray leaves that bracket out."""
        first = make_optimizer(self.PEER, space=mixed_space(), budgets=Budgets(min=1, max=729)).ask()
        assert isinstance(first, Trial)
        assert (first.bracket, first.rung) == (6, 0)

    def test_the_faster_generator_makes_the_same_picks(self) -> None:
        options = refs.load_module("method", self.PEER).Options
        problem = Toy()
        trials = []
        for accelerated in (True, False):
            made = make_optimizer(self.PEER, space=problem.space, budgets=problem.budgets, options=options(accelerated=accelerated))
            recorder = Recorder(made)
            simulate(recorder, problem, n_workers=4, horizon=6 * problem.mean_cost, seed=0)
            trials.append(recorder.trials)
        assert trials[0] == trials[1]
        assert len(trials[0]) > 100

    def test_eta_is_whole(self) -> None:
        with pytest.raises(OptionError, match=r"eta 2.5: Ray Tune's brackets round times down to whole numbers"):
            make_optimizer(self.PEER, space=mixed_space(), budgets=Budgets(min=1, max=27, eta=2.5))
