"""The images of `recipes.py` as a data set reference: arrays in a folder, mapped, so that every process has them in a second."""

import json
from pathlib import Path

import numpy as np

from bohb_nas.datasets import Dataset, load_dataset
from bohb_nas.errors import DatasetError
from bohb_nas.files import write_atomic

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def load(data_dir: Path | None) -> Dataset:
    """The data set that `keep_folder` or `keep_npz` left in `data_dir`.

    Raises:
        DatasetError: there is none.
    """
    try:
        folder = Path(data_dir or ".")
        facts = json.loads((folder / "facts.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in _ARRAYS}
    except (OSError, ValueError) as e:
        raise DatasetError(f"no arrays in {data_dir}: {e}; bench/recipes.py writes them") from e
    return Dataset(name=facts["name"], classes=tuple(facts["classes"]), fingerprint=facts["fingerprint"], **arrays)


def keep_folder(images: Path, folder: Path) -> None:
    """Writes the arrays of an image folder, decoded by the tool's own reader."""
    found = load_dataset(f"image_folder:{images}")
    if found.test_images is None:
        raise DatasetError(f"{images} has no test folder; accepted are train/CLASS/IMAGE and test/CLASS/IMAGE")
    _keep(folder, {name: getattr(found, name) for name in _ARRAYS}, found.classes, f"{images.name} (image folder)")


def keep_npz(path: Path, folder: Path) -> None:
    """Writes the arrays of a .npz with train_images uint8 [N, 32, 32, 3], train_labels int64 [N], and the same for test."""
    with np.load(path, allow_pickle=False) as stored:
        if missing := [name for name in _ARRAYS if name not in stored]:
            raise DatasetError(f"{path} lacks {', '.join(missing)}; accepted are {', '.join(_ARRAYS)}")
        arrays = {name: stored[name] for name in _ARRAYS}
    arrays |= {name: arrays[name].astype(np.int64) for name in ("train_labels", "test_labels")}
    _keep(folder, arrays, tuple(str(label) for label in range(int(arrays["train_labels"].max()) + 1)), path.name)


def _keep(folder: Path, arrays: dict[str, np.ndarray], classes: tuple[str, ...], name: str) -> None:
    from bohb_nas.datasets._dataset import fingerprint

    folder.mkdir(parents=True, exist_ok=True)
    for array_name, array in arrays.items():
        np.save(folder / f"{array_name}.npy", array, allow_pickle=False)
    identity = fingerprint(classes, *arrays.values())
    write_atomic(folder / "facts.json", json.dumps({"name": name, "classes": classes, "fingerprint": identity}))
