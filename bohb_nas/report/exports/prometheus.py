"""A study as a text file of metrics for the textfile collector of Prometheus' node exporter.

Format: the Prometheus text exposition format 0.0.4. The collector reads files that end in .prom, refuses time stamps, and wants the same
HELP of a metric in every file: several studies, told apart by the label `study`, may lie side by side.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bohb_nas.errors import UsageError
from bohb_nas.files import write_atomic
from bohb_nas.report.exports._table import check_file
from bohb_nas.report.status import Watch
from bohb_nas.store.holders import SEARCH

Sample = tuple[dict[str, str], float | None]
"""Labels beside `study`, and a value; None is left out."""
_WINDOWS = ("last_hour", "overall")


def make(watch: Watch, to: Path) -> "Metrics":
    """The export to one file.

    Raises:
        UsageError: the collector would not read such a file, its folder is not there, or no file can be written there.
    """
    if to.suffix != ".prom":
        raise UsageError(
            f"--to {to}: the node exporter reads files that end in .prom; accepted is such a file, e.g. {to.with_suffix('.prom')}"
        )
    if not to.parent.is_dir():
        raise UsageError(f"--to {to}: {to.parent} is no folder; make it, or name the one that --collector.textfile.directory names")
    check_file(to)
    return Metrics(watch, to)


class Metrics:
    """The metrics of a study in a file that is replaced as a whole."""

    def __init__(self, watch: Watch, to: Path) -> None:
        self._watch = watch
        self._to = to
        self._study = os.fsencode(watch.study.path).decode(errors="replace")

    def update(self) -> str:
        """Writes the figures of this moment."""
        text = exposition(self._watch.figures(), study=self._study, now=time.time())
        write_atomic(self._to, text, mode=0o644, any_umask=True)  # the node exporter runs as another user
        return f"metrics: {self._to}"


def exposition(figures: Mapping[str, Any], *, study: str, now: float) -> str:
    """The text of the metrics.

    Args:
        figures: of the study, as `report.status` has them.
        study: what tells it from others: its path.
        now: seconds since the epoch.
    """
    lines: list[str] = []
    for name, kind, help_text, samples in _metrics(figures, now):
        found = [(labels, value) for labels, value in samples if value is not None]
        if found:
            lines += [f"# HELP bohb_nas_{name} {_escaped(help_text)}", f"# TYPE bohb_nas_{name} {kind}"]
            lines += [f"bohb_nas_{name}{_labels({'study': study, **labels})} {float(value)!r}" for labels, value in found]
    return "\n".join(lines) + "\n"


def _metrics(figures: Mapping[str, Any], now: float) -> Iterable[tuple[str, str, str, list[Sample]]]:
    """Name, type, help and samples of every metric; names as Prometheus wants them: base units, `_total` for what only grows."""
    best, master, used, workers = figures["incumbent"], figures["master"], figures["use_of_time"], figures["workers"]
    models = Counter(worker["model"] or "unknown" for worker in workers)
    yield (
        *("evaluations_total", "counter", "Finished evaluations by status and budget."),
        [
            ({"status": word, "budget": budget}, n)
            for word, by_budget in figures["by_status_and_budget"].items()
            for budget, n in by_budget.items()
        ],
    )
    losses: list[Sample] = [] if best is None else [({"budget": f"{best['budget']:g}"}, best["loss"])]
    yield "incumbent_loss", "gauge", "Loss of the incumbent, at its budget.", losses
    by_budget = figures["by_budget"].items()
    yield "best_loss", "gauge", "Lowest loss at a budget.", [({"budget": b}, row["best_loss"]) for b, row in by_budget]
    yield "trials_running", "gauge", "Trials that were asked and have no result yet.", [({}, figures["running"])]
    yield "trials_waiting", "gauge", "Of the running trials, those that no worker trains.", [({}, figures["queue"]["n"])]
    yield "workers", "gauge", "Living workers by the model of their device.", [({"model": m}, n) for m, n in models.items()]
    yield "workers_busy", "gauge", "Living workers that train a trial.", [({}, sum(w["trial"] is not None for w in workers))]
    share = None if used is None else used["train_share"]
    yield "train_ratio", "gauge", "Training seconds over worker seconds, of all finished trials.", [({}, share)]
    up = master is not None and master["task"] == SEARCH and not master["silent"]
    yield "master_up", "gauge", "1 while a master leads whose heart beats.", [({}, int(up))]
    age_s = None if master is None else master["heartbeat_age_s"]
    yield "master_heartbeat_age_seconds", "gauge", "Seconds since the master's heart beat.", [({}, age_s)]
    yield "led_seconds_total", "counter", "Seconds under some master, up to the journal's last line.", [({}, figures["led_s"])]
    for unit, help_text in (("evaluations", "Finished evaluations per hour."), ("device_hours", "Hours of devices per hour.")):
        rates: list[Sample] = [({"window": w}, figures["throughput"][w][f"{unit}_per_hour"]) for w in _WINDOWS]
        yield f"{unit}_per_hour", "gauge", help_text, rates
    yield "time_left_seconds", "gauge", "Estimate until the stop rule is met.", [({}, figures["time_left_s"])]
    yield "done", "gauge", "1 when the stop rule is met.", [({}, int(figures["done"]))]
    yield "updated_timestamp_seconds", "gauge", "When this was written, in seconds since the epoch.", [({}, now)]


def _labels(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items()]
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
