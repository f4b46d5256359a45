"""Probes of the GPU benchmark that run in a process of their own: `python gpu_probes.py KIND NAME VARIANT DEVICE SIZE LOCK SECONDS`.

A failed capture can leave its process unusable, and only a new process shows what a warm compile cache is worth. The last
line of the output is the finding as JSON.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from gpu_kernels import Note, resident_images
from gpu_measure import Bench, capture, kernels, milliseconds, synchronise
from gpu_nets import CONFIGS, LAYOUTS, NAMES, Layout, laid_out, learner, network
from gpu_training import RECIPES, Step, capturable_networks

from bohb_nas.training.device import choose
from bohb_nas.training.learner import Learner
from bohb_nas.training.networks import build
from bohb_nas.training.recipe import read

VARIANTS = ("as it is", "generators registered", "changed")


def captures(bench: Bench, note: Note) -> None:
    """Whether the step can be captured: as it is, with its generators registered, and with what has to change changed."""
    wanted = [("default", "as it is"), *((name, "generators registered") for name in RECIPES), *((name, "changed") for name in RECIPES)]
    probes = {f"{name}, {variant}": ("capture", name, variant) for name, variant in bench.pick(wanted, wanted[-1:])}
    _together(bench, note, probes, {})


def compiles(bench: Bench, note: Note) -> None:
    """Seconds of torch.compile with a cold and with a warm cache, and a step's milliseconds with it, by Python and as a graph."""
    names = bench.pick(("default", "sampled 50 %"), ("default",))
    with tempfile.TemporaryDirectory() as folder:
        for cache in ("cold", "warm"):
            _together(bench, note, {f"{name}, {cache}": ("compile", name, cache) for name in names}, {"TORCHINDUCTOR_CACHE_DIR": folder})


def _together(bench: Bench, note: Note, probes: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
    """Runs probes side by side; one lock keeps their timed parts apart."""
    with tempfile.NamedTemporaryFile() as lock:
        running = {}
        for name, arguments in probes.items():
            size = "rehearse" if bench.rehearse else "real"
            seconds = str(max(5.0, bench.left_s() - 5))
            command = [sys.executable, __file__, *arguments, str(bench.device), size, lock.name, seconds]
            running[name] = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
            )
        try:
            for name, process in running.items():
                try:
                    out, errors = process.communicate(timeout=max(1.0, bench.left_s()))
                except subprocess.TimeoutExpired:
                    note(name, "took too long")
                    continue
                last = out.splitlines()[-1:]  # a process that failed to capture may fail once more at its end
                note(name, json.loads(last[0]) if last and last[0].startswith("{") else errors.splitlines()[-3:])
        finally:
            for process in running.values():
                process.kill()
                process.wait()


def kernel_counts(bench: Bench, note: Note) -> None:
    """Kernels of a step of each network and layout at batch 128, and the milliseconds that they take."""
    _together(bench, lambda _, value: _each(note, value), {"all": ("kernels", "all", "")}, {})


def _each(note: Note, found: Any) -> None:
    """Notes the entries of a finding one by one."""
    for name, value in found.items() if isinstance(found, dict) else [("failed", found)]:
        note(name, value)


def _kernels(bench: Bench) -> dict[str, Any]:
    multiple = ("default", "sampled 50 %", "Shake-Shake 26 2x32d", "sampled 99 %")
    wanted: list[tuple[str, Layout]] = [(name, "separate") for name in NAMES]
    wanted += [(name, layout) for name in multiple for layout in LAYOUTS[1:]]
    compute, data = choose(str(bench.device)), resident_images(bench.pick(4000, 64), bench.device)
    found = {}
    for name, layout in bench.pick(wanted, wanted[:1]):
        step = Step(learner(laid_out(name, layout), {"batch_size": bench.pick(128, 4)}, data=data, compute=compute))
        for _ in range(2):
            step.eager()
        key = name if layout == "separate" else f"{name}, {layout}"
        found[key] = dataclasses.asdict(kernels(step.run)) if bench.cuda else {}
        if bench.left_s() < 0:
            break
    return found


def _made(name: str, config: Mapping[str, Any], bench: Bench) -> Learner:
    net = network(name) if name in CONFIGS else build(read(config)[0], channels=3, n_classes=10, generator=torch.Generator().manual_seed(0))
    data = resident_images(bench.pick(4000, 64), bench.device)
    return learner(net, {**config, "batch_size": bench.pick(128, 4)}, data=data, compute=choose(str(bench.device)))


def _capture(bench: Bench, recipe: str, variant: str) -> dict[str, Any]:
    with capturable_networks() if variant == "changed" else contextlib.nullcontext():
        made = _made(f"recipe {recipe}", RECIPES[recipe], bench)
        if variant == "changed":
            return _changed(bench, Step(made))
        positions = made.data.train[: made.recipe.batch_size].clone()
        generators = [made.streams.augmentation, made.streams.noise] if variant != "as it is" else []
        try:
            graph = capture(lambda: made.step(positions, 0.1), generators).graph
        except RuntimeError as e:
            return _failure(e)
        return {"captured": True, "a rate of 0 acts": _still(made, graph.replay, lambda: made.rate.fill_(0.0))}


def _changed(bench: Bench, step: Step) -> dict[str, Any]:
    """Compares five replays with five steps by Python from the same weights and random numbers."""
    state = {name: tensor.clone() for name, tensor in step.learner.network.state_dict().items()}
    streams = (step.learner.streams.augmentation, step.learner.streams.noise)
    seeds = [stream.get_state() for stream in streams]

    def five(call: Callable[[], object]) -> list[float]:
        step.learner.network.load_state_dict(state)
        for entries in step.learner.optimizer.state.values():
            for tensor in entries.values():
                tensor.zero_()
        for stream, seed in zip(streams, seeds, strict=True):
            stream.set_state(seed)
        step.learner.take_totals()
        losses = []
        for _ in range(5):
            step.rate.fill_(0.02)
            call()
            losses.append(round(step.learner.take_totals()[0], 4))
        return losses

    step.run()  # makes the optimizer's state
    found: dict[str, Any] = {"losses by Python": five(step.run)}
    call: Callable[[], object] = step.run
    if bench.cuda:
        try:
            captured = step.captured()
        except RuntimeError as e:
            return _failure(e)
        call = captured.graph.replay
        found |= {"captured": True, "warm-up s": round(captured.warm_up_s, 3), "capture s": round(captured.capture_s, 3)}
    found["losses by graph"] = five(call)
    found["a rate of 0 acts"] = _still(step.learner, call, lambda: step.rate.fill_(0.0))
    found["a rate of 0.1 acts"] = not _still(step.learner, call, lambda: step.rate.fill_(0.1))
    return found


def _still(made: Learner, call: Callable[[], object], rate: Callable[[], object]) -> bool:
    """Whether the weights stay as they are in a step at the rate."""
    before = [parameter.detach().clone() for parameter in made.network.parameters()]
    rate()
    call()
    return all(torch.equal(a, b) for a, b in zip(before, made.network.parameters(), strict=True))


def _failure(e: BaseException) -> dict[str, Any]:
    """What failed first, and our line that called it."""
    first, cause = e, e.__context__
    while cause is not None:
        first, cause = cause if isinstance(cause, RuntimeError) else first, cause.__context__
    frames = traceback.extract_tb(first.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno} {f.line}" for f in frames if "bohb_nas" in f.filename]
    return {
        "captured": False,
        "error": f"{type(first).__name__}: {first}".splitlines()[0][:200],
        "at": ours[-1:],
        "in": str(frames[-1])[:160],
    }


def _compile(bench: Bench, name: str, lock: Callable[[], contextlib.AbstractContextManager[None]]) -> dict[str, Any]:
    made = _made(name, CONFIGS[name], bench)
    step = Step(made)
    step.eager()
    found: dict[str, Any] = {}
    with lock():
        found["eager ms"] = round(milliseconds(bench, step.eager), 3)
    present, began = made.network, time.perf_counter()
    made.network = torch.compile(present, backend=bench.pick("inductor", "eager"))  # type: ignore[assignment]
    step.eager()
    synchronise(bench)
    found["first step s"] = round(time.perf_counter() - began, 2)
    with lock():
        found["compiled ms"] = round(milliseconds(bench, step.eager), 3)
        if bench.cuda:
            captured = step.captured()
            found["capture s"] = round(captured.capture_s, 3)
            found["compiled graph ms"] = round(milliseconds(bench, captured.graph.replay), 3)
            compiled, made.network = made.network, present
            found["graph ms"] = round(milliseconds(bench, step.captured().graph.replay), 3)
            made.network = compiled
            found["compiled kernels"] = kernels(step.run).n
    return found


def main() -> None:
    """Runs one probe."""
    kind, name, variant, device, size, path, seconds = sys.argv[1:]
    bench = Bench(device=torch.device(device), rehearse=size == "rehearse", ends=time.monotonic() + float(seconds))

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        with Path(path).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    if kind == "capture":
        found = _capture(bench, name, variant)
    elif kind == "kernels":
        found = _kernels(bench)
    else:
        with capturable_networks():
            found = _compile(bench, name, lock)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
