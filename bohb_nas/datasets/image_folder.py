"""A folder of images, one folder per class: `image_folder:PATH` with PATH/train/CLASS/… and optionally PATH/test/CLASS/….

Decoded once into memory-mapped arrays; every later load maps them. The cache is keyed by the resolved path of the
folder and by the name, size, inode, modification time and change time of every file: a listing is all that a load can
afford, and it notices each added, removed, renamed or rewritten image, even one whose modification time was set back.
A copy of the folder is therefore decoded again. `Dataset.fingerprint` is the hash of the decoded content instead: by
it a copy, elsewhere and with other times, is still the same data.

All images get one size: the most frequent height and width of the training images (of several, the largest),
scaled down so that the longer side is at most 64. An image of another size is scaled to cover it, then cropped around
its centre. Colour throughout, unless every training image is grey. Files without an image suffix, and hidden ones,
are no images.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bohb_nas.datasets._cache import array_path, cached, complete, save, writing
from bohb_nas.datasets._dataset import Dataset
from bohb_nas.datasets._decode import Header, decode, read_headers
from bohb_nas.errors import DatasetError

MAX_SIDE = 64
"""Pixels of the longer side beyond which images are scaled down: what a search by the clock can train on."""
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_RULE = "2"
"""Part of the cache key; to be counted up when the rules above or the key change."""
_GREY = frozenset({"1", "L", "LA", "I;16", "I;16B"})


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
        classes = _class_folders(root / "train")
        if len(classes) < 2:
            found = ", ".join(map(repr, classes)) or "none"
            raise DatasetError(
                f"{str(root / 'train')!r} has too few class folders: {found}; accepted are at least two, one folder per class"
            )
        parts = {"train": _files(root, "train", classes)}
        if (root / "test").is_dir():
            if unknown := sorted(set(_class_folders(root / "test")) - set(classes)):
                raise DatasetError(
                    f"{str(root / 'test')!r} has classes that train does not have: {unknown[:5]}; accepted are {classes[:20]}"
                )
            parts["test"] = _files(root, "test", classes)
        return cached(f"image_folder-{_key(root, classes, parts)}", lambda folder: _fill(folder, root, classes, parts))
    except OSError as e:
        raise DatasetError(
            f"image folder {str(data_dir)!r} cannot be read: {e.strerror or e}: {e.filename!r}; "
            "accepted is image_folder:PATH with PATH/train/CLASS/IMAGE"
        ) from e


def _class_folders(part: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in os.scandir(part) if entry.is_dir() and not entry.name.startswith(".")))


def _files(root: Path, part: str, classes: tuple[str, ...]) -> list[_File]:
    files: list[_File] = []
    for label, name in enumerate(classes):
        folder = root / part / name
        if part == "test" and not folder.is_dir():
            continue
        found = sorted(_walk(folder, f"{part}/{name}", label), key=lambda file: file.path)
        if not found:
            raise DatasetError(f"class folder {str(folder)!r} holds no image; accepted are files ending in {', '.join(sorted(SUFFIXES))}")
        files += found
    if not files:
        raise DatasetError(f"{str(root / part)!r} holds no class folder; remove it, or fill it as train is filled")
    return files


def _walk(folder: Path, below: str, label: int) -> Iterator[_File]:
    """The images in a folder and its folders; texts, not paths, because a load walks tens of thousands of them."""
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, f"{below}/{entry.name}", label)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            dangling = entry.is_symlink() and not os.path.exists(entry.path)  # listed all the same: an image that cannot be read
            facts = entry.stat(follow_symlinks=not dangling)
            identity = f"{facts.st_size} {facts.st_ino} {facts.st_mtime_ns} {facts.st_ctime_ns}"
            yield _File(path=f"{below}/{entry.name}", label=label, identity=identity)


def _key(root: Path, classes: tuple[str, ...], parts: dict[str, list[_File]]) -> str:
    digest = hashlib.sha256(repr((_RULE, os.fsencode(root), classes)).encode())
    for files in parts.values():
        for file in files:
            digest.update(os.fsencode(file.path) + f"\0{file.identity}\0".encode())
    return digest.hexdigest()[:32]


def _fill(folder: Path, root: Path, classes: tuple[str, ...], parts: dict[str, list[_File]]) -> None:
    """Fills a folder of the cache."""
    arrays: dict[str, NDArray[np.uint8] | NDArray[np.int64] | None] = {}
    skipped: list[str] = []
    headers = read_headers([root / file.path for file in parts["train"]])
    shape = _common_shape([header for header in headers if header is not None])
    for part, files in parts.items():
        path = array_path(folder, f"{part}_images")
        with writing():
            images = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(files), *shape))
        good = np.array(decode([root / file.path for file in files], path))
        skipped += [file.path for file, ok in zip(files, good, strict=True) if not ok]
        labels = np.array([file.label for file in files], dtype=np.int64)
        if not good.all():
            path.unlink()
            images, labels = images[good], labels[good]
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
        if part == "train" and (lost := sorted(set(range(len(classes))) - set(labels.tolist()))):
            raise DatasetError(
                f"no image can be read of the classes {[classes[label] for label in lost[:5]]}; the files are damaged: replace them"
            )
    save(folder, complete("image_folder", classes, arrays, tuple(skipped)))


def _common_shape(headers: list[Header]) -> tuple[int, int, int]:
    """Height, width and channels that all images get."""
    if not headers:
        raise DatasetError("none of the training images can be read; accepted are images that Pillow opens")
    counts = Counter((header.height, header.width) for header in headers)
    height, width = max(counts, key=lambda size: (counts[size], size[0] * size[1], size))
    scale = min(1.0, MAX_SIDE / max(height, width))
    channels = 1 if all(header.mode in _GREY for header in headers) else 3
    return max(1, round(height * scale)), max(1, round(width * scale)), channels
