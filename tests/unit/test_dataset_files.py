"""Data sets from a user's FILE.py that are not what they have to be."""

from pathlib import Path

import pytest

from bohb_nas.datasets import prepare
from bohb_nas.errors import DatasetError

FILE = """
import numpy as np
from bohb_nas.datasets import Dataset

def load(data_dir):
    images = np.zeros((40, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(40) % 2
    classes, fingerprint = ("even", "odd"), "40 black images"
    {change}
    return Dataset(name="mine", classes=classes, train_images=images, train_labels=labels, fingerprint=fingerprint)
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("classes = (*classes, 'both'); labels = labels * 2", r"no training image of 'odd' \(1 of 3 classes\).*leave the classes out"),
        ("labels = labels - 1", r"train_labels reach from -1 to 0; accepted are 0 to 1.*np\.unique"),
        ("labels = labels + 1", r"train_labels reach from 1 to 2; accepted are 0 to 1"),
        ("labels = labels.astype(float)", r"float64\[40\]; accepted is int64\[40\]"),
        ("labels = labels * np.nan", r"float64\[40\]; accepted is int64\[40\]"),
        ("labels = labels[:-1]", r"int64\[39\]; accepted is int64\[40\]"),
        ("labels = labels.tolist()", r"list; accepted is int64\[40\]"),
        ("labels[0] = 1; labels[1:] = 0", r"one training image only of 'odd' \(1 of 2 classes\)"),
        ("images = images / 255", r"float64\[40, 8, 8, 1\]; accepted is uint8"),
        ("images = images[..., 0]", r"uint8\[40, 8, 8\]; accepted is uint8\[N, H, W, C\]"),
        ("images = images.transpose(0, 3, 1, 2)", r"looks like \[N, C, H, W\].*transpose\(0, 2, 3, 1\)"),
        ("images, labels = images[:0], labels[:0]", r"uint8\[0, 8, 8, 1\]; accepted is .* none of them 0"),
        ("classes = (0, 1)", r"classes are \(0, 1\); accepted is a tuple of names"),
        ("classes = ('a', 'a')", r"no two alike"),
        ("classes = 'ab'", r"classes are 'ab'"),
        ("fingerprint = None", r"fingerprint is None; accepted is a text"),
        ("return None", r"returned NoneType; accepted is a bohb_nas\.datasets\.Dataset"),
        ("raise KeyError('shelf')", r"load of data set 'mine\.py' fails: KeyError: 'shelf'; correct it"),
        ("raise SystemExit(3)", r"load of data set 'mine\.py' fails: SystemExit: 3"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE.format(change=change))
    with pytest.raises(DatasetError, match=said):
        prepare("mine.py")


def test_what_fits_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE.format(change="pass"))
    assert prepare("mine.py").image_shape == (8, 8, 1)
