import errno
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bohb_nas.datasets import _decode, image_folder, load_dataset, prepare
from bohb_nas.errors import DatasetError

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}
ODD_NAMES = ["with spaces", 'quote\'s "both"', "new\nline", "colon:s", "-dash", "ünï"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOHB_NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def _image(path: Path, colour: tuple[int, ...] | int, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def _folder(root: Path, *, n: int = 3, parts: tuple[str, ...] = ("train", "test")) -> Path:
    for part in parts:
        for name, colour in COLOURS.items():
            for i in range(n):
                _image(root / part / name / f"{i}.png", colour)
    return root


def _entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_paths(tmp_path: Path, name: str) -> None:
    root = _folder(tmp_path / name)
    _image(root / "train" / name / f"{name}.png", (0, 255, 0))
    data = load_dataset(f"image_folder:{root}")
    assert data.classes == tuple(sorted([*COLOURS, name]))
    assert data.train_images.shape == (7, 6, 8, 3)
    for image, label in zip(data.train_images, data.train_labels, strict=True):
        np.testing.assert_array_equal(image[0, 0], {**COLOURS, name: (0, 255, 0)}[data.classes[label]])


def test_arrays_are_mapped_and_loading_again_reads_the_cache(tmp_path: Path, cache: Path) -> None:
    reference = f"image_folder:{_folder(tmp_path / 'data')}"
    first = load_dataset(reference)
    assert isinstance(first.train_images.base, np.memmap)
    assert not first.train_images.flags.writeable
    (entry,) = _entries(cache)
    (entry / "train_images.npy").touch()
    before = (entry / "train_images.npy").stat().st_mtime_ns
    assert load_dataset(reference).fingerprint == first.fingerprint
    assert (entry / "train_images.npy").stat().st_mtime_ns == before


def test_a_home_directory_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _folder(tmp_path / "photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("image_folder:~/photos").fingerprint == load_dataset(f"image_folder:{tmp_path}/photos").fingerprint


def test_the_test_part_is_optional(tmp_path: Path) -> None:
    data = load_dataset("image_folder", data_dir=_folder(tmp_path / "data", parts=("train",)))
    assert data.test_images is None
    assert data.test_labels is None


def _rewrite(root: Path) -> None:
    _image(root / "train" / "red" / "0.png", (1, 2, 3))


def _add(root: Path) -> None:
    _image(root / "train" / "red" / "9.png", (255, 0, 0))


def _remove(root: Path) -> None:
    (root / "train" / "red" / "0.png").unlink()


def _move(root: Path) -> None:
    (root / "train" / "red" / "0.png").rename(root / "train" / "blue" / "0a.png")


@pytest.mark.parametrize("change", [_rewrite, _add, _remove, _move])
def test_a_change_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    root = _folder(tmp_path / "data")
    before = load_dataset(f"image_folder:{root}").fingerprint
    change(root)
    assert load_dataset(f"image_folder:{root}").fingerprint != before


def test_two_folders_that_differ_in_pixels_only_are_told_apart(tmp_path: Path) -> None:
    first, second = _folder(tmp_path / "a", parts=()), _folder(tmp_path / "b", parts=())
    for root, level in ((first, 10), (second, 20)):
        for name in COLOURS:
            for i in range(2):
                path = root / "train" / name / f"{i}.bmp"  # not compressed: of one size, whatever it shows
                _image(path, level, mode="L")
                os.utime(path, ns=(0, 0))
    assert [int(load_dataset(f"image_folder:{root}").train_images[0, 0, 0, 0]) for root in (first, second)] == [10, 20]


def test_an_image_whose_time_was_set_back_is_read_again(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data", n=2, parts=("train",))
    path = root / "train" / "blue" / "0.bmp"
    levels = []
    for level in (10, 20):
        _image(path, level, mode="L")
        os.utime(path, ns=(0, 0))
        levels.append(int(load_dataset(f"image_folder:{root}").train_images[0].max()))
    assert levels == [10, 20]


def test_a_class_of_one_image_is_refused_by_name(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data", parts=("train",))
    _image(root / "train" / "green" / "0.png", (0, 255, 0))
    with pytest.raises(DatasetError, match=r"one training image only of 'green'.*at least two"):
        prepare(f"image_folder:{root}")


def test_what_cannot_be_read_is_not_blamed_on_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _folder(tmp_path / "data")

    def refuse(paths: list[Path]) -> None:
        raise PermissionError(13, "Permission denied", str(paths[0]))

    monkeypatch.setattr(image_folder, "read_headers", refuse)
    with pytest.raises(DatasetError, match="cannot be read: Permission denied") as refused:
        load_dataset(f"image_folder:{root}")
    assert "cache" not in str(refused.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_for_the_cache_is_an_error_before_anything_is_decoded(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    root = _folder(tmp_path / "data")
    asked = []

    def full(descriptor: int, offset: int, length: int) -> None:
        asked.append((offset, length, os.fstat(descriptor).st_size))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DatasetError, match=f"the data cache {cache.parent}: {os.strerror(number)}; free space or set BOHB_NAS_CACHE"):
        load_dataset(f"image_folder:{root}")
    ((offset, length, size),) = asked
    assert (offset, length) == (0, size), "all of it"
    assert size > 6 * 8 * 6 * 3
    assert _entries(cache) == []


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_takes_no_room_beforehand_holds_the_cache_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    assert len(load_dataset(f"image_folder:{_folder(tmp_path / 'data')}").train_images) == 6


def test_a_process_without_room_for_what_it_decodes_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decode, "_PER_PROCESS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    code = "import os, signal, sys; sys.stdin.read(); os.kill(os.getpid(), signal.SIGBUS)"
    (tmp_path / "python").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}'\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DatasetError, match=r"ended with signal SIGBUS: no message; a disk without room.*BOHB_NAS_CACHE.*, then run again"):
        _decode.decode([tmp_path / "0.png"] * 2, tmp_path / "array.npy")


def test_many_images_are_decoded_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _folder(tmp_path / "data", n=4)
    (root / "train" / "red" / "broken.png").write_text("no image")
    alone = load_dataset(f"image_folder:{root}")
    monkeypatch.setattr(_decode, "_PER_PROCESS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setenv("BOHB_NAS_CACHE", str(tmp_path / "another cache"))
    shared = load_dataset(f"image_folder:{root}")
    assert (shared.fingerprint, shared.skipped) == (alone.fingerprint, (("train/red/broken.png", "no image"),))
    with pytest.raises(DatasetError, match=r"nowhere\.npy"):
        _decode.decode([root / "0.png"] * 3, tmp_path / "nowhere.npy")


def test_a_process_that_decodes_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    _image(tmp_path / "0.png", 7)
    shard = {"job": "headers", "parent": os.getpid(), "first": 0, "paths": [str(tmp_path / "0.png")], "array": None}

    def answer(parent: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bohb_nas.datasets._decode"]
        return subprocess.run(command, input=json.dumps({**shard, "parent": parent}), capture_output=True, text=True, check=False)

    assert json.loads(answer(os.getpid()).stdout)[0][:3] == ["RGB", 6, 8]
    orphan = answer(1)
    assert (orphan.returncode, orphan.stdout) == (1, "")


def test_a_copy_is_the_same_data(tmp_path: Path) -> None:
    first, second = (load_dataset(f"image_folder:{_folder(tmp_path / name)}") for name in "ab")
    assert first.fingerprint == second.fingerprint


def test_the_most_frequent_size_wins_and_the_rest_is_scaled(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data")
    _image(root / "train" / "red" / "large.png", (255, 0, 0), (80, 20))
    data = load_dataset(f"image_folder:{root}")
    assert data.train_images.shape == (7, 6, 8, 3)
    assert {tuple(pixel) for pixel in data.train_images.reshape(-1, 3)} == set(COLOURS.values())


def test_large_images_are_scaled_to_64(tmp_path: Path) -> None:
    for name, colour in COLOURS.items():
        _image(tmp_path / "data" / "train" / name / "photo.jpg", colour, (400, 200))
    assert load_dataset(f"image_folder:{tmp_path / 'data'}").train_images.shape == (2, 32, 64, 3)


_CORNER_OF_ORIENTATION = {
    1: (0, 0),
    2: (0, -1),
    3: (-1, -1),
    4: (-1, 0),
    5: (0, 0),
    6: (0, -1),
    7: (-1, -1),
    8: (-1, 0),
}
"""Where the first stored row meets the first stored column in the upright image (CIPA DC-008, tag 274)."""


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_set_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = np.zeros((48, 32, 3), np.uint8)
    stored[:16, :16] = 255  # of which the corner shows where it went
    exif = Image.Exif()
    exif[274] = orientation
    for name in COLOURS:
        path = tmp_path / "data" / "train" / name / f"photo.{suffix}"
        path.parent.mkdir(parents=True)
        Image.fromarray(stored).save(path, exif=exif, quality=100)
    images = load_dataset(f"image_folder:{tmp_path / 'data'}").train_images
    assert images.shape == ((2, 48, 32, 3) if orientation < 5 else (2, 32, 48, 3))
    bright = {(y, x) for y in (0, -1) for x in (0, -1) if images[0, y, x].min() > 200}
    assert bright == {_CORNER_OF_ORIENTATION[orientation]}


def test_a_large_photograph_on_its_side_is_decoded_at_twice_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[274] = 6
    for name, colour in COLOURS.items():
        path = tmp_path / "data" / "train" / name / "photo.jpg"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (800, 400), colour).save(path, exif=exif)
    seen: list[tuple[int, int]] = []
    as_8_bit = _decode._as_8_bit

    def seeing(image: Image.Image, mode: str) -> Image.Image:
        seen.append(image.size)
        return as_8_bit(image, mode)

    monkeypatch.setattr(_decode, "_as_8_bit", seeing)
    assert load_dataset(f"image_folder:{tmp_path / 'data'}").train_images.shape == (2, 64, 32, 3)
    assert seen == [(200, 100)] * 2  # of 800x400 a quarter; an eighth is less than twice 64x32


def test_an_orientation_that_cannot_be_read_is_upright(tmp_path: Path) -> None:
    for name, colour in COLOURS.items():
        path = tmp_path / "data" / "train" / name / "photo.jpg"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 6), colour).save(path, exif=b"Exif\0\0no TIFF at all")
    data = load_dataset(f"image_folder:{tmp_path / 'data'}")
    assert (data.train_images.shape, data.skipped) == ((2, 6, 8, 3), ())


def test_grey_stays_grey_and_16_bits_keep_their_upper_half(tmp_path: Path) -> None:
    _image(tmp_path / "data" / "train" / "a" / "0.png", 128, mode="L")
    _image(tmp_path / "data" / "train" / "b" / "0.png", 128 * 256, mode="I;16")
    data = load_dataset(f"image_folder:{tmp_path / 'data'}")
    assert data.train_images.shape == (2, 6, 8, 1)
    assert np.unique(data.train_images).tolist() == [128]


def test_one_colour_image_makes_all_colour(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data")
    _image(root / "train" / "red" / "grey.png", 7, mode="L")
    palette = Image.new("RGB", (8, 6), (255, 0, 0)).convert("P")
    palette.save(root / "train" / "red" / "palette.png", transparency=b"\x00\x80")
    data = load_dataset(f"image_folder:{root}")
    assert [7, 7, 7] in data.train_images[:, 0, 0].tolist()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def test_unreadable_images_are_counted_named_and_left_out_on_demand(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data")
    (root / "train" / "red" / "text.png").write_text("no image")
    (root / "train" / "blue" / "dangling.jpg").symlink_to("nowhere")
    _truncate(root / "test" / "blue" / "1.png")
    reference = f"image_folder:{root}"
    with pytest.raises(DatasetError, match=r"3 files.*text\.png.*--skip-unreadable"):
        prepare(reference)
    found = prepare(reference, skip_unreadable=True)
    assert (len(found.train_labels), len(found.test_part()[1])) == (6, 5)
    assert sorted(found.skipped) == [
        ("test/blue/1.png", "no image"),
        ("train/blue/dangling.jpg", "a link to nothing"),
        ("train/red/text.png", "no image"),
    ]
    assert len(load_dataset(reference).train_images) == 6  # what the workers then read


def _one_class(root: Path) -> None:
    _image(root / "train" / "red" / "0.png", 0)


def _no_classes(root: Path) -> None:
    _image(root / "train" / "0.png", 0)


def _no_train(root: Path) -> None:
    _image(root / "red" / "0.png", 0)


def _empty_class(root: Path) -> None:
    _folder(root)
    (root / "train" / "green").mkdir()
    (root / "train" / "green" / "notes.txt").write_text("")


def _unknown_test_class(root: Path) -> None:
    _folder(root)
    _image(root / "test" / "green" / "0.png", 0)


def _empty_test(root: Path) -> None:
    _folder(root, parts=("train",))
    (root / "test").mkdir()


def _broken_class(root: Path) -> None:
    for path in (_folder(root) / "train" / "red").iterdir():
        path.write_text("no image")


def _all_broken(root: Path) -> None:
    for path in _folder(root).glob("train/*/*"):
        path.write_text("no image")


def _broken_test(root: Path) -> None:
    for path in _folder(root).glob("test/*/*"):
        path.write_text("no image")


def _a_file(root: Path) -> None:
    root.write_text("")


def _nothing(root: Path) -> None:
    assert not root.exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_nothing, "cannot be read"),
        (_a_file, "cannot be read"),
        (_no_train, "train"),
        (_no_classes, "too few class folders: none"),
        (_one_class, "too few class folders: 'red'"),
        (_empty_class, "1 of 3 class folders hold no image"),
        (_unknown_test_class, "green"),
        (_empty_test, "no class folder"),
        (_broken_class, "no image can be read"),
        (_all_broken, "none of the training images"),
        (_broken_test, r"no image of test can be read, of 6; .* or remove '.*test'"),
    ],
)
def test_a_folder_that_is_no_data_set(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(DatasetError, match=said):
        prepare(f"image_folder:{tmp_path / 'data'}", skip_unreadable=True)


def test_a_folder_without_the_right_to_read_it(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data")
    (root / "train" / "red").chmod(0)
    if os.geteuid() == 0:
        tmp_path.chmod(0o700)
        os.seteuid(65534)  # root may read everything: be nobody for a moment
    try:
        with pytest.raises(DatasetError, match="Permission denied"):
            prepare(f"image_folder:{root}")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (root / "train" / "red").chmod(0o700)


def test_no_folder_given() -> None:
    with pytest.raises(DatasetError, match="image_folder:PATH"):
        load_dataset("image_folder")


PREPARE = "import sys; from bohb_nas.datasets import prepare; print(prepare(sys.argv[1]).fingerprint)"


def test_two_processes_at_once(tmp_path: Path, cache: Path) -> None:
    reference = f"image_folder:{_folder(tmp_path / 'data', n=40)}"
    both = [subprocess.Popen([sys.executable, "-c", PREPARE, reference], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert answers == {load_dataset(reference).fingerprint + "\n"}
    assert len(_entries(cache)) == 1


KILLED = """
import os, signal, sys
from bohb_nas.datasets import image_folder, prepare
def save(*_):
    os.kill(os.getpid(), signal.SIGKILL)
image_folder.save = save
prepare(sys.argv[1])
"""


def test_a_killed_decode_leaves_nothing_that_is_read(tmp_path: Path, cache: Path) -> None:
    reference = f"image_folder:{_folder(tmp_path / 'data')}"
    assert subprocess.run([sys.executable, "-c", KILLED, reference], check=False).returncode == -9
    (remains,) = _entries(cache)
    assert remains.suffix == ".tmp"
    assert len(load_dataset(reference).train_images) == 6
    (entry,) = _entries(cache)
    assert entry.suffix != ".tmp"


def test_a_damaged_cache_names_what_to_delete(tmp_path: Path, cache: Path) -> None:
    reference = f"image_folder:{_folder(tmp_path / 'data')}"
    load_dataset(reference)
    (entry,) = _entries(cache)
    _truncate(entry / "train_images.npy")
    with pytest.raises(DatasetError, match="delete this folder"):
        load_dataset(reference)


def test_real_photographs(tmp_path: Path) -> None:
    archive = Path(os.environ.get("BOHB_NAS_DATA", "")) / "cifar10-jpeg.tar.xz"
    if not os.environ.get("BOHB_NAS_DATA") or not archive.exists():
        pytest.skip("set BOHB_NAS_DATA to the folder of cifar10-jpeg.tar.xz to decode real images")
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.startswith("train"):  # the ten classes of the test part, which come first, are enough
                break
            if member.name.endswith("0.jpg") and (image := tar.extractfile(member)) is not None:
                (tmp_path / member.name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / member.name).write_bytes(image.read())
    (tmp_path / "test").rename(tmp_path / "train")
    data = load_dataset(f"image_folder:{tmp_path}")
    assert len(data.classes) == 10
    assert data.train_images.shape[1:] == (32, 32, 3)
    assert 80 < data.train_images.mean() < 160  # photographs are neither black nor white
