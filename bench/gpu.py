"""What a GPU makes of this package, in one script of at most ten minutes.

    python bench/gpu.py [--rehearse] [--seconds 540] [--only SECTION …] [--out FILE.json]

Needs one CUDA device that nobody else uses, about 16 GiB of its memory, this package and torchvision (of the extra `dev`); no data
set and no network connection. Every section has its own limit of time; one that fails says why, and the next goes on. FILE holds
all that was found so far at any moment. `--rehearse` needs no GPU: it runs every section on a CPU at tiny sizes, in a minute; its
numbers mean nothing, and what only CUDA has is left out.
"""

import argparse
import functools
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import gpu_depthwise
import gpu_kernels
import gpu_loop
import gpu_probes
import gpu_training
import torch
from gpu_measure import Bench

from bohb_nas.training.device import choose

_GRACE_S = 15.0
"""Seconds beyond its limit after which a section is broken off."""
_GUESS = {"flops_s": 790e12, "bytes_s": 3.0e12, "launch_s": 2e-6}
"""Peaks of a Hopper card, where the sections that measure them did not run."""

Section = Callable[[Bench, gpu_kernels.Note], None]
Found = dict[str, dict[str, Any]]


class _LateError(BaseException):
    """A section is far beyond its limit; no `except` of what it runs takes it for a failure of its own."""


def main() -> None:
    """Runs the sections and prints what they found."""
    options = _options()
    if not options.rehearse and not torch.cuda.is_available():
        sys.exit("no CUDA device here; --rehearse runs everything that needs none, at tiny sizes")
    device = torch.device("cpu" if options.rehearse else "cuda:0")
    compute = choose(str(device))  # sets the choice of convolution algorithms as for a trial
    found: Found = {"machine": _machine(compute.name, compute.precision, rehearse=options.rehearse)}
    print(json.dumps(found["machine"]), flush=True)
    gc.collect()
    gc.freeze()  # every capture collects garbage first: let it not look at what is imported
    bench = Bench(device=device, rehearse=options.rehearse, ends=time.monotonic() + options.seconds)
    for name, limit_s, section in _sections(found):
        if not options.only or name in options.only:
            _run(name, limit_s, section, bench, found, options.out)
    _table(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, at tiny sizes")
    parser.add_argument("--seconds", type=float, default=540.0, help="of the whole, after the imports  [540]")
    parser.add_argument("--only", nargs="*", default=[], metavar="SECTION", choices=[name for name, *_ in _sections({})])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE")
    return parser.parse_args()


def _sections(found: Found) -> Sequence[tuple[str, float, Section]]:
    """Name, seconds at most, function; the last takes what the others leave."""
    return (
        ("ceilings", 15, gpu_kernels.ceilings),
        ("launches", 15, gpu_kernels.launches),
        ("waits", 30, gpu_training.waits),
        ("captures", 40, gpu_probes.captures),
        ("budget", 60, gpu_training.budget),
        ("policies", 90, gpu_loop.policies),
        ("starts", 90, gpu_probes.starts),
        ("kernels", 40, gpu_probes.kernel_counts),
        ("norms", 60, gpu_training.norms),
        ("depthwise", 40, gpu_depthwise.depthwise),
        ("steps", 110, functools.partial(_steps, found)),
        ("forms", 60, gpu_training.forms),
        ("data path", 20, gpu_kernels.data_path),
        ("compile", 110, gpu_probes.compiles),
        ("branches", 60, gpu_kernels.branches),
    )


def _steps(found: Found, bench: Bench, note: gpu_kernels.Note) -> None:
    """The section of whole networks, held against the ceilings found before."""
    counts = {name: row["n"] for name, row in found.get("kernels", {}).items() if isinstance(row, Mapping) and "n" in row}
    gpu_training.steps(bench, note, _peaks(found), counts)


def _peaks(found: Found) -> dict[str, float]:
    ceilings, launches = found.get("ceilings", {}), found.get("launches", {})
    measured = {
        "flops_s": 1e12 * max((v for k, v in ceilings.items() if k.startswith("bf16 matmul")), default=0.0),
        "bytes_s": 1e12 * ceilings.get("copy TB/s", 0.0),
        "launch_s": 1e-6 * launches.get("add graph us", 0.0),
    }
    return {name: measured[name] or guess for name, guess in _GUESS.items()}


def _run(name: str, limit_s: float, section: Section, bench: Bench, found: Found, out: Path) -> None:
    """Runs a section, keeping and printing what it notes; a failure is kept in its place."""
    rows = found.setdefault(name, {})
    began = time.monotonic()

    def note(key: str, value: Any) -> None:
        rows[key] = value
        print(f"[{name}] {key}: {json.dumps(_short(value))}", flush=True)
        _keep(out, found)

    bench = gpu_kernels.shortened(bench, limit_s)
    if bench.left_s() <= 0:
        return note("left out", "no time left")
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, bench.left_s() + _GRACE_S)
    try:
        section(bench, note)
    except (Exception, _LateError):  # noqa: BLE001 - the other sections are worth having
        note("failed", traceback.format_exc())
        print(traceback.format_exc(), flush=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return note("seconds", round(time.monotonic() - began, 1))


def _late(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise _LateError("far beyond its limit of time")


def _short(value: Any) -> Any:
    """Without the names of kernels, which are long."""
    if isinstance(value, Mapping):
        return {name: entry for name, entry in value.items() if name != "longest"}
    return value


def _keep(out: Path, found: Found) -> None:
    aside = out.with_suffix(".part")
    aside.write_text(json.dumps(found, indent=1))
    aside.replace(out)


def _machine(device: str, precision: str, *, rehearse: bool) -> dict[str, Any]:
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    versions = {"torch": torch.__version__, "cudnn": cudnn, "python": sys.version.split()[0]}
    return {"device": device, "precision": precision, "cores": os.cpu_count(), "rehearsal": rehearse, **versions}


def _table(found: Found) -> None:
    """The steps once more, short."""
    columns = ("eager ms", "graph ms", "floor ms", "images/s eager", "images/s", "MFU eager", "MFU", "efficiency", "bound")
    rows = {name: row for name, row in found.get("steps", {}).items() if isinstance(row, Mapping)}
    print("network and batch | " + " | ".join(columns))
    for name, row in rows.items():
        print(f"{name} | " + " | ".join(str(row.get(column, "")) for column in columns))
    print(json.dumps({name: rows.get("seconds") for name, rows in found.items() if name != "machine"}))


if __name__ == "__main__":
    main()
