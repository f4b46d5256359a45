"""Probes of the GPU benchmark that run in a process of their own: `python gpu_probes.py KIND NAME CACHE DEVICE SIZE LOCK SECONDS`.

A failed capture can leave its process unusable, and only a new process shows what a warm compile cache is worth. Each line of the
output is what is found so far as JSON, the last one with `_WHOLE`.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from gpu_kernels import Note, resident_images
from gpu_measure import Bench, kernels, milliseconds
from gpu_nets import CONFIGS, built, learner, network
from gpu_training import RECIPES, Step

from bohb_nas.errors import end_text
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.compiling import Compiler
from bohb_nas.training.device import choose
from bohb_nas.training.networks import Form, Network
from bohb_nas.training.warm_up import step_seconds

_N_COMPARED = 5
Lock = Callable[[], contextlib.AbstractContextManager[None]]
"""Around what is timed alone."""
_WHOLE = "whole"
"""Entry of a finding that nothing is missing from."""


def captures(bench: Bench, note: Note) -> None:
    """Whether the step of each recipe is replayed, and its losses beside those of the same steps by Python."""
    _together(bench, lambda _, value: _each(note, value), {"all": ("capture", "all", "")}, {})


def compiles(bench: Bench, note: Note) -> None:
    """Seconds of compiling networks with a cold and with a warm cache, and how much faster a replayed step becomes."""
    names = bench.pick(("sampled 50 %", "WRN-16-4", "cell", "mobile", "WRN-28-10"), ("default",))
    # what a probe that took too long has started may still write there
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _together(bench, note, {name: ("compile", name, "") for name in names}, {"TORCHINDUCTOR_CACHE_DIR": folder})


def starts(bench: Bench, note: Note) -> None:
    """Seconds before the first counted step of networks that a process meets one after the other, by what it tries before."""
    _together(bench, note, {setting: ("start", setting, "") for setting in ("few images first", "whole batches at once")}, {})


def _together(bench: Bench, note: Note, probes: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
    """Runs probes side by side; one lock keeps their timed parts apart."""
    # all are read at once: one whose pipe is full would wait to be read, with the lock perhaps
    with tempfile.NamedTemporaryFile() as lock, ThreadPoolExecutor(len(probes)) as readers:
        running = {}
        for name, arguments in probes.items():
            size = "rehearse" if bench.rehearse else "real"
            seconds = str(max(5.0, bench.left_s() - 5))
            command = [sys.executable, __file__, *arguments, str(bench.device), size, lock.name, seconds]
            running[name] = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
            )
        try:
            said = {name: readers.submit(process.communicate, timeout=max(1.0, bench.left_s())) for name, process in running.items()}
            for name, answer in said.items():
                try:
                    out, errors = answer.result()
                    note(name, _finding(out, f"{end_text(running[name].returncode)}: {errors.splitlines()[-3:]}"))
                except subprocess.TimeoutExpired as e:
                    running[name].kill()
                    with running[name]:  # closes its pipes, which what it has started may hold open
                        note(name, _finding((e.output or b"").decode(), "took too long"))
        finally:
            for process in running.values():
                process.kill()
                process.wait()


def _finding(out: str, why: str) -> dict[str, Any]:
    """What a probe found by its last whole line, and why there is no more where something is missing."""
    lines = [line for line in out.rpartition("\n")[0].splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    # a process that failed to capture may fail once more at its end, with nothing missing
    return found if found.pop(_WHOLE, False) else {**found, "broken off": why}


def _say(found: Mapping[str, Any], **more: bool) -> None:
    print(json.dumps({**found, **more}), flush=True)


def kernel_counts(bench: Bench, note: Note) -> None:
    """Kernels of a step of some networks and forms at batch 128, and the milliseconds that they take."""
    if not bench.cuda:
        return note("left out", "torch's profiler sees the kernels of CUDA only")
    return _together(bench, lambda _, value: _each(note, value), {"all": ("kernels", "all", "")}, {})


def _each(note: Note, found: Mapping[str, Any]) -> None:
    """Notes the entries of a finding one by one."""
    for name, value in found.items():
        note(name, value)


def _kernels(bench: Bench) -> dict[str, Any]:
    wanted: list[tuple[str, Form]] = [("default", "apart"), ("default", "merged"), ("default", "grouped"), ("sampled 50 %", "apart")]
    found = {}
    for name, form in wanted:
        if bench.left_s() < 0:
            break
        step = _step(network(name, form), {}, bench)
        for _ in range(2):
            step()
        found[name if form == "apart" else f"{name}, {form}"] = dataclasses.asdict(kernels(step))
        _say(found)
    return found


def _step(net: Network, config: Mapping[str, Any], bench: Bench) -> Step:
    data = resident_images(bench.pick(4000, 64), bench.device)
    return Step(learner(net, {**config, "batch_size": bench.pick(128, 4)}, data=data, compute=choose(str(bench.device))))


def _captures(bench: Bench) -> dict[str, Any]:
    found = {}
    for name in bench.pick(tuple(RECIPES), ("TrivialAugment", "AdamW")):
        if bench.left_s() < 0:
            break
        config = RECIPES[name]
        plain, replayed = (_step(built(config), config, bench) for _ in range(2))
        for step in (plain, replayed):
            step()
        try:
            seconds = replayed.record(bench)
        except RuntimeError as e:
            found[name] = {"replays": False, "error": str(e).splitlines()[0][:200]}
            continue
        while plain.n_steps < replayed.n_steps:
            plain()
        row = {
            "replays": True,
            "recorded step s": round(seconds, 3),
            "losses by Python": _losses(plain),
            "losses replayed": _losses(replayed),
        }
        found[name] = {**row, "a rate of 0 acts": _still(replayed, 0.0), "a rate of 0.1 acts": not _still(replayed, 0.1)}
        _say(found)
    return found


def _losses(step: Step) -> list[float]:
    """The sums of loss over the batches of the next steps."""
    step.learner.take_totals()
    found = []
    for _ in range(_N_COMPARED):
        step()
        found.append(round(step.learner.take_totals()[0], 4))
    return found


def _still(step: Step, rate: float) -> bool:
    """Whether the weights stay as they are in a step at the rate."""
    before = [parameter.detach().clone() for parameter in step.learner.network.parameters()]
    step(rate)
    return all(torch.equal(a, b) for a, b in zip(before, step.learner.network.parameters(), strict=True))


def _compile(bench: Bench, name: str, lock: Lock) -> dict[str, Any]:
    """Once beside the other networks, with nothing compiled before; once more alone, when the cache on the disk has it."""
    compute = choose(str(bench.device))
    clock, data = TrainingClock(compute.device), resident_images(bench.pick(4000, 64), bench.device)
    found: dict[str, Any] = {}
    for kind in ("cold", "warm"):
        made = learner(network(name), {**CONFIGS[name], "batch_size": bench.pick(128, 4)}, data=data, compute=compute)
        made.step(data.train[: made.recipe.batch_size], 0.0)
        torch.compiler.reset()
        with lock() if kind == "warm" else contextlib.nullcontext():
            compiler = Compiler("on", **bench.pick({}, {"compile": functools.partial(torch.compile, backend="eager")}))
            compiled, step_s = compiler.speed_up(made, clock, budget_s=math.inf, step_s=math.nan)
            found[kind] = {**dataclasses.asdict(compiled), "step ms": round(1000 * step_s, 3)}
        _say(found)
    return found


def _start(bench: Bench, setting: str, lock: Lock) -> dict[str, Any]:
    """Networks one after the other, as a resident worker meets them."""
    compute = choose(str(bench.device))
    clock, data = TrainingClock(compute.device), resident_images(bench.pick(4000, 64), bench.device)
    found: dict[str, Any] = {}
    with lock():
        for name in bench.pick(("WRN-16-4", "cell", "mobile"), ("default",)):
            if bench.left_s() < 0:
                break
            began = clock.now()
            made = learner(network(name), {**CONFIGS[name], "batch_size": bench.pick(128, 4)}, data=data, compute=compute)
            step_seconds(made, clock, longest=1e9, floor_s=None if setting == "few images first" else 0.0)
            first = clock.now() - began
            step = Step(made)
            step.record(bench)
            found[name] = {"first counted step s": round(first, 2), "ms": round(milliseconds(bench, step), 3)}
            _say(found)
    return found


def main() -> None:
    """Runs one probe."""
    kind, name, _, device, size, path, seconds = sys.argv[1:]
    bench = Bench(device=torch.device(device), rehearse=size == "rehearse", ends=time.monotonic() + float(seconds))

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        with Path(path).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    match kind:
        case "capture":
            found = _captures(bench)
        case "kernels":
            found = _kernels(bench)
        case "start":
            found = _start(bench, name, lock)
        case _:
            found = _compile(bench, name, lock)
    _say(found, **{_WHOLE: True})


if __name__ == "__main__":
    main()
