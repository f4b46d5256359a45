"""Folders of images that do not fit together: each kind is brought to 8 bits rightly, counted and said, or refused with a count."""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bohb_nas.datasets import Dataset, _decode, load_dataset, prepare
from bohb_nas.errors import DatasetError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOHB_NAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three colour images of 8 x 6 each."""
    folder = tmp_path / "data"
    for name, colour in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        (folder / "train" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (8, 6), colour).save(folder / "train" / name / f"{i}.png")
    return folder


def load(root: Path) -> Dataset:
    return load_dataset(f"image_folder:{root}")


def last_pixel(root: Path) -> list[int]:
    """Of the last image of the class red."""
    pixel: list[int] = load(root).train_images[-1, 3, 4].tolist()
    return pixel


def png_of_16_bits(path: Path, value: int, *, kind: int, channels: int) -> None:
    """A PNG by the letter of its specification (colour type `kind`), all samples of one value; Pillow cannot write these."""
    raw = b"".join(b"\0" + struct.pack(">H", value) * channels * 8 for _ in range(6))
    header = struct.pack(">IIBBBBB", 8, 6, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    )


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_pngs_of_16_bits_keep_their_upper_half(root: Path, kind: int, channels: int) -> None:
    png_of_16_bits(root / "train" / "red" / "z.png", 0x9C40, kind=kind, channels=channels)
    assert last_pixel(root) == [0x9C] * 3


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_of_16_bits_is_not_clipped(root: Path, suffix: str) -> None:
    Image.fromarray(np.full((6, 8), 0x9C40, np.uint16)).save(root / "train" / "red" / f"z.{suffix}")
    assert last_pixel(root) == [0x9C] * 3


def tiff(path: Path, row: bytes, *, bits: int, white_is_zero: bool = False, signed: bool = False) -> None:
    """A grey TIFF of 8x6 pixels by the letter of its specification (section 8), all rows alike; Pillow cannot write these."""
    pixels = row * 6
    entries = [(256, 8), (257, 6), (258, bits), (259, 1), (262, int(not white_is_zero)), (273, 134), (277, 1), (278, 6), (279, len(pixels))]
    entries.append((339, 2 if signed else 1))
    fields = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    path.write_bytes(b"II" + struct.pack("<HIH", 42, 8, len(entries)) + fields + struct.pack("<I", 0) + pixels)


@pytest.mark.parametrize(
    ("bits", "row", "white_is_zero", "level"),
    [
        (8, b"\x9c" * 8, False, 0x9C),
        (8, b"\x9c" * 8, True, 255 - 0x9C),
        (16, b"\x40\x9c" * 8, False, 0x9C),
        (16, b"\x40\x9c" * 8, True, 255 - 0x9C),
        (12, b"\x9c\x49\xc4" * 4, False, 0x9C),
    ],
)
def test_a_tiff_is_as_bright_as_it_says(root: Path, bits: int, row: bytes, *, white_is_zero: bool, level: int) -> None:
    tiff(root / "train" / "red" / "z.tif", row, bits=bits, white_is_zero=white_is_zero)
    assert last_pixel(root) == [level] * 3


def test_pixels_with_a_sign_are_refused_with_a_word_for_it(root: Path) -> None:
    tiff(root / "train" / "red" / "z.tif", b"\x40\x1c" * 8, bits=16, signed=True)
    with pytest.raises(DatasetError, match="with a sign, whose range the file does not say"):
        prepare(f"image_folder:{root}")


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_range_are_refused_with_a_count(root: Path, kind: type) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((6, 8), 0.5 if kind is np.float32 else 0x9C40, kind)).save(root / "train" / "red" / f"{name}.tif")
    with pytest.raises(DatasetError, match=r"2 files cannot be read: 2 pixels of 32 bits.*convert it to 8 or 16 bits.*'train/red/a\.tif'"):
        prepare(f"image_folder:{root}")


def test_every_change_is_counted(root: Path) -> None:
    red = root / "train" / "red"
    Image.new("RGB", (100, 50)).save(red / "large.JPG")
    Image.new("RGB", (4, 4)).save(red / "small.png")
    Image.new("L", (8, 6)).save(red / "grey.PNG")
    Image.new("RGBA", (8, 6), (1, 2, 3, 0)).save(red / "clear.png")
    Image.fromarray(np.full((6, 8), 0x9C40, np.uint16)).save(red / "deep.png")
    frames = [Image.new("L", (8, 6), level) for level in (0, 100, 200)]
    frames[0].save(red / "moving.gif", save_all=True, append_images=frames[1:])
    assert load(root).remarks == (
        "2 of 12 images were scaled and cropped to 6x8",
        "2 of 12 images were grey and became colour",
        "1 of 12 images were of more than 8 bits: their upper 8 are kept",
        "1 of 12 images were transparent: the colours below are kept",
        "1 of 12 images were animated: the first frame is kept",
    )


def test_a_colour_test_image_among_grey_ones(tmp_path: Path) -> None:
    for part, kind in (("train", "L"), ("test", "RGB")):
        for name in "ab":
            (tmp_path / "data" / part / name).mkdir(parents=True)
            Image.new(kind, (8, 6)).save(tmp_path / "data" / part / name / "0.png")
    assert load(tmp_path / "data").remarks == ("2 of 4 images were coloured and became grey, as all training images are",)


def test_images_that_fit_are_not_remarked_on(root: Path) -> None:
    assert load(root).remarks == ()


def test_what_is_not_looked_at_is_said_as_it_is_now(root: Path) -> None:
    (root / "train" / "red" / "notes.txt").write_text("")
    (root / "train" / "red" / ".hidden").write_text("")
    (root / "train" / "0.png").write_text("")
    (root / "valid").mkdir()
    loose, nameless, strangers = load(root).remarks
    assert loose == "1 file ('train/0.png') beside the class folders: not read, they belong to no class"
    assert nameless.startswith("1 file ('train/red/notes.txt') not read; images end in .bmp, .gif, .jpeg")
    assert strangers.startswith("1 folder ('valid') not read; images come from train and test")
    (root / "train" / "0.png").unlink()
    assert load(root).remarks == (nameless, strangers), "although the images are the cached ones"


def _cut(path: Path) -> None:
    Image.effect_noise((40, 40), 50).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:600])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_cut, "damaged or cut short"),
        (lambda path: path.write_text(""), "no image"),
        (os.mkfifo, "no image"),
        (lambda path: path.symlink_to("nowhere"), "a link to nothing"),
    ],
)
def test_an_unreadable_file_has_its_reason(root: Path, make: Callable[[Path], None], reason: str) -> None:
    make(root / "train" / "red" / "z.jpg")
    assert load(root).skipped == (("train/red/z.jpg", reason),)
    assert len(load(root).train_labels) == 6


def test_an_animation_cut_short_behind_its_first_frame_is_that_frame(root: Path) -> None:
    whole = io.BytesIO()
    frames = [Image.new("L", (8, 6), level) for level in (40, 100, 200)]
    frames[0].save(whole, "GIF", save_all=True, append_images=frames[1:])
    first = whole.getvalue().index(b"\x21\xf9")  # a block of the second frame begins: by the specification of GIF89a, section 23
    for n in range(first + 1, len(whole.getvalue())):
        (root / "train" / "red" / f"z{n:03}.gif").write_bytes(whole.getvalue()[:n])
    assert load(root).skipped == ()
    assert last_pixel(root) == [40] * 3


def test_a_file_that_ends_a_process_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_decode, "_opened", fail)
    with pytest.raises(ZeroDivisionError) as failed:
        _decode.read_headers([root / "train" / "red" / "0.png"])
    assert failed.value.__notes__ == [f"while {str(root / 'train' / 'red' / '0.png')!r} was read"]


def test_an_image_behind_a_link_is_read_and_a_circle_refused(root: Path) -> None:
    (root / "train" / "red" / "z.png").symlink_to("../blue/0.png")
    assert last_pixel(root) == [0, 0, 255]
    (root / "train" / "red" / "deeper").mkdir()
    (root / "train" / "red" / "deeper" / "circle").symlink_to("..")
    with pytest.raises(DatasetError, match=r"deeper/circle' links to a folder that it lies in.*remove"):
        load(root)


@pytest.mark.parametrize(
    ("culprit", "target"),
    [
        ("train/red/up", ".."),
        ("train/red/up", "../.."),
        ("train/red/up", "../rose"),
        ("train/all", "."),
        ("train/all", ".."),
        ("test/red/up", ".."),
    ],
)
def test_of_several_links_the_one_that_makes_a_circle_is_named(root: Path, culprit: str, target: str) -> None:
    """The others are classes that lie elsewhere, or share the folder of one."""
    (root / "train" / "rose").symlink_to("red")
    (root / "test").mkdir()
    for name in ("blue", "red"):
        (root / "test" / name).mkdir()
        (root / "test" / name / "0.png").symlink_to(root / "train" / name / "0.png")
    (root / "test" / "rose").symlink_to("red")
    (root / culprit).symlink_to(target)
    with pytest.raises(DatasetError, match=rf"^'{re.escape(str(root / culprit))}' links to a folder that it lies in.*remove this link"):
        load(root)


def test_classes_of_one_image_are_counted_and_named(root: Path) -> None:
    for i in range(200):
        (root / "train" / f"{i:04}").mkdir()
        (root / "train" / f"{i:04}" / "0.png").symlink_to("../red/0.png")
    with pytest.raises(DatasetError, match=r"one training image only of '0000', .*'0004', … \(200 of 202 classes\).*at least two.*add"):
        prepare(f"image_folder:{root}")


def test_empty_classes_are_counted_and_named(root: Path) -> None:
    for name in "abc":
        (root / "train" / name).mkdir()
    with pytest.raises(DatasetError, match=r"3 of 5 class folders hold no image: '.*/train/a', .*fill these folders, or remove them"):
        load(root)


def test_a_class_whose_name_is_no_text_is_refused(root: Path) -> None:
    os.rename(root / "train" / "red", os.fsencode(root / "train") + b"/r\xe9d")
    with pytest.raises(DatasetError, match=r"names that are no UTF-8: \[b'r\\xe9d'\]; rename them"):
        load(root)


def test_class_folders_outside_train_are_seen(root: Path) -> None:
    (root / "train").rename(root / "test")
    with pytest.raises(DatasetError, match="has no folder 'train'; its folders: 'test'; accepted is PATH/train/CLASS/IMAGE"):
        load(root)
