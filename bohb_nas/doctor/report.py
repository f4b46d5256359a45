"""The findings about a machine as one JSON object, and as text."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bohb_nas.doctor import facts, references
from bohb_nas.doctor.problems import Problem, of_error, problems
from bohb_nas.errors import OptionError, first_line, out_of_memory
from bohb_nas.report.terminal import columns
from bohb_nas.training import peak
from bohb_nas.training.device import choose, no_memory

_GIB = 2**30


def examine(device: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Examines this machine: what `bohb-nas doctor --json` prints.

    Args:
        device: cpu, cuda or cuda:N; None takes what a worker would, or the processor where that cannot be used.
        say: told of what takes a while.

    Raises:
        OptionError: there is no such device.
    """
    before = facts.processes(facts.run_tool)
    unusable: list[Problem] = []
    try:
        compute = choose(device)
    except OptionError as e:
        if device is not None:
            raise
        compute, unusable = choose("cpu"), [of_error(str(e))]
    found = facts.of_this_machine(compute, before)
    best: peak.Peak | None = None
    expected: list[references.Expectation] = []
    try:
        say("measuring what the device can do …")
        best = peak.of(compute)
        data = references.random_images(compute)
        for name, config in references.networks_for(found.kind).items():
            say(f"trying a few steps of {name} …")
            expected.append(references.expect(name, config, data=data, compute=compute, peak=best, now=time.perf_counter))
    except (RuntimeError, MemoryError) as e:
        unusable.append(_unmeasured(e, found.device))
    return {
        "device": {
            "name": found.device,
            "kind": found.kind,
            "gpus": list(found.gpus),
            "n_threads": found.n_threads,
            "n_cores": found.n_cores,
        },
        "memory": {"free_bytes": found.memory_free_bytes, "total_bytes": found.memory_total_bytes},
        "precision": {"chosen": found.precision, "why": _why(found.precision)},
        "versions": {"torch": found.torch, "cuda": found.cuda, "cudnn": found.cudnn},
        "peak": None if best is None else {"flops": best.flops, "bytes_per_s": best.bytes, "launch_s": best.launch_s},
        "expected": [dataclasses.asdict(e) for e in expected],
        "datasets": dict(found.datasets),
        "problems": [dataclasses.asdict(p) for p in [*unusable, *problems(found)]],
    }


def _unmeasured(e: BaseException, device: str) -> Problem:
    """A device that has no memory for a measurement, or that torch has no kernels for."""
    if out_of_memory(e):
        return Problem(what=f"{device} cannot be measured: {no_memory(e)}", remedy="end what holds its memory, or name another GPU")
    return Problem(
        what=f"{device} cannot be measured: {first_line(e)}",
        remedy="install a torch that was built for this GPU (https://pytorch.org/get-started/locally), or name another",
    )


def _why(precision: str) -> str:
    return "the device multiplies bf16" if precision == "bf16" else "the device does not multiply bf16"


def text(found: Mapping[str, Any]) -> RenderableType:
    """What `bohb-nas doctor` prints."""
    device, memory, best, versions = found["device"], found["memory"], found["peak"], found["versions"]
    lines: list[RenderableType] = [
        Text(f"device     {device['name']}; {device['n_cores']} usable cores"),
        Text(f"memory     {memory['free_bytes'] / _GIB:.1f} of {memory['total_bytes'] / _GIB:.1f} GiB free"),
        Text(f"precision  {found['precision']['chosen']}: {found['precision']['why']}"),
        Text(f"versions   torch {versions['torch']}, CUDA {versions['cuda'] or 'none'}, cuDNN {versions['cudnn'] or 'none'}"),
    ]
    if best is not None:
        lines.append(
            Text(
                f"peak       {best['flops'] / 1e12:.3g} TFLOP/s, {best['bytes_per_s'] / 1e9:.3g} GB/s, "
                f"{best['launch_s'] * 1e6:.3g} microseconds per launch (measured)"
            )
        )
    if found["expected"]:
        lines += [Text(), _expected(found["expected"])]
    lines.append(Text())
    for problem in found["problems"]:
        lines += [Text(f"problem    {problem['what']}"), Text(f"  remedy   {problem['remedy']}")]
    return Group(*lines, *([] if found["problems"] else [Text("no problem found")]))


def _expected(rows: list[dict[str, Any]]) -> Table:
    table = columns(["network"], ["batch", "images/s", "of peak"])
    table.add_column("held back by")
    table.add_column("")
    for row in rows:
        how = "measured" if row["measured"] else f"at most, predicted: {row['note']}"
        table.add_row(row["name"], str(row["batch_size"]), f"{row['images_per_s']:,.0f}", f"{row['mfu']:.1%}", row["bound"], how)
    return table
