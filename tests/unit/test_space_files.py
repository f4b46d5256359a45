import subprocess
import sys
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace, Float, ForbiddenGreaterThanRelation, ForbiddenLessThanRelation, Normal

from bohb_nas.errors import RefError, SpaceError
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import check_sampled, load_space, space_from_json, space_to_json

SPACE = {"lr": (1e-4, 1.0), "act": ["relu", "gelu"]}

FILE = """
from ConfigSpace import ConfigurationSpace, Float, ForbiddenGreaterThanRelation, ForbiddenLessThanRelation, Normal

def space():
    return ConfigurationSpace({"lr": (1e-4, 1.0), "act": ["relu", "gelu"]})
"""


def python_file(folder: Path, body: str) -> str:
    path = folder / "my space.py"
    path.write_text("from ConfigSpace import *\n\ndef space():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    return str(path)


def test_python_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    assert load_space(str(path)) == ConfigurationSpace(SPACE)


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml"])
def test_configspace_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"space.{suffix}"
    space = ConfigurationSpace(SPACE)
    space.to_json(path) if suffix == "json" else space.to_yaml(path)
    assert load_space(str(path)) == space


def test_attribute_is_a_space_or_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spaces_of_mine.py").write_text(FILE + "\nready = space()\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_space("spaces_of_mine:space") == load_space("spaces_of_mine:ready") == ConfigurationSpace(SPACE)


def test_frozen_space_comes_back_equal() -> None:
    space = ConfigurationSpace(SPACE)
    assert space_from_json(space_to_json(space)) == space


@pytest.mark.parametrize(
    "body",
    [
        "s = ConfigurationSpace({'x': (0.0, 1.0)}); s.add(Categorical('n', 2 ** np.arange(4, 8)))",
        "s = ConfigurationSpace({'x': (0.0, 1.0)}); s.add(Categorical('n', [16, 32], default=np.int64(32)))",
        "s = ConfigurationSpace({'x': (0.0, 1.0)}); s.add(Categorical('n', [np.True_, np.False_]))",
        "s = ConfigurationSpace({'x': (0.0, 1.0)}); s.add(OrdinalHyperparameter('n', list(np.array([1, 2, 4]))))",
        "s = ConfigurationSpace({'x': (0.0, 1.0)}); s.add(Constant('n', np.int64(3)))",
        "s = ConfigurationSpace({'n': [16, 32], 'x': (0.0, 1.0)}); s.add(EqualsCondition(s['x'], s['n'], np.int64(32)))",
        "s = ConfigurationSpace({'n': [16, 32], 'x': (0.0, 1.0)}); s.add(ForbiddenEqualsClause(s['n'], np.int64(32)))",
        "s = ConfigurationSpace({'n': [16, 32, 64], 'x': (0.0, 1.0)}); s.add(ForbiddenInClause(s['n'], list(np.array([32, 64]))))",
    ],
)
def test_values_of_numpy_are_frozen_as_what_they_are_worth(tmp_path: Path, body: str) -> None:
    space = load_space(python_file(tmp_path, f"import numpy as np\n{body}\nreturn s"))
    again = space_from_json(space_to_json(space))
    assert again == space
    assert space_to_json(again) == space_to_json(space)
    samples = [Encoding(space).sample(seed) for seed in range(20)]
    assert samples == [Encoding(again).sample(seed) for seed in range(20)]
    assert all(type(value) in (bool, int, float) for sample in samples for value in sample.values())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "type int"),
        ("return ConfigurationSpace()", "leaves nothing to search"),
        ("return ConfigurationSpace({'k': 3})", "leaves nothing to search.*'k'"),
        ("return ConfigurationSpace({'c': ['only']})", "leaves nothing to search.*'c'"),
        ("return ConfigurationSpace({'c': [1, None]})", "c has the value None; accepted are "),
        ("return ConfigurationSpace({'x': (0.0, 1.0), 'clip': [1.0, 5.0, float('inf')]})", "clip has the value inf; accepted are finite"),
        ("return ConfigurationSpace({'x': (0.0, 1.0), 'clip': float('-inf')})", "clip has the value -inf; accepted are finite"),
        ("return ConfigurationSpace([Float('x', (0, 1)), OrdinalHyperparameter('n', [1, 10**400])])", r"n has the value 10+\.\.\.0+;"),
        (
            "return ConfigurationSpace([Float('x', (0, 1)), Categorical('n', [1, 10**30 + 1])])",
            "n has the value 1000000000000000000000000000001;",
        ),
        ("return ConfigurationSpace({'x': (0.0, 1.0), 'word': ['\\ud800', 'b']})", r"word has the value '\\ud800'; .* texts in UTF-8"),
        ("return ConfigurationSpace([Float('x', (0, 1)), Constant('k', None)])", "k has the value None; accepted are "),
        ("raise KeyError('depth')", "KeyError.*depth"),
        (
            "s = ConfigurationSpace({'a': [1, 2]})\ns.add(ForbiddenInClause(s['a'], [1, 2]))\nreturn s",
            "a.*change a default value or remove a clause",
        ),
        (
            "s = ConfigurationSpace({'a': (0.0, 1.0), 'b': (0.0, 1.0)})\n"
            "s.add(ForbiddenLessThanRelation(s['a'], s['b']), ForbiddenGreaterThanRelation(s['a'], s['b']))\nreturn s",
            "random configurations are all forbidden",
        ),
        (  # uniform draws would find what is allowed, the space's own do not
            "s = ConfigurationSpace([Float('lo', (0, 1), distribution=Normal(0.8, 0.02), default=0.1),\n"
            "    Float('hi', (0, 1), distribution=Normal(0.2, 0.02), default=0.9)])\n"
            "s.add(ForbiddenGreaterThanRelation(s['lo'], s['hi']))\nreturn s",
            "random configurations are all forbidden",
        ),
        (
            "s = ConfigurationSpace([Float('x', (0, 1)), Categorical('a', ['x', 'y'], weights=[1, 0], default='y')])\n"
            "s.add(ForbiddenEqualsClause(s['a'], 'x'))\nreturn s",
            "random configurations are all forbidden",
        ),
        ("return ConfigurationSpace([Float('x', (0, 1)), Integer('seed', (-2**62, 2**62))])", "seed is .*accepted are ranges from -2"),
    ],
)
def test_spaces_that_cannot_be_searched(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as raised:
        load_space(python_file(tmp_path, body))
    assert "my space.py" in str(raised.value)


def test_clauses_that_the_spaces_own_distribution_mostly_keeps_are_accepted() -> None:
    """Eight rising thresholds: of independent uniform numbers one row in 8! rises."""
    space = ConfigurationSpace()
    space.add([Float(f"t{i}", (0, 1), distribution=Normal((i + 0.5) / 8, 0.02)) for i in range(8)])
    space.add([ForbiddenGreaterThanRelation(space[f"t{i}"], space[f"t{i + 1}"]) for i in range(7)])
    assert check_sampled(space, name="thresholds") is space


def test_a_study_reads_its_own_space_again_however_rarely_its_draws_keep_the_clauses() -> None:
    """It has been searched: by an earlier version, perhaps, which asked less of it."""
    space = ConfigurationSpace()
    x = Float("x", (0, 10), distribution=Normal(1.0, 0.1), default=9.0)
    y = Float("y", (0, 10), distribution=Normal(9.0, 0.1), default=1.0)
    space.add(x, y)
    space.add(ForbiddenLessThanRelation(space["x"], space["y"]))
    with pytest.raises(SpaceError, match="2000 random configurations"):
        check_sampled(space, name="mine")
    assert space_from_json(space_to_json(space)) == space


def test_whole_numbers_that_every_reader_takes_are_choices() -> None:
    space = ConfigurationSpace({"n": [-(2**63), 2**64 - 1, 2**80, 1.5]})
    assert space_from_json(space_to_json(space)) == space


def test_file_without_the_function(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("SPACE = 1\n")
    with pytest.raises(SpaceError, match="no function space"):
        load_space(str(path))


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.json", "[]"), ("a.yaml", "{: :"), ("a.yaml", "3")])
def test_unparseable_file(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SpaceError, match=r"(?s)(cannot be built|holds (a list|3);).*accepted is"):
        load_space(str(path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="FileNotFoundError"):
        load_space(str(tmp_path / "none.json"))
    with pytest.raises(RefError, match="does not exist"):
        load_space(str(tmp_path / "none.py"))


def test_the_package_and_its_references_load_no_configspace() -> None:
    code = "import sys, bohb_nas.refs, bohb_nas.methods; bohb_nas.Trial; print({'ConfigSpace', 'numpy', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
