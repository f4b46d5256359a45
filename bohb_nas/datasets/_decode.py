"""Reads image files: their headers, then their pixels straight into a memory-mapped array.

Many files are spread over child processes (`python -m bohb_nas.datasets._decode`, one JSON job on standard input, one
JSON answer on standard output): a good part of a small image's time is spent in the interpreter, which threads cannot
share. They are children of our own because those of `multiprocessing` would import the user's main module again.
"""

import itertools
import json
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bohb_nas.errors import DatasetError

_PER_PROCESS = 1000
"""Files for which a further process pays its start."""
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for broken files."""


class Header(NamedTuple):
    """What a file says of its image."""

    mode: str
    """Pillow's word for the kind of pixels."""
    height: int
    width: int


def read_headers(paths: list[Path]) -> list[Header | None]:
    """The header of each file; None where it cannot be read."""
    return [header and Header(*header) for header in _spread("headers", paths, None)]


def decode(paths: list[Path], array: Path) -> list[bool]:
    """Decodes file i into entry i of an .npy array uint8[N, H, W, C]; says which could be read."""
    return _spread("decode", paths, array)


def _spread(job: str, paths: list[Path], array: Path | None) -> list[Any]:
    n = min(len(os.sched_getaffinity(0)), 1 + len(paths) // _PER_PROCESS)
    bounds = [len(paths) * i // n for i in range(n + 1)]
    shards = [
        {"job": job, "first": first, "paths": [str(path) for path in paths[first:last]], "array": array and str(array)}
        for first, last in itertools.pairwise(bounds)
    ]
    if n == 1:
        return _do(shards[0])
    with ThreadPoolExecutor(n) as pool:  # each thread waits for its child
        return [answer for answers in pool.map(_in_child, shards) for answer in answers]


def _in_child(shard: dict[str, Any]) -> list[Any]:
    command = [sys.executable, "-m", "bohb_nas.datasets._decode"]
    child = subprocess.run(command, input=json.dumps(shard), capture_output=True, text=True, check=False)
    if child.returncode:
        raise DatasetError(
            f"a process that decodes images ended with {child.returncode}: {child.stderr.strip()[-500:] or 'no message'}; run again"
        )
    answers: list[Any] = json.loads(child.stdout)
    return answers


def _do(shard: dict[str, Any]) -> list[Any]:
    if shard["job"] == "headers":
        return [_header(path) for path in shard["paths"]]
    images = np.load(shard["array"], mmap_mode="r+")
    return [_decode_into(images[i], path) for i, path in enumerate(shard["paths"], start=shard["first"])]


def _header(path: str) -> Header | None:
    try:
        with Image.open(path) as image:
            return Header(image.mode, image.height, image.width)
    except _UNREADABLE:
        return None


def _decode_into(out: NDArray[np.uint8], path: str) -> bool:
    """Decodes one image into `out` [H, W, C]; says whether it could be read."""
    height, width, channels = out.shape
    try:
        with Image.open(path) as image:
            image.draft(None, (2 * width, 2 * height))  # JPEG only: decodes at a fraction of the size, still twice the target
            plain = _as_8_bit(image, "L" if channels == 1 else "RGB")
    except _UNREADABLE:
        return False
    if plain.size != (width, height):
        plain = ImageOps.fit(plain, (width, height), method=Image.Resampling.BILINEAR)
    out[...] = np.asarray(plain).reshape(out.shape)
    return True


def _as_8_bit(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P":
        image = image.convert("RGBA")  # a palette may hold transparency, which RGB alone warns about
    return image.convert(mode)


if __name__ == "__main__":
    json.dump(_do(json.load(sys.stdin)), sys.stdout)
