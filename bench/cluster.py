"""What the cluster engine costs: dispatch, idle gaps, files, resuming, 64 workers, takeover. One table, about six minutes.

    python bench/cluster.py [--only NAME …] [--folder DIR]

Everything is real: worker programs in their own processes, TLS, fsync. The toy worker answers from a formula after a sleep; no GPU.
Seconds are this machine's and its neighbours': the load is printed before and after.
"""

import argparse
import os
import platform
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bohb_nas import make_optimizer
from bohb_nas.engine import launch
from bohb_nas.engine.dask_engine import DaskEngine
from bohb_nas.engine.devices import local_devices
from bohb_nas.engine.election import leading
from bohb_nas.engine.local_workers import LocalWorkers
from bohb_nas.engine.plan import Request, plan
from bohb_nas.records import Evaluation, Origin, Result, Status, Trial, Value
from bohb_nas.store import holders
from bohb_nas.store.journal import Event, Journal, State, fold
from bohb_nas.store.study_dir import StudyDir

N_RESUMED = 100_000
N_WORKERS = 64
WATCHED_S = 2.0 * N_WORKERS
"""Two trials of every worker."""
_BUSY_S = 0.1
"""Seconds per unit of budget where a master is to be replaced: its workers are at work, and its machine is not."""
TOY = ("--space", "toy", "--worker", "toy", "--method", "random_search", "--budget-min", "1", "--budget-max", "9")


def row(what: str, said: str, aim: str = "") -> None:
    """Prints a row of the table."""
    print(f"{what:44} {said:62} {aim}", flush=True)


def spread(values: Sequence[float], *, unit: str, factor: float = 1.0) -> str:
    """Median, 95th and 99th percentile, with n."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    shown = [
        f"{name} {value * factor:.2f}" for name, value in (("median", statistics.median(values)), ("p95", cuts[94]), ("p99", cuts[98]))
    ]
    return f"{', '.join(shown)} {unit} (n = {len(values)})"


def new_study(path: Path, *, trials: int) -> StudyDir:
    """A toy study without evaluations."""
    study = StudyDir(path)
    meta = plan(Request(space="toy", worker="toy", method="random_search", budget_min=1, budget_max=9, trials=trials))
    study.make()
    launch.create(study, meta, launch.new_space(meta))
    return study


def trials_of(study: StudyDir, n: int) -> list[Trial]:
    """The first trials that the study would ask."""
    space = launch.new_space(study.read_meta())
    parts = launch.build(study.read_meta(), space)
    optimizer = make_optimizer("random_search", space=space, budgets=parts.budgets)
    return [trial for _ in range(n) if isinstance(trial := optimizer.ask(), Trial)]


def result_of(trial: Trial) -> Result:
    """A result as a worker leaves it."""
    engine = {"host": "node17", "device": "cpu0", "attempt": 0, "began": 1.7e9, "ended": 1.7e9 + 9.123, "idle_s": 0.0123}
    return Result(trial_id=trial.trial_id, status=Status.OK, loss=0.5, train_s=9.0, metrics={"floor": 0.25}, details={"engine": engine})


def timed(action: Callable[[], object]) -> float:
    """Wall seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def files(folder: Path) -> None:
    """Journal lines and result files, each on the disk before it counts."""
    study = new_study(folder / "files", trials=2000)
    journal, trials = Journal(study.journal, State()), trials_of(study, 1000)
    asks = [timed(partial(journal.write, Event(term=1, time=0.0, trial=t))) for t in trials]
    stored = [timed(partial(study.write_result, Evaluation(trial=t, result=result_of(t)))) for t in trials]
    row("a journal line, fsync", spread(asks, unit="ms", factor=1e3))
    row("a result file, fsync of it and its folder", spread(stored, unit="ms", factor=1e3))


def dispatch(folder: Path) -> None:
    """From submit to the result in the master, and as fast as two workers go."""
    study = new_study(folder / "dispatch", trials=10_000)
    trials = trials_of(study, 2250)
    with leading(study), DaskEngine(study, term=1, needs_s=lambda _: None, say=lambda text: None) as engine:
        workers = LocalWorkers(study, local_devices(2), say=print)
        workers.check(())
        while len(engine.joined()) < 2:
            time.sleep(0.05)

        def one(trial: Trial) -> None:
            engine.submit(trial)
            while not engine.wait(5.0):
                pass

        for trial in trials[:50]:
            one(trial)
        alone = [timed(partial(one, t)) for t in trials[50:250]]
        began, left, n = time.perf_counter(), iter(trials[250:]), 0
        while n < len(trials) - 250:
            while engine.free() > 0 and (following := next(left, None)) is not None:
                engine.submit(following)
            n += len(engine.wait(1.0))
        took = time.perf_counter() - began
        workers.stop()
    row("a trial of 0 s there and back, 2 workers, TLS", spread(alone, unit="ms", factor=1e3))
    row("trials of 0 s with 2 workers", f"{n / took:.0f} a second (n = {n})")


def gaps(folder: Path) -> None:
    """How long a worker is idle between two trials."""
    study = folder / "gaps"
    subprocess.run(run(study, "--trials", "200", "--workers", "2", slow=0.01), check=True, capture_output=True)
    idle = [r.details["engine"]["idle_s"] for r in fold(StudyDir(study).journal).results.values()]
    known = [seconds for seconds in idle if seconds is not None]  # none before a worker's first
    row("idle gap of a worker between trials of 0.09 s", spread(known, unit="s"), "<= 0.25 s")


def run(study: Path, *arguments: str, slow: float) -> list[str]:
    """The command of a search."""
    return [sys.executable, "-m", "bohb_nas", "run", str(study), *TOY, "--worker-option", f"seconds_per_budget={slow}", *arguments]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """A process whose words nobody wants."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until(condition: Callable[[], bool], seconds: float = 300.0) -> float:
    """Waits; returns for how long."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise TimeoutError("it did not happen")
        time.sleep(0.01)
    return time.perf_counter() - began


def resume(folder: Path) -> None:
    """From the command to the first new ask, its worker's start included, beside a study without evaluations."""
    for n in (0, N_RESUMED):
        study = new_study(folder / f"resume-{n}", trials=2 * N_RESUMED)
        configs, rng = [t.config for t in trials_of(study, 1000)], random.Random(0)
        if n:
            write_evaluations(study, n, configs, rng)
        seconds, lead_s, peaks = [], [], []
        for _ in range(3):
            size = study.journal.stat().st_size if study.journal.exists() else 0
            master = started([sys.executable, "-m", "bohb_nas", "run", str(study.path)])
            lead_s.append(until(partial(grown, study, size, b'"lead"')))
            seconds.append(lead_s[-1] + until(partial(grown, study, size, b'"ask"')))
            status_text = Path(f"/proc/{master.pid}/status").read_text()
            peaks.append(int(status_text.partition("VmHWM:")[2].split()[0]) / 2**10)
            master.terminate()
            master.wait()
        asked = ", ".join(f"{s:.1f}" for s in sorted(seconds))
        led = ", ".join(f"{s:.1f}" for s in sorted(lead_s))
        row(
            f"resume of {n} evaluations: first new ask",
            f"{asked} s (leads after {led} s; peak {max(peaks):.0f} MiB)",
            "<= 5 s" if n else "",
        )


def write_evaluations(study: StudyDir, n: int, configs: Sequence[Mapping[str, Value]], rng: random.Random) -> None:
    """A journal of so many told trials, without the disk's patience."""
    with study.journal.open("w") as stream:
        stream.write(Event(term=1, time=0.0).to_line() + "\n")
        for k in range(n):
            trial = Trial(
                trial_id=f"t{k:05d}",
                config_id=f"c{k:05d}",
                config=configs[k % len(configs)],
                budget=9.0,
                bracket=0,
                rung=2,
                seed=rng.randrange(2**31),
                origin=Origin.RANDOM,
            )
            stream.write(
                Event(term=1, time=10.0 * k, trial=trial, reason="this method draws every configuration at random").to_line() + "\n"
            )
            stream.write(Event(term=1, time=10.0 * k + 9.5, result=result_of(trial)).to_line() + "\n")


def grown(study: StudyDir, size: int, word: bytes) -> bool:
    """Whether a word stands behind so many bytes of the journal."""
    if not study.journal.exists():
        return False
    with study.journal.open("rb") as stream:
        stream.seek(size)
        return word in stream.read()


def many(folder: Path) -> None:
    """The master's share of a core with 64 workers that finish one trial a second in all."""
    study = folder / "many"
    master = started(run(study, "--trials", "100000", "--workers", str(N_WORKERS), slow=N_WORKERS / 9))
    try:
        took = until(lambda: asks(study) >= N_WORKERS, 400.0)
        time.sleep(N_WORKERS / 2)  # between two waves of results, for those that began together end together
        before, began, told = cpu_s(master.pid), time.perf_counter(), tells(study)
        time.sleep(WATCHED_S)
        share = (cpu_s(master.pid) - before) / (time.perf_counter() - began)
        n = tells(study) - told
    finally:
        master.send_signal(signal.SIGTERM)
        master.wait()
    row(
        f"the master's share of a core, {N_WORKERS} workers",
        f"{share:.1%} over {WATCHED_S:.0f} s, {n} results (all at work after {took:.0f} s)",
        "< 20 %",
    )


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asks(study: Path) -> int:
    """Trials asked."""
    path = study / "journal.jsonl"
    return path.read_bytes().count(b'"event":"ask"') if path.exists() else 0


def tells(study: Path) -> int:
    """Trials told."""
    return (study / "journal.jsonl").read_bytes().count(b'"event":"tell"')


def takeover(folder: Path) -> None:
    """From the SIGKILL of a master to the first line of the next, which a worker starts."""
    path = folder / "takeover"
    subprocess.run(run(path, "--trials", "1", slow=_BUSY_S), check=True, capture_output=True)
    study = StudyDir(path)
    first = started(run(path, "--trials", "100000", "--workers", "0", slow=_BUSY_S))
    until(lambda: asks(path) >= 1 and not study.done.exists())
    workers = [started([sys.executable, "-m", "bohb_nas", "worker", str(path), "--device", f"cpu{k}"]) for k in range(2)]
    seconds = []
    try:
        until(lambda: len(list(holders.living_workers(study))) == len(workers))
        for _ in range(5):
            time.sleep(8.0)  # a worker rests between two attempts to lead
            size = study.journal.stat().st_size
            os.kill(int((holders.master(study) or {})["pid"]), signal.SIGKILL)
            seconds.append(until(partial(grown, study, size, b'"lead"')))
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
        first.kill()
        first.wait()
    row(
        "a new master after the SIGKILL of the last",
        f"median {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, n = 5)",
        "<= 2 s",
    )


PARTS = {part.__name__: part for part in (files, dispatch, gaps, resume, takeover, many)}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--folder", type=Path, help="where the studies are put: on the disk that is to be measured  [a new temporary one]")
    chosen = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # more workers than GPUs would be refused
    model = next((t.split(":")[1].strip() for t in Path("/proc/cpuinfo").read_text().splitlines() if t.startswith("model name")), "?")
    print(f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; workers on the processor")
    print(f"Python {platform.python_version()}, distributed {version('distributed')}")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for name in chosen.only:
            PARTS[name](Path(folder))
    print(f"load {os.getloadavg()[0]:.1f}, peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
