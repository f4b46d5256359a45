"""What `bohb-nas analyze` takes on large studies: seconds, memory, the size of its page. A table, some minutes.

    python bench/analyze.py [--evaluations 1000 10000] [--space joint] [--folder DIR]

The studies are simulated: successive halving over random configurations of a space, whose loss is a formula with noise. Their journals
are written as a search writes them, without the disk's patience. Seconds are this machine's and its neighbours': the load is printed
before and after, and the seconds of its processor stand beside those of the clock.
"""

import argparse
import math
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bohb_nas.engine import launch
from bohb_nas.engine.plan import Request, plan
from bohb_nas.records import Budgets, Origin, Result, Status, Trial, Value
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import load_space
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import StudyDir

ETA = 3
BUDGETS = Budgets(min=400, max=10800, eta=ETA)
AIM_S = 60.0
AIM_MB = 5.0


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", nargs="+", type=int, default=[1000, 10_000], help="of the studies")
    parser.add_argument("--space", default="joint", help="the name of a space of image classifiers: joint, wrn, cell, mobile, zela2018")
    parser.add_argument("--folder", type=Path, help="where the studies are put  [a new temporary one]")
    chosen = parser.parse_args()
    model = next((t.split(":")[1].strip() for t in Path("/proc/cpuinfo").read_text().splitlines() if t.startswith("model name")), "?")
    print(f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    encoding = Encoding(load_space(chosen.space))
    print(f"space {chosen.space}: {len(encoding.names)} hyperparameters with a choice")
    print(f"{'evaluations':>12} {'what':30} {'seconds':>8} {'of CPU':>8} {'peak MiB':>9}  aim")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for n in chosen.evaluations:
            measure(simulated(Path(folder) / str(n), n, space=chosen.space), n)
    print(f"load {os.getloadavg()[0]:.1f}")


class Used(NamedTuple):
    """What a command took, its start included."""

    seconds: float
    cpu_s: float
    peak_mib: float
    """Of its memory, or of the largest command before."""


def measure(study: StudyDir, n: int) -> None:
    """Prints the rows of a study."""
    row(n, "all numbers, --json", timed(study, "--json"))
    row(n, "figures (png, svg, pdf)", timed(study, "--no-report"))
    row(n, "figures (png) and page", timed(study, "--format", "png"), aim=f"<= {AIM_S:g} s" if n >= 10_000 else "")
    size = (study.report / "report.html").stat().st_size / 1e6
    print(f"{n:12} {f'report.html, {size:.2f} MB':57}  {f'<= {AIM_MB:g} MB' if n >= 10_000 else '<= 1 MB'}")


def row(n: int, what: str, used: Used, *, aim: str = "") -> None:
    """Prints a row of the table."""
    print(f"{n:12} {what:30} {used.seconds:8.1f} {used.cpu_s:8.1f} {used.peak_mib:9.0f}  {aim}", flush=True)


def timed(study: StudyDir, *arguments: str) -> Used:
    """Runs the command."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bohb_nas", "analyze", str(study.path), *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Used(time.perf_counter() - began, cpu_s, after.ru_maxrss / 2**10)


def simulated(path: Path, n: int, *, space: str) -> StudyDir:
    """A study of about n evaluations: of each budget's configurations the best third is promoted."""
    study, encoding, rng = StudyDir(path), Encoding(load_space(space)), random.Random(0)
    request = Request(space=space, worker="toy", method="bohb", budget_min=BUDGETS.min, budget_max=BUDGETS.max, eta=ETA, trials=n)
    study.make()
    launch.create(study, (meta := plan(request)), launch.new_space(meta))
    rungs = BUDGETS.rungs
    first = round(n / sum(ETA**-k for k in range(len(rungs))))
    alive = {f"c{k:05d}": encoding.sample(k) for k in range(first)}
    with study.journal.open("w") as stream:
        stream.write(Event(term=1, time=0.0).to_line() + "\n")
        now, told = 0.0, 0
        for rung, budget in enumerate(rungs):
            losses: dict[str, float] = {}
            for config_id, config in alive.items():
                origin = Origin.PROMOTED if rung else Origin.MODEL if rng.random() < 0.7 else Origin.RANDOM
                trial = trial_of(f"t{told:05d}", config_id, config, rung=rung, budget=budget, origin=origin)
                losses[config_id] = loss(config, budget) + rng.gauss(0.0, 0.01)
                result = result_of(trial, losses[config_id], began=now)
                stream.write(Event(term=1, time=now, trial=trial, reason="by formula").to_line() + "\n")
                now, told = now + budget, told + 1
                stream.write(Event(term=1, time=now, result=result).to_line() + "\n")
            kept = sorted(losses, key=losses.__getitem__)[: max(1, len(losses) // ETA)]
            alive = {config_id: alive[config_id] for config_id in kept}
    study.done.write_text("{}\n")
    return study


def loss(config: Mapping[str, Value], budget: float) -> float:
    """A validation error: of the optimizer's learning rate first, then family and batch size, whose worth the budget changes."""
    rate = next((float(value) for name, value in config.items() if name.endswith("learning_rate")), 0.01)
    family = {"wrn": 0.0, "multi_branch": 0.03, "cell": 0.05, "mobile": 0.08}.get(str(config.get("family")), 0.1)
    batch = 0.02 * abs(math.log2(float(config.get("batch_size", 128))) - 7)
    floor = 0.05 + 0.2 / math.sqrt(budget)
    return floor + 0.1 * min(1.0, abs(math.log10(rate) + 1.5) / 2) + family * math.pow(400 / budget, 0.2) + batch


def trial_of(trial_id: str, config_id: str, config: Mapping[str, Value], *, rung: int, budget: float, origin: Origin) -> Trial:
    """A trial as a search asks it."""
    return Trial(trial_id=trial_id, config_id=config_id, config=config, budget=budget, bracket=3 - rung, rung=rung, seed=0, origin=origin)


def result_of(trial: Trial, value: float, *, began: float) -> Result:
    """A result as a worker leaves it."""
    engine = {"host": "node17", "device": "cpu0", "attempt": 0, "began": began, "ended": began + trial.budget, "idle_s": 0.0123}
    sizes = {"params": 1e6, "flops": 1e8, "n_valid": 5000.0, "new_s": trial.budget}
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=value, train_s=trial.budget, metrics=sizes, details={"engine": engine})


if __name__ == "__main__":
    main()
