"""The search over `joint` beside four fixed recipes on one CPU thread each, at an equal total time, over seeds.

Claim: at 10 minutes each, the search finds a configuration at least as good as the best of the recipes.

`python bench/recipes.py --images FOLDER | --npz FILE [--seconds 600] [--seeds 3] [--parallel N] [--out FOLDER] [--only ARM ...]
[--limit S]` runs every arm with every seed, each in a process of its own, N at a time, each pinned to a core where there are as many;
finished runs of the same seconds are reused. `python bench/recipes.py --table FOLDER` prints the table of what is there.

What counts: see `recipes_arm.py`. Images are decoded once, before anything is timed. All train on the same 90 % of the training images, and
are judged on all the others and on all test images, which no search sees.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figures import machine
from recipes_arm import ARMS, EXTRA, RECIPES, SEARCHES
from recipes_data import keep_folder, keep_npz
from recipes_search import describe
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
_TOTALS = ("arm", "seed", "seconds")
_RECORD = '{"arm": '
"""How the line with a record begins."""


def main() -> None:
    """Runs what is missing, then prints the table."""
    asked = _arguments()
    if asked.table is not None:
        print(table(_stored(asked.table)))
        return
    ends = time.monotonic() + asked.limit if asked.limit is not None else float("inf")
    out: Path = asked.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    data = out / "data"
    if not (data / "facts.json").exists():
        keep_folder(asked.images, data) if asked.images is not None else keep_npz(asked.npz, data)
    jobs = [
        {
            "arm": arm,
            "seed": seed,
            "seconds": asked.seconds,
            "search_share": asked.search_share,
            "rungs": asked.rungs,
            "data": str(data),
            "folder": str(out),
        }
        for seed in range(asked.seeds)
        for arm in asked.only or ARMS
    ]
    missing = [job for job in jobs if not _record(out, job).exists()]
    run_all(missing, out, n=asked.parallel, pinned=not asked.unpinned, ends=ends)
    print(table(_stored(out)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="an unpacked image folder: train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument("--npz", type=Path, help="a file with train_images, train_labels, test_images, test_labels")
    parser.add_argument("--seconds", type=float, default=600.0, help="of every arm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="runs at a time; at most one per core keeps them apart")
    parser.add_argument("--unpinned", action="store_true", help="leave the cores to the kernel")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "recipes")
    parser.add_argument("--only", nargs="+", choices=[*ARMS, *EXTRA], metavar="ARM", help=f"of {', '.join([*ARMS, *EXTRA])}")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="of the whole; what still runs then is stopped")
    parser.add_argument("--search-share", type=float, default=1 / 4, help="of the seconds, for the search; the winner trains in the rest")
    parser.add_argument("--rungs", type=float, nargs=2, default=(1 / 30, 1 / 10), help="cheapest and dearest budget, of the seconds")
    parser.add_argument("--table", type=Path, metavar="FOLDER", help="only prints the table of what is there")
    asked = parser.parse_args()
    if asked.table is None and (asked.images is None) == (asked.npz is None):
        parser.error("give one of --images FOLDER and --npz FILE")
    return asked


def _name(job: dict[str, Any]) -> str:
    return f"{job['arm']}-{job['seconds']:g}-{job['seed']}"


def _record(out: Path, job: dict[str, Any]) -> Path:
    return out / f"{_name(job)}.json"


def run_all(jobs: Sequence[dict[str, Any]], out: Path, *, n: int, pinned: bool, ends: float) -> None:
    """Runs jobs, n at a time, each on a core of its own where there are n; one that fails is said, the others go on.

    Args:
        jobs: in their order.
        out: where a finished one leaves its record and every one its log.
        n: at a time.
        pinned: whether each has its core.
        ends: in seconds of `time.monotonic`; what runs then is stopped.
    """
    cores = sorted(os.sched_getaffinity(0))
    free: list[int | None] = list(cores[:n]) if pinned and n <= len(cores) else [None] * n
    waiting, running = list(jobs), list[_Run]()
    with _stopped_at_last(running):
        while (waiting or running) and time.monotonic() < ends:
            while waiting and free:
                running.append(_Run(waiting.pop(0) | {"core": free.pop(0)}, out))
            time.sleep(0.2)
            for run in [r for r in running if r.process.poll() is not None]:
                running.remove(run)
                free.append(run.job["core"])
                run.conclude()
    for job in [*(r.job for r in running), *waiting]:
        print(f"{_name(job)}: not finished within --limit", file=sys.stderr)


class _Run:
    """A process, its log, and what becomes of it.

    Args:
        job: with its core.
        out: the folder of records and logs.
    """

    def __init__(self, job: dict[str, Any], out: Path) -> None:
        self.job, self._out, self._log = job, out, out / f"{_name(job)}.log"
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, **_ONE_THREAD, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
        command = [sys.executable, str(ROOT / "bench" / "recipes_arm.py"), json.dumps(job)]
        print(f"{_name(job)}: begins", file=sys.stderr)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def conclude(self) -> None:
        """Stores the record, or says why there is none."""
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        told = [line for line in lines if line.startswith(_RECORD)]  # warnings at the end of a process may follow it
        if self.process.returncode != 0 or not told:
            print(f"{_name(self.job)}: failed ({self.process.returncode}): {lines[-1]}; see {self._log}", file=sys.stderr)
            return
        record = json.loads(told[-1])
        aside = self._log.with_suffix(".tmp")
        aside.write_text(json.dumps(record | {"machine": machine()}) + "\n")
        aside.rename(_record(self._out, self.job))
        print(f"{_name(self.job)}: {record['status']}, test error {_percent(record.get('test_error'))}", file=sys.stderr)


@contextmanager
def _stopped_at_last(running: list[_Run]) -> Iterator[None]:
    """Whatever ends the block, no process outlives it."""
    try:
        yield
    finally:
        for run in running:
            os.killpg(run.process.pid, signal.SIGKILL)


def _stored(folder: Path) -> list[dict[str, Any]]:
    """The records in a folder, by arm and seed."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*-*.json"))]
    order = [*ARMS, *EXTRA]
    return sorted((r for r in found if set(_TOTALS) <= r.keys()), key=lambda r: (r["seconds"], order.index(r["arm"]), r["seed"]))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def table(records: Sequence[dict[str, Any]]) -> str:
    """What was found, for each number of seconds."""
    lines: list[str] = []
    for seconds in sorted({r["seconds"] for r in records}):
        lines += _section([r for r in records if r["seconds"] == seconds], seconds)
    return "\n".join(lines) if lines else "nothing has finished"


def _section(records: Sequence[dict[str, Any]], seconds: float) -> list[str]:
    arms = {arm: [r for r in records if r["arm"] == arm] for arm in [*ARMS, *EXTRA]}
    lines = [f"{seconds:g} s for every arm, one thread each, {records[0]['precision']}; {records[0]['machine']}"]
    lines.append(f"{'arm':19} {'test error: mean':16} {'sd':>7}  {'validation':>10}  {'seconds used':>14}  {'images/s':>8}  seeds")
    for arm, of in arms.items():
        judged = [r for r in of if r.get("test_error") is not None]
        failed = [f"seed {r['seed']}: {r['status']}" for r in of if r.get("test_error") is None]
        if not judged:
            lines += [f"{arm:19} none finished  {'; '.join(failed)}"] if of or arm in ARMS else []
            continue
        errors = [r["test_error"] for r in judged]
        sd = _percent(statistics.stdev(errors)) if len(errors) > 1 else "-"
        used = f"{min(r['used_s'] for r in judged):.1f}-{max(r['used_s'] for r in judged):.1f}"
        valid, rate = statistics.fmean(r["valid_error"] for r in judged), statistics.fmean(r["images_per_s"] for r in judged)
        each = ", ".join(f"{r['seed']}: {r['test_error']:.2%}" for r in judged)
        lines.append(
            f"{arm:19} {statistics.fmean(errors):<16.2%} {sd:>7}  {valid:>10.2%}  {used:>14}  {rate:>8.0f}  {'; '.join([each, *failed])}"
        )
    for arm in SEARCHES:
        lines += [f"{arm} - {line}" for line in _against_best(arms, arm)]
        for r in arms[arm]:
            final = f"final training {r['train_s']:.1f} s, {r['flops'] / 1e6:.0f} MFLOPs per image"
            lines += [f"{arm}, seed {r['seed']}: {line}" for line in [*describe(r["search"]), final]]
    return lines


def _against_best(arms: dict[str, list[dict[str, Any]]], arm: str) -> list[str]:
    """The search minus the recipe of the lowest mean, paired by seed, by test and by validation error."""
    lines = []
    for part in ("test", "valid"):
        errors = {a: {r["seed"]: r[f"{part}_error"] for r in of if r.get(f"{part}_error") is not None} for a, of in arms.items()}
        known = {a: by_seed for a, by_seed in errors.items() if a in RECIPES and by_seed}
        if not known or not errors[arm]:
            continue
        best = min(known, key=lambda a: statistics.fmean(known[a].values()))
        common = sorted(errors[arm].keys() & known[best].keys())
        differences = [errors[arm][seed] - known[best][seed] for seed in common]
        if not differences:
            continue
        mean, interval = statistics.fmean(differences), ""
        if len(differences) > 1:
            half = stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
            interval = f", 95 % interval (t) [{mean - half:+.2%}, {mean + half:+.2%}]"
        lines.append(f"{best} (best recipe), {part} error, paired by seed: {mean:+.2%}{interval}, n = {len(differences)}")
    return lines


if __name__ == "__main__":
    main()
