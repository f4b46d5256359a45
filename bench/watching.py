"""What it costs to watch a study of 20,000 evaluations: the first look, the next ones, and its exports; CPU seconds.

Then how much memory a look at 10,000 evaluations with learning curves of 1,000 points takes.
"""

import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace
from figures import machine

from bohb_nas.records import Budgets, Origin, Result, Status, Trial
from bohb_nas.report.exports import make
from bohb_nas.report.status import Watch
from bohb_nas.space.files import space_to_json
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import FORMAT, StudyDir

EVALUATIONS = 20_000
REPETITIONS = 5
WITH_LONG_CURVES = 10_000
_LOOK = """
import sys
from bohb_nas.cli import cli
cli(["status", sys.argv[1]], standalone_mode=False)
sys.stderr.write(open("/proc/self/status").read())
"""
"""A look, by a process that then says how large it has been."""
META: dict[str, Any] = {
    **{"format": FORMAT, "space": "joint", "method": "bohb", "method_options": {}, "worker": "image_classifier", "worker_options": {}},
    **{"seed": 0, "promote": "restart", "cwd": "/", "stop": {"brackets": None, "trials": None, "total_s": None}},
    "budgets": Budgets(min=1, max=9).to_json(),
}


def evaluation(n: int, rng: random.Random, began: float, *, n_points: int = 20) -> list[str]:
    """The two lines of an evaluation, as large as those of `image_classifier`: 20 hyperparameters, a curve of 20 points."""
    rung = rng.choice([0, 0, 0, 1, 2])
    budget, good = 3.0**rung, rng.random() < 0.9
    config = {f"p{k}": rng.random() for k in range(20)}
    trial = Trial(trial_id=f"t{n}", config_id=f"c{n}", config=config, budget=budget, bracket=2, rung=rung, seed=0, origin=Origin.RANDOM)
    engine = {"host": "h", "device": f"cpu{n % 4}", "began": began, "ended": began + budget, "idle_s": 0.05, "model": "Big 5", "attempt": 0}
    result = Result(
        trial_id=f"t{n}",
        status=Status.OK if good else Status.CRASHED,
        loss=rng.random() if good else None,
        train_s=budget,
        metrics={"new_s": budget, "images_per_s": 100.0, "mfu": 0.2, "efficiency": 0.3},
        details={"bound": "bytes", "curve": [{"u": u / n_points, "train_error": 0.1} for u in range(n_points)], "engine": engine},
    )
    asked, told = Event(term=1, time=began, trial=trial, reason="random"), Event(term=1, time=began + budget, result=result)
    return [asked.to_line() + "\n", told.to_line() + "\n"]


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def begun(folder: Path) -> StudyDir:
    """A study of nothing."""
    study = StudyDir(folder / "study")
    study.make()
    study.write_meta(META)
    study.space_json.write_text(space_to_json(ConfigurationSpace({f"p{k}": (0.0, 1.0) for k in range(20)})))
    return study


def memory() -> None:
    """Prints the peak of the command's resident memory."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        study = begun(Path(folder))
        with study.journal.open("a") as stream:
            for k in range(WITH_LONG_CURVES):
                stream.writelines(evaluation(k, rng, 2.0 * k, n_points=1000))
        size_mb = study.journal.stat().st_size / 1e6
        looked = subprocess.run([sys.executable, "-c", _LOOK, str(study.path)], check=True, capture_output=True, text=True)
        peak_mib = int(re.findall(r"VmHWM:\s+(\d+) kB", looked.stderr)[0]) / 1024
        print(f"{WITH_LONG_CURVES:,} evaluations with curves of 1,000 points, {size_mb:.0f} MB: status takes {peak_mib:.0f} MiB")


def main() -> None:
    """Prints the table."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        study = begun(Path(folder))

        def grow(first: int, n: int) -> None:
            with study.journal.open("a") as stream:
                for k in range(first, first + n):
                    stream.writelines(evaluation(k, rng, 2.0 * k))

        grow(0, EVALUATIONS)
        print(f"a journal of {EVALUATIONS:,} evaluations, {study.journal.stat().st_size / 1e6:.1f} MB; CPU seconds, median; {machine()}")
        print(f"  status, whole journal   {statistics.median(cpu_s(Watch(study).figures) for _ in range(REPETITIONS)):.3f}")
        watch = Watch(study)
        watch.figures()
        print(f"  next look, nothing new  {statistics.median(cpu_s(watch.figures) for _ in range(REPETITIONS)):.3f}")
        taken = []
        for k in range(REPETITIONS):
            grow(EVALUATIONS + k, 1)
            taken.append(cpu_s(watch.figures))
        print(f"  next look, one more     {statistics.median(taken):.3f}")
        for name, to in (("prometheus", "x.prom"), ("csv", "x.csv"), ("json", "x.json"), ("hpbandster", "log"), ("tensorboard", "runs")):
            export = make(name, watch, Path(folder) / to)
            first = cpu_s(export.update)
            again = statistics.median(cpu_s(export.update) for _ in range(REPETITIONS))
            print(f"  {name:12}            first {first:.3f}, again {again:.3f}")
    memory()


if __name__ == "__main__":
    main()
