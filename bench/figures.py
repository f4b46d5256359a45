"""The figures that a finished study owes: error by rung, rank agreement of rungs, use of time, truth of budgets."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scipy import stats

from bohb_nas.engine.devices import Device, local_devices
from bohb_nas.records import Status
from bohb_nas.store.journal import State, fold
from bohb_nas.store.stays import stay, use
from bohb_nas.store.study_dir import StudyDir


def places(n: int) -> list[Device]:
    """Where so many workers train: on a GPU each, fewer where there are fewer GPUs, or on shares of the processor."""
    found = local_devices(None)
    return local_devices(n if found[0].name == "cpu0" else min(n, len(found)))


def search(study: Path, *arguments: str) -> float:
    """Runs a search to its end; returns its wall seconds. A finished study of an earlier call is taken as it is."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "bohb_nas", "run", str(study), *arguments], check=True)
    return time.monotonic() - began


def state(study: Path) -> State:
    """What a study's journal folds to."""
    return fold(StudyDir(study).journal)


def by_rung(found: State) -> None:
    """Prints count, failures, best and median loss of every rung."""
    for budget in sorted({t.budget for t in found.trials.values()}):
        results = [found.results[i] for i, t in found.trials.items() if t.budget == budget and i in found.results]
        losses = [r.loss for r in results if r.loss is not None]
        failed = [str(r.status) for r in results if r.status is not Status.OK]
        shown = f"best {min(losses):.4f}, median {statistics.median(losses):.4f}" if losses else "none succeeded"
        print(f"  budget {budget:g} s: n = {len(results)}, {shown}, failed: {failed or 'none'}")


def rank_agreement(found: State) -> None:
    """Prints Spearman's rho of every pair of rungs over the configurations that both have (promotion selects them)."""
    losses: dict[float, dict[str, float]] = {}
    for trial_id, result in found.results.items():
        trial = found.trials[trial_id]
        if result.loss is not None:
            losses.setdefault(trial.budget, {})[trial.config_id] = result.loss
    budgets = sorted(losses)
    for low, high in ((a, b) for k, a in enumerate(budgets) for b in budgets[k + 1 :]):
        common = sorted(losses[low].keys() & losses[high].keys())
        if len(common) < 4:
            print(f"  {low:g} s against {high:g} s: {len(common)} common configurations, too few")
            continue
        test = stats.spearmanr([losses[low][c] for c in common], [losses[high][c] for c in common])
        print(f"  {low:g} s against {high:g} s: rho = {test.statistic:.2f}, p = {test.pvalue:.3f}, n = {len(common)} (promoted only)")


def time_and_truth(found: State) -> None:
    """Prints how workers spent their time, and whether budgets and schedules held."""
    evaluations = list(found.evaluations())
    used = use([one for e in evaluations if (one := stay(e.result)) is not None])
    if used is not None:
        print(f"  training share of worker time {used['train_share']:.1%} of {used['worker_s']:.0f} s")
        print(f"  idle gap between trials: median {used.get('idle_median_s', 0):.3f} s, p95 {used.get('idle_p95_s', 0):.3f} s")
    trained = [e for e in evaluations if e.result.status is Status.OK and "step_max_s" in e.result.metrics]
    off = [(abs(e.result.train_s - e.trial.budget), max(e.result.metrics["step_max_s"], 0.005 * e.trial.budget)) for e in trained]
    rates = [e.result.metrics["lr_last"] / e.result.metrics["lr_peak"] for e in trained]
    within = sum(o <= limit for o, limit in off)
    print(f"  |training seconds - budget| <= max(longest step, 0.5 %): {within} of {len(off)}; largest {max(o for o, _ in off):.3f} s")
    print(f"  last learning rate <= 1 % of its peak: {sum(r <= 0.01 for r in rates)} of {len(rates)}; largest {max(rates):.2%}")
    for name in ("setup_s", "warmup_s", "valid_s"):
        values = [e.result.metrics[name] for e in trained if name in e.result.metrics]
        print(f"  {name}: median {statistics.median(values):.3f}, total {sum(values):.1f} s")


def machine() -> str:
    """What the figures were measured on."""
    import os
    import platform

    import torch

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, torch {torch.__version__}"


def meta(study: Path) -> dict[str, Any]:
    """The study's record."""
    return json.loads((study / "study.json").read_text())  # type: ignore[no-any-return]
