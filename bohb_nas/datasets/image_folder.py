"""A folder of images, one folder per class: `image_folder:PATH` with PATH/train/CLASS/… and optionally PATH/test/CLASS/….

Decoded once into memory-mapped arrays; every later load maps them. The cache is keyed by the resolved path of the
folder and by the name, size, inode, modification time and change time of every file: a listing is all that a load can
afford, and it notices each added, removed, renamed or rewritten image, even one whose modification time was set back.
A copy of the folder is therefore decoded again. `Dataset.fingerprint` is the hash of the decoded content instead: by
it a copy, elsewhere and with other times, is still the same data.

All images get one size: the most frequent height and width of the training images (of several, the largest),
scaled down so that the longer side is at most 64. An image of another size is scaled to cover it, then cropped around
its centre. Colour throughout, unless every training image is grey; one with a palette counts as coloured. Of more than
8 bits the upper 8 are kept; transparency is dropped, and of animations all but the first frame. Files without an image
suffix, and hidden ones, are no images.
`Dataset.remarks` counts all of this, and what was not looked at.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bohb_nas.datasets._cache import array_path, cached, complete, reserve, save, writing
from bohb_nas.datasets._dataset import Dataset, Skipped, listed
from bohb_nas.datasets._decode import Header, decode, read_headers
from bohb_nas.datasets._remarks import GREY, of_images, of_leftovers
from bohb_nas.errors import DatasetError

MAX_SIDE = 64
"""Pixels of the longer side beyond which images are scaled down: what a search by the clock can train on."""
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_RULE = "5"
"""Part of the cache key; to be counted up when the rules above or the key change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: str
    """Below the folder that was given."""
    label: int
    identity: str
    """Size, inode, modification time and change time, the latter two in ns."""


def load(data_dir: Path | None) -> Dataset:
    """The images below `data_dir`.

    Raises:
        DatasetError: no folder, fewer than two classes, a class without (readable) images, no permission to read,
            or a cache that cannot be written.
    """
    if data_dir is None:
        raise DatasetError("image_folder needs a folder; give it as image_folder:PATH")
    try:
        root = data_dir.resolve(strict=True)
        _check_train(root)
        classes = _class_folders(root / "train")
        if len(classes) < 2:
            found = ", ".join(map(repr, classes)) or "none"
            raise DatasetError(
                f"{str(root / 'train')!r} has too few class folders: {found}; accepted are at least two, one folder per class"
            )
        if odd := [os.fsencode(name) for name in classes if not _is_text(name)]:
            raise DatasetError(f"class folders in {str(root / 'train')!r} have names that are no UTF-8: {odd[:5]}; rename them")
        nameless: list[str] = []
        parts = {"train": _files(root, "train", classes, nameless)}
        if (root / "test").is_dir():
            if unknown := sorted(set(_class_folders(root / "test")) - set(classes)):
                raise DatasetError(
                    f"{str(root / 'test')!r} has classes that train does not have: {unknown[:5]}; accepted are {classes[:20]}"
                )
            parts["test"] = _files(root, "test", classes, nameless)
        dataset = cached(f"image_folder-{_key(root, classes, parts)}", lambda folder: _fill(folder, root, classes, parts))
        loose = [f"{part}/{name}" for part in parts for name in _images(root / part)]
        strangers = [name for name in _class_folders(root) if name not in ("train", "test")]
        return replace(dataset, remarks=dataset.remarks + of_leftovers(loose, nameless, strangers, suffixes=SUFFIXES))
    except OSError as e:
        raise DatasetError(
            f"image folder {str(data_dir)!r} cannot be read: {e.strerror or e}: {e.filename!r}; "
            "accepted is image_folder:PATH with PATH/train/CLASS/IMAGE"
        ) from e


def _check_train(root: Path) -> None:
    """Refuses a folder without the folder train; says what it has instead."""
    if root.is_dir() and not (root / "train").is_dir():
        found = listed(_class_folders(root), 10) or "none"
        raise DatasetError(
            f"image folder {str(root)!r} has no folder 'train'; its folders: {found}; "
            "accepted is PATH/train/CLASS/IMAGE and, for the final test, PATH/test/CLASS/IMAGE: move the class folders there"
        )


def _class_folders(part: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in os.scandir(part) if entry.is_dir() and not entry.name.startswith(".")))


def _images(part: Path) -> list[str]:
    """Names of the images that lie in no class folder."""
    return sorted(e.name for e in os.scandir(part) if _is_image(e.name) and not e.name.startswith(".") and not e.is_dir())


def _is_text(name: str) -> bool:
    """Whether a name can be written into the description of a model."""
    return name.encode(errors="replace").decode() == name


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _files(root: Path, part: str, classes: tuple[str, ...], nameless: list[str]) -> list[_File]:
    """The images of a part; other files in its class folders are added to `nameless`."""
    files: list[_File] = []
    above = (os.path.realpath(root), os.path.realpath(root / part))
    for label, name in enumerate(classes):
        folder = root / part / name
        if part == "test" and not folder.is_dir():
            continue
        files += sorted(_walk(folder, f"{part}/{name}", label, nameless, above), key=lambda file: file.path)
    nameless.sort()
    held = {file.label for file in files}
    empty = [c for label, c in enumerate(classes) if label not in held and (part == "train" or (root / part / c).is_dir())]
    if empty:
        named = listed([str(root / part / name) for name in empty], 5)
        raise DatasetError(
            f"{len(empty)} of {len(classes)} class folders hold no image: {named}; "
            f"accepted are files ending in {', '.join(sorted(SUFFIXES))}: fill these folders, or remove them"
        )
    if not files:
        raise DatasetError(f"{str(root / part)!r} holds no class folder; remove it, or fill it as train is filled")
    return files


def _walk(folder: Path, below: str, label: int, nameless: list[str], above: tuple[str, ...]) -> Iterator[_File]:
    """The images in a folder and its folders; texts, not paths, because a load walks tens of thousands of them.

    Raises:
        DatasetError: a link leads to one of the real folders `above`, from the root of the data set down.
    """
    real = os.path.realpath(folder)
    if real in above and folder.is_symlink():
        raise DatasetError(f"{str(folder)!r} links to a folder that it lies in, and would be read for ever; remove this link")
    above = (*above, real)
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, f"{below}/{entry.name}", label, nameless, above)
        elif _is_image(entry.name):
            dangling = entry.is_symlink() and not os.path.exists(entry.path)  # listed all the same: an image that cannot be read
            facts = entry.stat(follow_symlinks=not dangling)
            identity = f"{facts.st_size} {facts.st_ino} {facts.st_mtime_ns} {facts.st_ctime_ns}"
            yield _File(path=f"{below}/{entry.name}", label=label, identity=identity)
        else:
            nameless.append(f"{below}/{entry.name}")


def _key(root: Path, classes: tuple[str, ...], parts: dict[str, list[_File]]) -> str:
    digest = hashlib.sha256(repr((_RULE, os.fsencode(root), classes)).encode())
    for files in parts.values():
        for file in files:
            digest.update(os.fsencode(file.path) + f"\0{file.identity}\0".encode())
    return digest.hexdigest()[:32]


def _fill(folder: Path, root: Path, classes: tuple[str, ...], parts: dict[str, list[_File]]) -> None:
    """Fills a folder of the cache."""
    arrays: dict[str, NDArray[np.uint8] | NDArray[np.int64] | None] = {}
    skipped: list[Skipped] = []
    headers = {part: read_headers([root / file.path for file in files]) for part, files in parts.items()}
    shape = _common_shape([header for header in headers["train"] if header is not None])
    readable: list[Header] = []
    for part, files in parts.items():
        path = array_path(folder, f"{part}_images")
        with writing():
            images = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(files), *shape))
            reserve(path)
        reasons = decode([root / file.path for file in files], path)
        skipped += [Skipped(file.path, reason) for file, reason in zip(files, reasons, strict=True) if reason is not None]
        readable += [header for header, reason in zip(headers[part], reasons, strict=True) if header is not None and reason is None]
        good = np.array([reason is None for reason in reasons])
        labels = np.array([file.label for file in files], dtype=np.int64)
        if not good.all():
            path.unlink()
            images, labels = images[good], labels[good]
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
        if part == "train" and (lost := sorted(set(range(len(classes))) - set(labels.tolist()))):
            raise DatasetError(
                f"no image can be read of the classes {[classes[label] for label in lost[:5]]}; the files are damaged: replace them"
            )
        if part == "test" and not good.any():
            raise DatasetError(
                f"no image of test can be read, of {len(files)}; the files are damaged: replace them, or remove {str(root / part)!r}"
            )
    save(folder, complete("image_folder", classes, arrays, skipped=tuple(skipped), remarks=of_images(readable, shape)))


def _common_shape(headers: list[Header]) -> tuple[int, int, int]:
    """Height, width and channels that all images get."""
    if not headers:
        raise DatasetError("none of the training images can be read; accepted are images that Pillow opens")
    counts = Counter((header.height, header.width) for header in headers)
    height, width = max(counts, key=lambda size: (counts[size], size[0] * size[1], size))
    scale = min(1.0, MAX_SIDE / max(height, width))
    channels = 1 if all(header.mode in GREY for header in headers) else 3
    return max(1, round(height * scale)), max(1, round(width * scale)), channels
