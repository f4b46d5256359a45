from collections.abc import Mapping

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    GreaterThanCondition,
    Integer,
    NotEqualsCondition,
    OrdinalHyperparameter,
)
from ConfigSpace.configuration import Configuration
from ConfigSpace.exceptions import ForbiddenValueError

from bohb_nas.errors import SpaceError
from bohb_nas.records import Value
from bohb_nas.space.encoding import Encoding


def mixed_space() -> ConfigurationSpace:
    """Every kind of hyperparameter, a chain of conditions, and a forbidden pair."""
    space = ConfigurationSpace()
    optimizer = Categorical("optimizer", ["sgd", "adam", "none"], default="sgd")
    momentum = Float("momentum", (0.0, 0.9))
    nesterov = Categorical("nesterov", [True, False], default=False)
    size = OrdinalHyperparameter("size", ["s", "m", "l", "xl"])
    layers = Integer("layers", (1, 5), default=2)
    width = Integer("width", (8, 512), log=True)
    space.add(
        optimizer,
        momentum,
        nesterov,
        size,
        layers,
        width,
        Float("lr", (1e-4, 1.0), log=True),
        Constant("epochs", 3),
        Categorical("only", ["x"]),
        Categorical("power", [1, 2.5]),
    )
    space.add(
        EqualsCondition(momentum, optimizer, "sgd"),
        GreaterThanCondition(nesterov, momentum, 0.45),
        GreaterThanCondition(width, layers, 2),
    )
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(size, "xl"), ForbiddenEqualsClause(layers, 5)))
    return space


def row_of(encoding: Encoding, **entries: float) -> np.ndarray:
    row = np.full(len(encoding.names), 0.5)
    row[encoding.levels > 0] = 0
    for name, entry in entries.items():
        row[encoding.names.index(name)] = entry
    return row


def test_levels_come_from_the_space() -> None:
    encoding = Encoding(mixed_space())
    assert dict(zip(encoding.names, encoding.levels.tolist(), strict=True)) == {
        "lr": 0,
        "momentum": 0,
        "layers": 0,
        "width": 0,
        "size": 0,
        "optimizer": 3,
        "nesterov": 2,
        "power": 2,
    }


def test_entries_by_hand() -> None:
    encoding = Encoding(mixed_space())
    config: dict[str, Value] = {"optimizer": "adam", "size": "m", "layers": 2, "lr": 1e-2, "epochs": 3, "only": "x", "power": 2.5}
    row = dict(zip(encoding.names, encoding.encode([config])[0], strict=True))
    assert row["optimizer"] == 1
    assert row["power"] == 1
    assert row["size"] == 1.5 / 4
    assert row["lr"] == pytest.approx(0.5)  # 1e-2 is half way from 1e-4 to 1 on the log scale
    assert np.isnan([row["momentum"], row["nesterov"], row["width"]]).all()


def test_numbers_are_where_configspace_puts_them() -> None:
    space = mixed_space()
    encoding = Encoding(space)
    space.seed(1)
    for sampled in space.sample_configuration(50):
        vector = dict(zip(space, sampled.get_array(), strict=True))
        config = {name: value.item() if isinstance(value, np.generic) else value for name, value in sampled.items()}
        row = encoding.encode([config])[0]
        for name, entry in zip(encoding.names, row, strict=True):
            expected = (vector[name] + 0.5) / 4 if name == "size" else vector[name]
            assert entry == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_decoding_what_was_encoded_gives_it_back() -> None:
    encoding = Encoding(mixed_space())
    for seed in range(200):
        config = encoding.sample(seed)
        back = encoding.decode(encoding.encode([config])[0])
        assert back.keys() == config.keys()
        for name, value in config.items():
            assert back[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
            assert type(back[name]) is type(value)


def test_any_row_decodes_to_what_configspace_accepts_in_plain_values() -> None:
    space = mixed_space()
    encoding = Encoding(space)
    rng = np.random.default_rng(0)
    n_forbidden = 0
    for _ in range(200):
        row = np.where(encoding.levels > 0, rng.integers(np.maximum(encoding.levels, 1)), rng.random(len(encoding.names)))
        try:
            config = encoding.decode(row)
        except ForbiddenValueError:
            n_forbidden += 1
            continue
        Configuration(space, values=config)
        assert {type(value) for value in config.values()} <= {bool, int, float, str}
        assert config["epochs"] == 3
    assert 0 < n_forbidden < 40  # one row of 4 x 5 is expected to be forbidden


def test_inactive_children_are_dropped_along_the_chain() -> None:
    encoding = Encoding(mixed_space())
    assert encoding.decode(row_of(encoding, optimizer=0, momentum=0.9)).keys() >= {"momentum", "nesterov"}
    assert "nesterov" not in encoding.decode(row_of(encoding, optimizer=0, momentum=0.1))
    assert not encoding.decode(row_of(encoding, optimizer=1, momentum=0.9)).keys() & {"momentum", "nesterov"}


def test_forbidden_row_raises() -> None:
    encoding = Encoding(mixed_space())
    with pytest.raises(ForbiddenValueError):
        encoding.decode(row_of(encoding, size=0.99, layers=0.99))


def test_a_clause_sees_what_is_inactive_too_where_it_is_asked() -> None:
    space = mixed_space()
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(space["nesterov"], True), ForbiddenEqualsClause(space["epochs"], 3)))
    encoding = Encoding(space)
    inactive = row_of(encoding, optimizer=1, nesterov=0)  # the first of its choices is True
    assert "nesterov" not in encoding.decode(inactive)
    assert encoding.forbidden(inactive)
    assert not encoding.forbidden(row_of(encoding, optimizer=1, nesterov=1))
    assert encoding.forbidden(row_of(encoding, nesterov=1, size=0.75, layers=0.9)), "xl and 5 begin at 3/4 and 4/5"
    assert not encoding.forbidden(row_of(encoding, nesterov=1, size=0.74, layers=0.9))
    assert not Encoding(ConfigurationSpace({"x": (0.0, 1.0)})).forbidden(np.array([0.5]))


def test_ends_of_the_unit_interval_stay_in_the_range() -> None:
    encoding = Encoding(mixed_space())
    low = encoding.decode(row_of(encoding, lr=0, layers=0, size=0))
    high = encoding.decode(row_of(encoding, lr=1, layers=1, size=0.6, width=1))
    assert (low["lr"], low["layers"], low["size"]) == (1e-4, 1, "s")
    assert (high["lr"], high["layers"], high["size"], high["width"]) == (1.0, 5, "l", 512)


@pytest.mark.parametrize(("lower", "upper"), [(1e9, 1e9 + 1e-3), (-1e15 - 64, -1e15)])
def test_a_range_that_is_narrow_beside_its_values_keeps_its_values_apart(lower: float, upper: float) -> None:
    """13 digits are 1e-4 apart at 1e9, and 100 at 1e15."""
    encoding = Encoding(ConfigurationSpace({"x": (lower, upper)}))
    configs = [encoding.decode(np.array([(i + 0.5) / 100])) for i in range(100)]
    assert len({config["x"] for config in configs}) == 100
    assert all(lower <= float(config["x"]) <= upper for config in configs)
    assert [encoding.decode(encoding.encode([config])[0]) for config in configs] == configs


def test_sampling_depends_on_the_seed_only_and_leaves_the_space_alone() -> None:
    space = mixed_space()
    space.seed(5)
    expected = dict(space.sample_configuration())
    space.seed(5)
    encoding = Encoding(space)
    first = encoding.sample(3)
    assert encoding.sample(4) != first
    assert encoding.sample(3) == first
    assert dict(space.sample_configuration()) == expected


def forgetful_space() -> ConfigurationSpace:
    """ConfigSpace's draws leave `d` out where `b` is inactive, and its check calls them invalid: nothing is unequal to something."""
    space = ConfigurationSpace()
    a, b = Categorical("a", ["x", "y"]), Categorical("b", ["x", "y"])
    d, e = Categorical("d", ["x", "y"]), Float("e", (0.5, 1.0))
    root = Categorical("root", ["x", "y"])
    space.add(root, a, b, d, e)
    space.add(EqualsCondition(a, root, "x"), EqualsCondition(b, a, "x"), EqualsCondition(e, d, "y"))
    space.add(AndConjunction(NotEqualsCondition(d, b, "x"), EqualsCondition(d, root, "x")))
    return space


def test_what_configspace_forgets_to_draw_is_drawn() -> None:
    space = forgetful_space()
    encoding = Encoding(space)
    configs = [encoding.sample(seed) for seed in range(300)]
    for config in configs:
        Configuration(space, values=config)
    without_b = [config for config in configs if config.get("a") == "y"]
    assert {config["d"] for config in without_b} == {"x", "y"}
    values = [config["e"] for config in without_b if config["d"] == "y"]
    assert len(values) == len(set(values)) > 10
    assert configs == [encoding.sample(seed) for seed in range(300)]


def test_what_is_drawn_in_its_place_keeps_to_forbidden_clauses() -> None:
    space, free = forgetful_space(), Encoding(forgetful_space())
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(space["a"], "y"), ForbiddenEqualsClause(space["d"], "y")))
    encoding = Encoding(space)
    configs = [encoding.sample(seed) for seed in range(300)]
    forbidden = [config.get("a") == "y" and config["d"] == "y" for config in map(free.sample, range(300))]
    assert sum(forbidden) > 10, "else nothing is tried here"
    assert {config["d"] for config in configs if config.get("a") == "y"} == {"x"}
    kept = [seed for seed in range(300) if not forbidden[seed]]
    assert [configs[seed] for seed in kept] == [free.sample(seed) for seed in kept], "whatever is allowed stays as it was"
    assert configs == [encoding.sample(seed) for seed in range(300)]


def test_a_space_whose_draws_are_all_forbidden_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    space = forgetful_space()
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(space["a"], "y"), ForbiddenEqualsClause(space["d"], "y")))
    monkeypatch.setattr("bohb_nas.space.encoding._MOST_DRAWS", 1)
    encoding = Encoding(space)
    said = [str(e) for seed in range(300) if (e := refusal(encoding, seed)) is not None]
    assert len(said) > 10
    assert all("forbidden clauses forbid each; forbid less" in text for text in said)


def refusal(encoding: Encoding, seed: int) -> SpaceError | None:
    try:
        encoding.sample(seed)
    except SpaceError as e:
        return e
    return None


@pytest.mark.parametrize(
    ("config", "named"),
    [({"optimizer": "rmsprop"}, "rmsprop"), ({"layers": 9}, "layers"), ({"lr": "high"}, "lr"), ({"depth": 3}, "depth")],
)
def test_foreign_values_are_named(config: Mapping[str, int | str], named: str) -> None:
    with pytest.raises(SpaceError, match=named):
        Encoding(mixed_space()).encode([config])
