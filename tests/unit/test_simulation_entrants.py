"""Methods with options, and the fingerprints that tell old code from new."""

from pathlib import Path

import pytest

from bohb_nas.errors import OptionError, RefError, UsageError
from bohb_nas.simulation.code import fingerprint
from bohb_nas.simulation.entrants import entrants, setting

MINE = '''"""A method."""

from dataclasses import dataclass

from bohb_nas.methods.random_search import make as make_random

VERSION = "1.2.3"


@dataclass(frozen=True, kw_only=True)
class Options:
    """One option."""

    n_brackets: int = 0


def make(*, space, budgets, seed, n_workers, options):
    """Random search."""
    return make_random(space=space, budgets=budgets, seed=seed, n_workers=n_workers, options=options)
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_labels_are_names_or_stems_and_options(mine: Path) -> None:
    found = entrants(["hyperband", "hyperband[n_brackets=2]", str(mine), "bohb_2018[random_fraction=0.5,n_brackets=null]"])
    assert [e.label for e in found] == ["hyperband", "hyperband[n_brackets=2]", "mine", "bohb_2018[n_brackets=null,random_fraction=0.5]"]
    assert [e.version for e in found] == [None, None, "1.2.3", None]
    assert found[3].options == {"random_fraction": 0.5, "n_brackets": None}
    assert found[2].reference == str(mine)


def test_an_option_goes_to_the_methods_that_know_it(mine: Path) -> None:
    found = entrants(["random_search", "hyperband", str(mine)], [setting("n_brackets=3")])
    assert [e.options for e in found] == [{}, {"n_brackets": 3}, {"n_brackets": 3}]


@pytest.mark.parametrize("method", ["mine", "path"])
def test_an_option_can_be_for_one_method(mine: Path, method: str) -> None:
    found = entrants(["hyperband", str(mine)], [setting(f"{mine if method == 'path' else method}:n_brackets=3")])
    assert [e.options for e in found] == [{}, {"n_brackets": 3}]


@pytest.mark.parametrize("text", ["n_brackets", "=3", "1x=3", "mine:=3", ":n_brackets=3"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="NAME=VALUE"):
        setting(text)


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "NaN", "-Infinity", "1e999", "[NaN]"])
def test_a_value_that_no_record_can_hold_is_refused(value: str) -> None:
    with pytest.raises(OptionError, match=rf"{value.strip('[]')[:5]}.* is no number to search with; accepted are finite numbers"):
        setting(f"n_brackets={value}")


@pytest.mark.parametrize(
    ("methods", "settings", "message"),
    [
        (["hyperband"], ["eta=3"], "'eta'.*hyperband: n_brackets"),
        (["hyperband", "bohb_2018"], ["asha:n_brackets=3"], "asha does not take it"),
        (["hyperband[eta=3]"], [], "no option 'eta'; accepted are n_brackets"),
        (["hyperband[n_brackets=0]"], [], "n_brackets is 0"),
        (["hyperband[n_brackets=1"], [], "METHOD\\[NAME=VALUE"),
        (["hyperband[bohb:n_brackets=1]"], [], "accepted is METHOD or METHOD\\[NAME=VALUE"),
    ],
)
def test_options_that_nobody_takes_are_refused(methods: list[str], settings: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        entrants(methods, [setting(text) for text in settings])


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(RefError, match="unknown method 'nothing'"):
        entrants(["nothing"])


def test_two_of_the_same_label_are_refused() -> None:
    with pytest.raises(UsageError, match="'hyperband' is given twice"):
        entrants(["hyperband", "hyperband"])


def test_a_method_may_be_an_object_of_an_installed_module(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(mine.parent)
    both = "from types import SimpleNamespace\n\nfrom mine import Options, make\n\nOBJECT = SimpleNamespace(Options=Options, make=make)\n"
    (mine.parent / "holder.py").write_text(both + "import mine\n")
    found = entrants(["holder:OBJECT", "holder:mine", str(mine)])
    assert [e.label for e in found] == ["holder:OBJECT", "holder:mine", "mine"]
    assert found[0].code == fingerprint(mine.parent / "holder.py", within=("methods", "samplers", "hyperband", "space"))
    assert found[1].code == found[2].code, "where the attribute is a module, that is the method's"


def test_a_fingerprint_follows_relative_imports(tmp_path: Path) -> None:
    prints = []
    for n, (text, place) in enumerate(
        ((text, place) for place in ("x.py", "x/__init__.py") for text in (CODE, CODE.replace("1", "2"))), start=1
    ):
        source = tmp_path / f"{n}/pack/methods/mine.py"
        source.parent.mkdir(parents=True)
        source.write_text("from ..x import f\nfrom . import beside\nfrom .. import above\nfrom .far.away import g\n")
        target = tmp_path / f"{n}/pack/{place}"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
        prints.append(fingerprint(source, within=()))
    assert prints[0] == prints[2] != prints[1] == prints[3]
    base = prints[0]
    source = tmp_path / "1/pack/methods/mine.py"
    for added in ("methods/beside.py", "above.py", "methods/far/away.py"):
        (tmp_path / "1/pack" / added).parent.mkdir(exist_ok=True)
        (tmp_path / "1/pack" / added).write_text(CODE.replace("1", str(len(added))))
        assert fingerprint(source, within=()) != base, added
        base = fingerprint(source, within=())


CODE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""A docstring."""\n\ndef f(x):\n    """Another."""\n    return (x +\n            1)  # why\n', True),
        ("def f(x):\n    return x + 2\n", False),
    ],
)
def test_a_fingerprint_sees_code_and_nothing_else(tmp_path: Path, text: str, *, same: bool) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text(CODE)
    other.write_text(text)
    assert (fingerprint(one, within=()) == fingerprint(other, within=())) is same


def test_a_fingerprint_sees_files_beside_it_that_are_imported(tmp_path: Path) -> None:
    prints = []
    for name, beside in (("a", CODE), ("b", CODE), ("c", CODE.replace("1", "2"))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text("import json\nfrom beside import f\n")
        (folder / "beside.py").write_text(beside)
        prints.append(fingerprint(folder / "main.py", within=()))
    assert prints[0] == prints[1] != prints[2]


def test_a_fingerprint_follows_the_packages_own_modules_as_far_as_they_count(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("from bohb_nas.samplers import uniform\n")
    empty = tmp_path / "empty.py"
    empty.write_text("")
    without, with_samplers, with_space = (fingerprint(source, within=w) for w in ((), ("samplers",), ("samplers", "space")))
    assert len({without, with_samplers, with_space, fingerprint(empty, within=())}) == 4
