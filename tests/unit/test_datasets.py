import importlib
import pwd
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bohb_nas import refs
from bohb_nas.datasets import Dataset, load_dataset, prepare, split
from bohb_nas.datasets._cache import cached, save
from bohb_nas.errors import DatasetError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOHB_NAS_CACHE", str(tmp_path / "cache"))


def test_the_catalogue() -> None:
    assert refs.names("dataset") == ["cifar10", "cifar100", "digits", "fashion_mnist", "image_folder", "svhn"]


def test_digits() -> None:
    digits = load_dataset("digits")
    assert digits.test_images is not None
    assert digits.test_labels is not None
    assert len(digits.train_images) + len(digits.test_images) == 1797
    assert digits.train_images.shape[1:] == (8, 8, 1)
    assert digits.train_images.max() == 255  # grey level 16
    assert set(digits.test_labels.tolist()) == set(range(10))
    assert load_dataset("digits").fingerprint == digits.fingerprint


@pytest.mark.parametrize("seed", [0, 1])
def test_split_is_stratified_disjoint_and_fixed(seed: int) -> None:
    labels = np.repeat(np.arange(4), [400, 200, 100, 10])
    train, valid = split(labels, valid_fraction=0.1, seed=seed)
    assert np.bincount(labels[valid]).tolist() == [40, 20, 10, 1]
    assert sorted([*train, *valid]) == list(range(710))
    for ours, again in zip((train, valid), split(labels, valid_fraction=0.1, seed=seed), strict=True):
        np.testing.assert_array_equal(ours, again)
    other = split(labels, valid_fraction=0.1, seed=seed + 1)[1]
    assert set(other.tolist()) != set(valid.tolist())


def test_every_prefix_of_the_valid_part_is_nearly_stratified() -> None:
    labels = np.repeat(np.arange(3), [600, 300, 100])
    _, valid = split(labels, valid_fraction=0.5, seed=3)
    for n in range(1, len(valid) + 1):
        counts = np.bincount(labels[valid[:n]], minlength=3)
        assert np.all(np.abs(counts - n * np.array([0.6, 0.3, 0.1])) < 3)


def test_both_parts_of_a_split_have_every_class() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    for fraction in (0.01, 0.99):
        train, valid = split(labels, valid_fraction=fraction, seed=0)
        assert set(labels[train]) == set(labels[valid]) == {0, 1}


@pytest.mark.parametrize(("labels", "fraction"), [([0, 0, 1], 0.5), ([0, 0, 1, 1], 0.0), ([0, 0, 1, 1], 1.0), ([0, 0], float("nan"))])
def test_a_split_that_cannot_be_made(labels: list[int], fraction: float) -> None:
    with pytest.raises(DatasetError, match="accepted"):
        split(np.array(labels), valid_fraction=fraction, seed=0)


def test_a_class_of_one_image_is_named() -> None:
    with pytest.raises(DatasetError, match="class 'emu' has one image"):
        split(np.array([0, 0, 1]), valid_fraction=0.5, seed=0, classes=("cat", "emu"))
    with pytest.raises(DatasetError, match="class 1 has one image"):
        split(np.array([0, 0, 1]), valid_fraction=0.5, seed=0)


@pytest.mark.parametrize("reference", ["mnist", "mnist:/tmp", "nowhere.py", "bohb_nas.records:Trial", "digits.py"])
def test_a_reference_to_nothing(reference: str) -> None:
    with pytest.raises(DatasetError):
        load_dataset(reference)


USERS_SET = """
import numpy as np
from bohb_nas.datasets import Dataset

def load(data_dir):
    images, labels = np.zeros((4, 2, 3, 1), np.uint8), np.array([0, 1, 0, 1])
    return {expression}
"""


def _users_set(folder: Path, expression: str) -> str:
    path = folder / "my set.py"
    path.write_text(USERS_SET.replace("{expression}", expression))
    return str(path)


def test_a_users_file(tmp_path: Path) -> None:
    reference = _users_set(tmp_path, "Dataset(name='mine', classes=('a', 'b'), train_images=images, train_labels=labels, fingerprint='1')")
    found = prepare(reference)
    assert (found.name, len(found.train_labels), found.test_labels, found.classes) == ("mine", 4, None, ("a", "b"))
    assert found.image_shape == (2, 3, 1)


@pytest.mark.parametrize(
    "expression",
    [
        "None",
        "Dataset(name='x', classes=('a',), train_images=images, train_labels=labels, fingerprint='1')",
        "Dataset(name='x', classes=('a', 'b'), train_images=images.astype(float), train_labels=labels, fingerprint='1')",
        "Dataset(name='x', classes=('a', 'b'), train_images=images[0], train_labels=labels, fingerprint='1')",
        "Dataset(name='x', classes=('a', 'b'), train_images=images, train_labels=labels[1:], fingerprint='1')",
        "Dataset(name='x', classes=('a', 'b'), train_images=images, train_labels=labels + 1, fingerprint='1')",
        "Dataset(name='x', classes=('a', 'b'), train_images=images, train_labels=labels, test_images=images, fingerprint='1')",
        "Dataset(name='x', classes=('a', 'b'), train_images=images, train_labels=labels, test_images=images[:, 1:], "
        "test_labels=labels, fingerprint='1')",
    ],
)
def test_a_users_file_that_breaks_the_contract(tmp_path: Path, expression: str) -> None:
    with pytest.raises(DatasetError):
        load_dataset(_users_set(tmp_path, expression))


def _idx(path: Path, array: np.ndarray) -> None:
    """The format of LeCun's files: two zeros, the kind (8: bytes), the rank, the sizes, the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes())


def test_a_published_set_is_converted_by_a_child_process_and_read_without_torch(tmp_path: Path) -> None:
    raw = tmp_path / "odd 'folder'" / "FashionMNIST" / "raw"
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28))
    for part, n in (("train", 20), ("t10k", 10)):
        _idx(raw / f"{part}-images-idx3-ubyte", images[:n])
        _idx(raw / f"{part}-labels-idx1-ubyte", np.arange(n) % 10)
    code = (
        "import sys; from pathlib import Path; from bohb_nas.datasets import prepare\n"
        "print(prepare('fashion_mnist', data_dir=Path(sys.argv[1])).image_shape, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "odd 'folder'")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(28, 28, 1) False"
    loaded = load_dataset("fashion_mnist", data_dir=tmp_path / "odd 'folder'")
    np.testing.assert_array_equal(loaded.train_images[..., 0], images[:20])
    assert loaded.classes[0] == "T-shirt/top"
    assert loaded.test_labels is not None
    assert loaded.test_labels.tolist() == list(range(10))


@pytest.mark.parametrize(("name", "file"), [("cifar10", "cifar-10-python.tar.gz"), ("svhn", "train_32x32.mat")])
def test_without_a_network_the_file_to_fetch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str) -> None:
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nothing listens there: what a machine without network sees
    with pytest.raises(DatasetError, match=file) as refused:
        prepare(name, data_dir=tmp_path / "data")
    assert str(tmp_path / "data") in str(refused.value)
    assert not [p for p in (tmp_path / "cache" / "datasets").iterdir() if p.is_dir()]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BOHB_NAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match="BOHB_NAS_CACHE"):
        load_dataset("cifar10")


def test_only_writes_into_the_cache_are_blamed_on_it() -> None:
    def read(_: Path) -> None:
        Path("/nowhere/source.bin").read_bytes()

    with pytest.raises(FileNotFoundError, match=r"source\.bin"):
        cached("a", read)
    with pytest.raises(DatasetError, match="BOHB_NAS_CACHE"):
        cached("b", lambda folder: save(folder / "absent", load_dataset("digits")))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_published_cifar_files_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    class Published:
        classes = ("a", "b")

        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            assert (root, download) == (tmp_path, True)
            self.targets = [0, 1, 1] if train else [1, 0]
            self.data = np.full((len(self.targets), 32, 32, 3), int(train), np.uint8)

    monkeypatch.setattr(f"torchvision.datasets.{name.upper()}", Published)
    data = importlib.import_module(f"bohb_nas.datasets.{name}").convert(tmp_path)
    assert (data.name, data.classes, data.train_labels.tolist()) == (name, ("a", "b"), [0, 1, 1])
    assert data.test_labels.tolist() == [1, 0]
    assert (data.train_images.min(), data.test_images.max()) == (1, 0)


def test_the_record_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load_dataset("digits").name = "other"  # type: ignore[misc]
    assert Dataset.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_who_has_no_home_is_told_how_to_name_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under the number of a user whom it does not know."""

    def unknown(number: int) -> object:
        raise KeyError(number)

    monkeypatch.delenv("BOHB_NAS_CACHE")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(DatasetError, match="BOHB_NAS_CACHE"):
        cached("key", lambda folder: None)
