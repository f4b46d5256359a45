"""Every problem of the catalogue keeps the contract."""

import math
import os
import subprocess
import sys

import pytest

from bohb_nas import refs
from bohb_nas.benchmarks import load_problem
from bohb_nas.records import Status
from bohb_nas.space.encoding import Encoding

FAMILIES = refs.names("problem")
NOT_SECONDS = ("counting_ones", "fcnet", "hartmann", "hpobench_mlp", "nb201", "rankcross", "taskset")
WITHOUT_DATA = {"condnet", "counting_ones", "hartmann", "rankcross"}
MAY_FAIL = {"condnet/oom": Status.OUT_OF_MEMORY, "taskset": Status.DIVERGED}


def instances(family: str) -> tuple[str, ...]:
    if family not in WITHOUT_DATA and not os.environ.get("BOHB_NAS_DATA"):
        pytest.skip("needs BOHB_NAS_DATA, the folder that contains benchmarks/")
    listed: tuple[str, ...] = refs.load_module("problem", family).instances()
    return listed


def chosen(family: str) -> tuple[str, ...]:
    """All, or of a long list the first three and the last."""
    listed = instances(family)
    return listed if len(listed) <= 6 else (*listed[:3], listed[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_instances_are_named_once_and_the_first_is_meant_by_the_family(family: str) -> None:
    listed = instances(family)
    assert listed
    assert len(set(listed)) == len(listed)
    assert load_problem(family).name == f"{family}/{listed[0]}"
    assert {load_problem(f"{family}/{instance}").name for instance in chosen(family)} == {f"{family}/{i}" for i in chosen(family)}


@pytest.mark.parametrize("family", FAMILIES)
def test_twenty_random_configurations(family: str) -> None:
    for instance in chosen(family):
        problem, again = load_problem(f"{family}/{instance}"), load_problem(f"{family}/{instance}")
        encoding = Encoding(problem.space)
        configs = [encoding.sample(seed) for seed in range(20)]
        for config in configs:
            seen = [problem.evaluate(config, budget, seed=1) for budget in problem.budgets.rungs]
            for observation in seen:
                if observation.status is Status.OK:
                    assert observation.loss is not None
                    assert math.isfinite(observation.loss)
                else:
                    assert observation.status is (MAY_FAIL.get(problem.name) or MAY_FAIL[family])
                    assert observation.loss is None
            costs = [observation.cost for observation in seen]
            assert costs[0] > 0
            assert costs == sorted(costs)
            assert [again.evaluate(config, budget, seed=1) for budget in problem.budgets.rungs] == seen
            assert math.isfinite(problem.truth(config))
            assert problem.truth(config) >= problem.best
            assert again.truth(config) == problem.truth(config)


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_values_are_of_this_problem(family: str) -> None:
    for instance in chosen(family):
        problem = load_problem(f"{family}/{instance}")
        encoding = Encoding(problem.space)
        truths = [problem.truth(encoding.sample(seed)) for seed in range(200)]
        assert problem.best < problem.median
        assert 0.25 < sum(truth <= problem.median for truth in truths) / 200 < 0.75
        assert 0 < problem.mean_cost < math.inf
        assert (problem.cost_unit != "s") is (family in NOT_SECONDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_space_is_made_anew_each_time(family: str) -> None:
    instance = instances(family)[0]
    first, second = load_problem(f"{family}/{instance}").space, load_problem(f"{family}/{instance}").space
    assert first is not second
    assert first == second


@pytest.mark.parametrize("family", sorted(WITHOUT_DATA))
def test_synthetic_families_need_no_data(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOHB_NAS_DATA", raising=False)
    assert load_problem(family).name.startswith(family)


def test_importing_all_families_imports_no_runtime_and_reads_no_data() -> None:
    imports = "; ".join(f"import bohb_nas.benchmarks.{family}" for family in FAMILIES)
    code = f"{imports}; import sys; print(sorted({{'onnxruntime', 'torch', 'pandas'}} & set(sys.modules)))"
    env = {name: value for name, value in os.environ.items() if name != "BOHB_NAS_DATA"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
