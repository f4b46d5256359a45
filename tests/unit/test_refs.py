import os
import sys
from pathlib import Path

import pytest

from bohb_nas import refs
from bohb_nas.errors import RefError
from bohb_nas.refs import load_module, names


def test_catalogues_list_their_files_and_no_helpers() -> None:
    assert names("space") == ["cell", "joint", "mobile", "toy", "wrn", "zela2018"]
    assert names("network") == ["cell", "mobile", "multi_branch", "wrn", "zela2018"]
    assert names("method") == ["asha", "autohas", "bohb", "bohb_2018", "dha", "hyperband", "random_search"]
    assert names("worker") == ["command", "image_classifier", "one_shot", "toy"]
    assert names("dataset") == ["cifar10", "cifar100", "digits", "fashion_mnist", "image_folder", "svhn"]


def test_a_users_file_is_executed_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class Options: ...\n")
    first = load_module("method", str(path))
    assert load_module("worker", str(path)) is first
    path.write_text("class Options: ...\nchanged = True\n")
    os.utime(path, (1, 1))
    assert load_module("method", str(path)).changed


def test_a_file_of_the_same_second_and_length_is_another_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytecode would be that of the first, by what it keeps of its file."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (file := tmp_path / "mine.py").write_text("value = 1\n")
    os.utime(file, ns=(0, 5 * 10**9))
    assert load_module("worker", str(file)).value == 1
    file.write_text("value = 2\n")
    os.utime(file, ns=(0, 5 * 10**9 + 1))
    assert load_module("worker", str(file)).value == 2
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_finds_its_neighbours_before_those_of_the_current_directory_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    here, there, name = tmp_path / "here", tmp_path / "there", f"neighbour_{tmp_path.name}"
    for folder in (here, there):
        folder.mkdir()
        (folder / f"{name}.py").write_text(f"PLACE = {folder.name!r}\n")
        (folder / "json.py").write_text("raise SystemExit('this is of the user')\n")
    (there / "mine.py").write_text(f"import json\nfrom {name} import PLACE\n")
    monkeypatch.chdir(here)
    before = list(sys.path)
    for kind in ("space", "worker"):
        assert load_module(kind, "../there/mine.py").PLACE == "there"
    assert [path for path in sys.path if path not in before] == [str(there), str(here)], "each once"


def test_every_file_finds_its_neighbours_before_those_of_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    here, name = tmp_path / "here", f"neighbour_{tmp_path.name}"
    here.mkdir()
    monkeypatch.chdir(here)
    for number in (1, 2):
        folder = tmp_path / f"folder {number}"
        folder.mkdir()
        for place in (here, folder):
            (place / f"{name}_{number}.py").write_text(f"origin = {place.name!r}\n")
        (folder / "mine.py").write_text(f"from {name}_{number} import origin\n")
        assert load_module("space", str(folder / "mine.py")).origin == f"folder {number}"


@pytest.mark.parametrize("early", [True, False])
def test_a_files_folder_comes_behind_what_is_installed_wherever_else_the_current_directory_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    """First, put there by who started Python or by a file with `sys.path.insert(0, …)`."""
    installed = list(sys.path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *installed] if early else [*installed])
    monkeypatch.setattr(refs, "_starts", set())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other.py").write_text("")
    load_module("space", "mine.py")
    load_module("worker", "folder/other.py")
    assert sys.path.index(str(tmp_path / "folder")) > max(map(sys.path.index, installed))


def test_an_attribute_is_that_of_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    first, copy, name = tmp_path / "first", tmp_path / "copy", f"module_{tmp_path.name}"
    for folder in (copy, first):
        folder.mkdir()
        (folder / f"{name}.py").write_text(f"PLACE = {folder.name!r}\n")
    (copy / f"{name}_more.py").write_text("PLACE = 'copy'\n")
    monkeypatch.chdir(copy)
    with pytest.raises(RefError, match=rf"accepted is module:attribute of an installed module or of one in {first}$"):
        load_module("method", f"{name}_more:PLACE", start=str(first))
    load_module("space", f"{name}_more:PLACE")  # so that the current directory is in the path already
    assert load_module("method", f"{name}:PLACE", start=str(first)) == "first"


def test_a_program_that_is_imported_is_told_where_its_end_belongs(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('lr')\nparser.parse_args([])\n")
    guarded = r"train\.py' cannot be imported: SystemExit: 2; what it does as a program belongs under if __name__ == '__main__':$"
    with pytest.raises(RefError, match=guarded):
        load_module("space", str(path))
    path.write_text("raise ValueError('today')\n")
    with pytest.raises(RefError, match=r"train\.py' cannot be imported: ValueError: today$"):
        load_module("space", str(path))


def test_an_attribute_of_an_installed_module() -> None:
    assert load_module("space", "bohb_nas.search_spaces.toy:space").__name__ == "space"
    with pytest.raises(RefError, match="cannot be found"):
        load_module("space", "bohb_nas.search_spaces.toy:nothing")
    with pytest.raises(RefError, match="cannot be found"):
        load_module("space", "no.such.module:space")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no licence')\n", "cannot be imported: RuntimeError: no licence$"),
        ("def make(:\n", "cannot be imported: SyntaxError: "),
        ("import sys\nsys.exit(3)\n", "cannot be imported: SystemExit: 3; what it does as a program belongs under"),
    ],
)
def test_a_module_that_fails_while_it_is_imported_is_named(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"fails_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RefError, match=rf"^worker '{name}:make' {said}"):
        load_module("worker", f"{name}:make")


def test_a_relative_module_is_none() -> None:
    with pytest.raises(RefError, match=r"^worker '\.foo:bar' cannot be imported: TypeError: "):
        load_module("worker", ".foo:bar")


@pytest.mark.parametrize("name", ["../secret", "_multi_branch", "__init__", "", "joint2"])
def test_what_is_not_in_the_catalogue_is_refused(name: str) -> None:
    with pytest.raises(RefError, match="known: cell, joint, mobile, toy, wrn, zela2018"):
        load_module("space", name)
