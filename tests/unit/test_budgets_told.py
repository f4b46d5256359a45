"""What is said of cheap budgets is right on problems whose truth is known: simulated searches, and probes beside them."""

from pathlib import Path

import pytest
from analysis_fakes import META, explain
from scipy import stats

from bohb_nas import make_optimizer
from bohb_nas.analysis.study import find
from bohb_nas.benchmarks import Problem, load_problem
from bohb_nas.durations import budget_text
from bohb_nas.records import Origin, Result, Trial, Value
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import space_to_json
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import StudyDir

WORDS = {
    "like": "ranks configurations like",
    "unlike": "does not rank configurations like",
    "misleads": "misleads: it ranks configurations against",
}
TRUE = {"like": (0.5, 1.0), "unlike": (-1.0, 0.5), "misleads": (-1.0, 0.0)}
"""Where rho has to be for each claim."""


def searched(path: Path, problem: Problem, *, n_probes: int, n_trials: int = 120) -> StudyDir:
    """A study of Hyperband on a problem, by one worker, and then its probes."""
    study, optimizer, encoding = (
        StudyDir(path),
        make_optimizer("hyperband", space=problem.space, budgets=problem.budgets),
        Encoding(problem.space),
    )
    study.make()
    study.write_meta(META | {"method": "hyperband", "budgets": problem.budgets.to_json()})
    study.space_json.write_text(space_to_json(problem.space))
    rungs = list(enumerate(problem.budgets.rungs))
    probes = [probe(k, encoding.sample(10_000 + k), rung, budget) for k in range(n_probes) for rung, budget in rungs]
    lines, now = [Event(term=1, time=0.0)], 0.0
    for n in range(n_trials + len(probes)):
        asked = optimizer.ask() if n < n_trials else probes[n - n_trials]
        assert isinstance(asked, Trial)
        seen = problem.evaluate(asked.config, asked.budget, seed=asked.seed)
        result = Result(trial_id=asked.trial_id, status=seen.status, loss=seen.loss, train_s=seen.cost)
        lines += [Event(term=1, time=now, trial=asked), Event(term=1, time=now + seen.cost, result=result)]
        now += seen.cost
        if n < n_trials:
            optimizer.tell(result)
    study.journal.write_text("".join(line.to_line() + "\n" for line in lines))
    return study


def probe(k: int, config: dict[str, Value], rung: int, budget: float) -> Trial:
    return Trial(
        trial_id=f"p{k}-{rung}", config_id=f"p{k}", config=config, budget=budget, bracket=0, rung=rung, seed=k, origin=Origin.PROBE
    )


def said(study: StudyDir) -> dict[tuple[str, str], str]:
    """The claims about budgets, by the two that they are about."""
    found = find(study, explain=explain)
    unit, claims = found["study"]["unit"], [s["text"] for s in found["sentences"] if s["about"] == "budgets" and s["holds"]]
    names = [budget_text(budget, unit) for budget in found["study"]["budgets"]]
    return {
        (low, high): word
        for k, low in enumerate(names)
        for high in names[k + 1 :]
        for text in claims
        for word, begins in WORDS.items()
        if text.startswith(f"{low} {begins} {high}:")
    }


def truth(problem: Problem, n: int = 300) -> dict[tuple[str, str], float]:
    """Spearman's rho of every two budgets over random configurations."""
    encoding, budgets = Encoding(problem.space), problem.budgets
    configs = [encoding.sample(k) for k in range(n)]
    losses = {b: [problem.evaluate(config, b, seed=k).loss for k, config in enumerate(configs)] for b in budgets.rungs}
    return {
        (budget_text(low, budgets.unit), budget_text(high, budgets.unit)): float(stats.spearmanr(losses[low], losses[high]).statistic)
        for k, low in enumerate(budgets.rungs)
        for high in budgets.rungs[k + 1 :]
    }


@pytest.mark.parametrize("n_probes", [0, 30])
@pytest.mark.parametrize("name", ["rankcross/hostile/0", "rankcross/0", "condnet/exact", "counting_ones"])
def test_every_claim_is_true(tmp_path: Path, name: str, n_probes: int) -> None:
    problem = load_problem(name)
    rho = truth(problem)
    claims = said(searched(tmp_path / "s", problem, n_probes=n_probes))
    assert claims or n_probes == 0
    assert {pair: word for pair, word in claims.items() if not TRUE[word][0] < rho[pair] <= TRUE[word][1]} == {}


def test_probes_show_that_the_cheapest_cannot_be_trusted_where_it_cannot(tmp_path: Path) -> None:
    claims = said(searched(tmp_path / "hostile", load_problem("rankcross/hostile/0"), n_probes=30))
    assert claims["1 epoch", "81 epochs"] == "unlike", "30 probes cannot tell rho = -0.3 from 0"
    assert claims["1 epoch", "3 epochs"] == "like"


def test_and_that_it_can_be_trusted_where_it_can(tmp_path: Path) -> None:
    study = searched(tmp_path / "benign", load_problem("counting_ones"), n_probes=30)
    lowest, *_, highest = (budget_text(budget, "samples") for budget in load_problem("counting_ones").budgets.rungs)
    assert said(study)[lowest, highest] == "like"
