"""Reads image files: their headers, then their pixels straight into a memory-mapped array.

Many files are spread over child processes (`python -P -m bohb_nas.datasets._decode`, one JSON job on standard input, one
JSON answer on standard output): a good part of a small image's time is spent in the interpreter, which threads cannot
share. They are children of our own because those of `multiprocessing` would import the user's main module again.
"""

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from bohb_nas.errors import DatasetError, end_text

_PER_PROCESS = 1000
"""Files for which a further process pays its start."""
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for broken files."""
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_RANGELESS = frozenset({"I", "F", "I;32", "I;32B"})
"""Kinds of pixels of 32 bits, of floating point or with a sign: no file says which of them is white."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image of each EXIF orientation (CIPA DC-008, tag 274) upright; from 5 on, height and width swap."""


class Header(NamedTuple):
    """What a file says of its image."""

    mode: str
    """Pillow's word for the kind of pixels."""
    height: int
    width: int
    transparent: bool
    """Whether it may hold transparency."""
    animated: bool
    """Whether it holds further frames."""

    @property
    def deep(self) -> bool:
        """Whether its pixels have more than 8 bits, as far as Pillow lets on: of colour with 16 bits it shows only the upper 8."""
        return self.mode[0] in "IF"


def read_headers(paths: list[Path]) -> list[Header | None]:
    """The header of each file; None where it cannot be read."""
    return [header and Header(*header) for header in _spread("headers", paths, None)]


def decode(paths: list[Path], array: Path) -> list[str | None]:
    """Decodes file i into entry i of an .npy array uint8[N, H, W, C]; says of each that could not be read why, of others None."""
    return _spread("decode", paths, array)


def _spread(job: str, paths: list[Path], array: Path | None) -> list[Any]:
    n = min(len(os.sched_getaffinity(0)), 1 + len(paths) // _PER_PROCESS)
    bounds = [len(paths) * i // n for i in range(n + 1)]
    shards = [
        {
            "job": job,
            "parent": os.getpid(),
            "first": first,
            "paths": [str(path) for path in paths[first:last]],
            "array": array and str(array),
        }
        for first, last in itertools.pairwise(bounds)
    ]
    if n == 1:
        return _do(shards[0])
    with ThreadPoolExecutor(n) as pool:  # each thread waits for its child
        return [answer for answers in pool.map(_in_child, shards) for answer in answers]


def _in_child(shard: dict[str, Any]) -> list[Any]:
    command = [sys.executable, "-P", "-m", "bohb_nas.datasets._decode"]
    child = subprocess.run(command, input=json.dumps(shard), capture_output=True, text=True, errors="replace", check=False)
    if child.returncode:
        full = "a disk without room under the data cache ends it so: free space or set BOHB_NAS_CACHE to another folder, then "
        raise DatasetError(
            f"a process that decodes images ended with {end_text(child.returncode)}: {child.stderr.strip()[-500:] or 'no message'}; "
            f"{full if child.returncode == -signal.SIGBUS else ''}run again"
        )
    answers: list[Any] = json.loads(child.stdout)
    return answers


def _do(shard: dict[str, Any]) -> list[Any]:
    images = None if shard["job"] == "headers" else np.load(shard["array"], mmap_mode="r+")
    answers: list[Any] = []
    for i, path in enumerate(shard["paths"], start=shard["first"]):
        if shard["parent"] not in (os.getpid(), os.getppid()):
            sys.exit("whoever wanted these images is gone")
        try:
            answers.append(_header(path) if images is None else _decode_into(images[i], path))
        except Exception as e:
            e.add_note(f"while {path!r} was read")
            raise
    return answers


def _header(path: str) -> Header | None:
    try:
        with _opened(path) as image:
            transparent = image.mode in _WITH_ALPHA or "transparency" in image.info
            swapped = image.format != "TIFF" and _swapped(image)  # Pillow turns TIFF by itself, size and all
            height, width = (image.width, image.height) if swapped else (image.height, image.width)
            return Header(image.mode, height, width, transparent, _animated(image))
    except _UNREADABLE:
        return None


def _animated(image: Image.Image) -> bool:
    """Whether an image has further frames; those behind which it is cut short are none."""
    try:
        return bool(getattr(image, "is_animated", False)) and image.format != "MPO"  # a photograph with previews
    except _UNREADABLE:  # the first frame may be sound all the same
        return False


def _opened(path: str) -> Image.Image:
    """An image whose header has been read.

    Raises:
        OSError and what else `_UNREADABLE` lists: it is no image; a pipe is refused unread, which would wait forever.
    """
    if not os.path.isfile(path) and os.path.exists(path):
        raise UnidentifiedImageError(path)
    image = Image.open(path)
    if image.mode in _RANGELESS and image.format != "PPM":  # of which Pillow spreads every range over 16 bits
        image.close()
        raise _RangelessError
    return image


class _RangelessError(ValueError):
    """Pixels that cannot be brought to 8 bits."""


def _decode_into(out: NDArray[np.uint8], path: str) -> str | None:
    """Decodes one image into `out` [H, W, C]; says why it could not be read."""
    height, width, channels = out.shape
    try:
        with _opened(path) as image:
            if isinstance(image, JpegImageFile):  # decodes at a fraction of the size, still twice the target
                image.draft(None, (2 * height, 2 * width) if _swapped(image) else (2 * width, 2 * height))
            image.load()  # PNG may tell its orientation behind the pixels
            turn = _UPRIGHT.get(_orientation(image))
            plain = _as_8_bit(image, "L" if channels == 1 else "RGB")
    except _UNREADABLE as e:
        return _reason(e)
    if turn is not None:
        plain = plain.transpose(turn)
    if plain.size != (width, height):
        plain = ImageOps.fit(plain, (width, height), method=Image.Resampling.BILINEAR)
    out[...] = np.asarray(plain).reshape(out.shape)
    return None


def _swapped(image: Image.Image) -> bool:
    """Whether height and width of an image change places when it is set upright."""
    return _orientation(image) >= 5


def _orientation(image: Image.Image) -> int:
    """EXIF's word for how the pixels lie, 1 to 8; 1, upright, where there is none that can be read."""
    try:
        said = Image.Image.getexif(image).get(ExifTags.Base.Orientation)  # that of PNG would decode the whole image
    except _UNREADABLE:  # the pixels are sound all the same
        return 1
    return said if said in _UPRIGHT else 1


def _reason(error: Exception) -> str:
    """A few words for what is wrong with a file."""
    match error:
        case FileNotFoundError():
            return "a link to nothing"
        case PermissionError():
            return "no permission to read it"
        case UnidentifiedImageError():
            return "no image"
        case Image.DecompressionBombError():
            return "more pixels than an honest image has"
        case _RangelessError():
            return "pixels of 32 bits, or with a sign, whose range the file does not say: convert it to 8 or 16 bits without one"
        case _:
            return "damaged or cut short"


def _as_8_bit(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip more than 8 bits at 255
        tags = getattr(image, "tag_v2", {})  # of TIFF, whose 12 bits are the lower ones of 16
        upper = (np.asarray(image) >> tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0] - 8).astype(np.uint8)
        white_is_zero = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0  # which Pillow turns round where 8 bits are all
        image = Image.fromarray(255 - upper if white_is_zero else upper)
    elif image.mode == "P":
        image = image.convert("RGBA")  # a palette may hold transparency, which RGB alone warns about
    return image.convert(mode)


if __name__ == "__main__":
    json.dump(_do(json.load(sys.stdin)), sys.stdout)
