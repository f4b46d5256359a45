"""Says what was done to the images of a folder so that they fit together, and what in the folder was not looked at."""

from collections.abc import Collection, Sequence

from bohb_nas.datasets._dataset import listed
from bohb_nas.datasets._decode import Header

GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})
"""Pillow's words for kinds of pixels without colour."""
_NAMED = 3
"""Names that stand for all of a kind."""


def of_images(headers: Sequence[Header], shape: tuple[int, int, int]) -> tuple[str, ...]:
    """What was done to images, a sentence for each kind of change.

    Args:
        headers: of all images that could be read.
        shape: height, width and channels that all of them got.
    """
    height, width, channels = shape
    changed = {
        f"scaled and cropped to {height}x{width}": sum((h.height, h.width) != (height, width) for h in headers),
        "grey and became colour": sum(h.mode in GREY for h in headers) if channels > 1 else 0,
        "coloured and became grey, as all training images are": sum(h.mode not in GREY for h in headers) if channels == 1 else 0,
        "of more than 8 bits: their upper 8 are kept": sum(h.deep for h in headers),
        "transparent: the colours below are kept": sum(h.transparent for h in headers),
        "animated: the first frame is kept": sum(h.animated for h in headers),
    }
    return tuple(f"{n} of {len(headers)} images were {how}" for how, n in changed.items() if n)


def of_leftovers(loose: Sequence[str], nameless: Sequence[str], strangers: Sequence[str], *, suffixes: Collection[str]) -> tuple[str, ...]:
    """What was not looked at.

    Args:
        loose: images beside the class folders.
        nameless: files in class folders whose names end like no image's.
        strangers: folders beside train and test.
        suffixes: the endings of images.
    """
    found = []
    if loose:
        found.append(f"{_some(loose)} beside the class folders: not read, they belong to no class")
    if nameless:
        found.append(f"{_some(nameless)} not read; images end in {', '.join(sorted(suffixes))}")
    if strangers:
        found.append(f"{_some(strangers, 'folder')} not read; images come from train and test, and those to validate by from train")
    return tuple(found)


def _some(names: Sequence[str], what: str = "file") -> str:
    """How many, and the first of them."""
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({listed(names, _NAMED)})"
