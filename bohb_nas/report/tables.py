"""The figures of a study as tables for a terminal (rich)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from bohb_nas.durations import budget_text, counted, format_duration, plain, rough, whole_seconds
from bohb_nas.records import Origin
from bohb_nas.report.digits import digits, percent
from bohb_nas.report.terminal import columns
from bohb_nas.store.holders import SEARCH, worker_name
from bohb_nas.store.notes import printable

LOSS_DIGITS = 5
"""Of a loss, where it is not large against the spread of losses."""


def rungs(by_budget: Mapping[str, Mapping[str, Any]], unit: str, running: Counter[str]) -> Table:
    """One row per rung, cheapest first."""
    table = columns([], ["budget", "running", "finished", "failed", "best loss", "median loss"])
    n = loss_digits(by_budget)
    for budget, row in by_budget.items():
        counts = [str(running[budget]), str(row["evaluations"]), str(row["failed"])]
        table.add_row(budget_text(float(budget), unit), *counts, _loss(row["best_loss"], n), _loss(row["median_loss"], n))
    return table


def loss_digits(by_budget: Mapping[str, Mapping[str, Any]]) -> int:
    """Digits that tell the losses of rungs apart."""
    return digits((row[name] for row in by_budget.values() for name in ("best_loss", "median_loss")), LOSS_DIGITS)


def incumbent(best: Mapping[str, Any] | None, unit: str, digits: int = LOSS_DIGITS, *, violating: bool = False) -> RenderableType:
    """The incumbent: its loss in so many digits, where it came from, its configuration; or why there is none.

    Args:
        best: as `status.best` says.
        unit: of budgets.
        digits: of the loss.
        violating: whether some result breaks a constraint.
    """
    if best is None:
        return Text(f"incumbent: none yet; {'whatever succeeded breaks a constraint' if violating else 'no evaluation has succeeded'}")
    head = Text.assemble(
        ("incumbent ", "bold"),
        f"{best['trial_id']}: loss ",
        (_loss(best["loss"], digits), "bold green"),
        f" at {budget_text(best['budget'], unit)} ({best['origin']})",
    )
    return Group(head, *_of_a_search(best), configuration(best["config"]))


def _of_a_search(best: Mapping[str, Any]) -> list[RenderableType]:
    """What to know of an incumbent that a worker found by itself."""
    if best["ready_to_use"]:
        there = best["model"] is not None
        return [Text("a trained network of it is ready for use" if there else "the trained network that it left is no longer there")]
    shared = "its loss is that of weights which all candidates of the search share: it compares with no other"
    return [Text(shared)] if best["origin"] == Origin.SEARCH else []


def configuration(config: Mapping[str, Any]) -> RenderableType:
    """Hyperparameters and values: in a terminal as many to a row as fit."""
    cells = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in config.items()]
    return _Entries([printable(cell) for cell in cells])


@dataclass(frozen=True, slots=True)
class _Entries:
    """Entries side by side in a terminal; where there is none, and nothing says how long a line may be, each on a line of its own."""

    cells: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if console.is_terminal:
            yield Columns([Text(cell, overflow="fold") for cell in self.cells], padding=(0, 2), column_first=True)
        else:
            yield from map(Text, self.cells)


def status(figures: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas status` shows."""
    unit = figures["budgets"]["unit"]
    task = SEARCH if figures["master"] is None else figures["master"]["task"]
    led = figures["master"] is not None and task == SEARCH
    refused = figures["refused"]
    when = "" if task == SEARCH else f" when {task} have ended"
    not_led = "not led" if refused is not None else f"not led; the same `run` resumes it{when}"
    state = "done" if figures["done"] else "led" if led else not_led
    running = Counter(f"{trial['budget']:g}" for trial in figures["trials_running"])
    head = (
        f"{figures['method']} on {figures['space']}: {counted(figures['evaluations'], 'evaluation')}, {figures['running']} running, {state}"
    )
    if figures["time_left_s"] is not None:
        head += f", about {whole_seconds(figures['time_left_s'])} left"
    lines: list[RenderableType] = [
        Text(printable(head)),
        rungs(figures["by_budget"], unit, running),
        Text("status: " + _counts(figures["by_status"]) + "   picks: " + _counts(figures["by_origin"])),
    ]
    if figures["constraints"]:
        lines.append(
            Text(
                printable(
                    f"constraints: {', '.join(figures['constraints'])}; broken by {counted(figures['violating'], 'result')}, "
                    f"which {'does' if figures['violating'] == 1 else 'do'} not count"
                )
            )
        )
    if refused is not None:
        lines.append(Text(printable(f"the same `run` resumes it where size() of its space tells the metric, or else refuses: {refused}")))
    if figures["rank_probe"] is not None:
        lines.append(Text(rank_probe(figures["rank_probe"])))
    lines += [Text(line) for line in (_master(figures["master"]), _queue(figures["queue"]), _throughput(figures["throughput"])) if line]
    if (used := figures["use_of_time"]) is not None:
        idle = f", idle between trials {used['idle_median_s']:.2f} s (median)" if "idle_median_s" in used else ""
        lines.append(Text(f"workers trained {used['train_share']:.0%} of their time{idle}"))
    if (pace := figures["speed"]) is not None:
        bounds = ", ".join(f"{n} by {name}" for name, n in pace["bound"].items())
        lines.append(
            Text(
                f"median of {counted(pace['n'], 'trial')}: {pace['images_per_s']:,.0f} images/s, {pace['mfu']:.1%} of the device's peak, "
                f"the least time for a step is {pace['efficiency']:.0%} of it; held back {bounds}"
            )
        )
    if len(figures["by_model"]) > 1:
        lines.append(Text(f"devices: {_counts(figures['by_model'], by=' on ')}; equal seconds on them are not equal budgets"))
    if figures["workers"]:
        lines.append(workers(figures["workers"], figures["trials_running"], unit))
    lines.append(incumbent(figures["incumbent"], unit, loss_digits(figures["by_budget"]), violating=figures["violating"] > 0))
    return Group(*lines, *failures(figures["failures"], unit))


def rank_probe(probe: Mapping[str, Any]) -> str:
    """How far the rank probe is."""
    failed = f", {probe['failed']} of them failed" if probe["failed"] else ""
    finished = f"{probe['told']} of {probe['trials']} trials finished{failed}"
    return f"rank probe: {finished}; {probe['configurations']} random configurations at every budget"


def _master(master: Mapping[str, Any] | None) -> str | None:
    if master is None:
        return None
    searches = master["task"] == SEARCH
    who = f"{'led' if searches else master['task'] + ' are trained'} by pid {master['pid']} on {master['host']}"
    if master["leads_for_s"] is not None:
        who += f" for {whole_seconds(master['leads_for_s'])}"
    if not searches:
        return who
    if master["heartbeat_age_s"] is None:
        return f"{who}; it has no address yet"
    if master["silent"]:
        return f"{who}; silent for {whole_seconds(master['heartbeat_age_s'])}: it is stopped, or its machine cannot be reached"
    return f"{who}, heartbeat {master['heartbeat_age_s']:.0f} s ago"


def _queue(queue: Mapping[str, Any]) -> str | None:
    if queue["n"] == 0:
        return None
    more = ", …" if queue["n"] > len(queue["trials"]) else ""
    return f"queue: {queue['n']} waiting for a worker ({', '.join(queue['trials'])}{more})"


def _throughput(throughput: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Overall, and over the last hour where there were more."""
    told = []
    for name, over in (("overall", "overall"), ("last_hour", "over the last hour")):
        window = throughput[name]
        if None not in window.values() and not (name == "last_hour" and (throughput["overall"]["hours"] or 0) <= 1):
            told.append(
                f"{rough(window['evaluations_per_hour'])} evaluations/h, {window['device_hours_per_hour']:.2f} device hours/h {over}"
            )
    return "throughput: " + "; ".join(told) if told else None


def failures(failed: list[dict[str, Any]], unit: str) -> list[RenderableType]:
    """The latest failed trials, each with its message and the end of its log."""
    lines: list[RenderableType] = []
    for one in failed:
        where = f" on {one['worker']}" if one["worker"] else ""
        lines.append(Text(f"failed {one['trial_id']} at {budget_text(one['budget'], unit)}{where}, {one['status']}: {one['message']}"))
        lines += [Text(f"  | {line}", style="dim") for line in one["log"]]
    return lines


def final(figures: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas train` shows: a row per seed, then mean and spread."""
    table = columns([], ["seed", "status", "test error", "mirrored too", "n", "seconds", "steps"])
    for row in figures["rows"]:
        shown = [percent(row[name]) for name in ("test_error", "test_error_mirrored")]
        table.add_row(str(row["seed"]), row["status"], *shown, str(row["n_test"]), plain(row["train_s"]), str(row["steps"]))
    lines: list[RenderableType] = [table]
    lines += [Text(f"seed {r['seed']}: {r['message']}") for r in figures["rows"] if r["message"]]
    if figures["test_error_mean"] is not None:
        spread = "" if figures["test_error_sd"] is None else f" +- {figures['test_error_sd']:.2%} (sd)"
        head = f"{figures['dataset']}, {format_duration(figures['budget'])} each: test error {figures['test_error_mean']:.2%}{spread}"
        sizes = f"{figures['params'] / 1e6:.3g} M parameters, {figures['flops'] / 1e6:.4g} MFLOPs per image"
        lines.append(Text(f"{head} over {counted(figures['n_seeds'], 'seed')}, {sizes}"))
    return Group(*lines)


def workers(living: list[dict[str, Any]], trials: list[dict[str, Any]], unit: str) -> Table:
    """One row per living worker."""
    table = columns(["worker", "device", "trial", "elapsed / budget", "leaves within"])
    by_id = {t["trial_id"]: t for t in trials}
    for worker in living:
        trial = by_id.get(worker.get("trial") or "", {})
        shown = (
            f"{whole_seconds(worker['elapsed_s'])} / {budget_text(trial['budget'], unit)}"
            if trial and worker["elapsed_s"] is not None
            else ""
        )
        left = "" if worker["time_left_s"] is None else whole_seconds(worker["time_left_s"])
        name = worker_name(worker["host"], worker["device"])
        table.add_row(Text(name), Text(worker["model"] or ""), trial.get("trial_id", "idle"), shown, left)
    return table


def logs(found: list[dict[str, Any]]) -> Table:
    """One row per log."""
    table = columns(["trial"], ["attempt", "written", "bytes"])
    for log in found:
        table.add_row(log["trial_id"], str(log["attempt"]), f"{_rough(log['age_s'])} ago", f"{log['n_bytes']:,}")
    return table


def _rough(seconds: float) -> str:
    """An age in its largest unit of which there are at least two, from seconds to days."""
    size, unit = next(((size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "m")) if seconds >= 2 * size), (1, "s"))
    return f"{seconds // size:.0f}{unit}"


def _loss(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _counts(counts: Mapping[str, int], *, by: str = " ") -> str:
    return ", ".join(f"{n}{by}{word}" for word, n in sorted(counts.items(), key=lambda i: -i[1])) or "none"
