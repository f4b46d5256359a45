"""A space as plain data."""

from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    GreaterThanCondition,
    InCondition,
    Integer,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
    OrdinalHyperparameter,
)

from bohb_nas.analysis.hyperparameters import hyperparameters


def test_every_kind_and_every_condition() -> None:
    space = ConfigurationSpace()
    kind = Categorical("kind", ["a", "b", "c"])
    depth = Integer("depth", (1, 9), default=3)
    size = OrdinalHyperparameter("size", [8, 16, 32])
    leaves = [Float(f"x{k}", (1e-3, 1.0), log=True) for k in range(6)]
    space.add(kind, depth, size, Constant("fixed", 7), *leaves)
    space.add(
        EqualsCondition(leaves[0], kind, "a"),
        InCondition(leaves[1], kind, ["a", "b"]),
        OrConjunction(EqualsCondition(leaves[2], kind, "b"), GreaterThanCondition(leaves[2], depth, 4)),
        AndConjunction(NotEqualsCondition(leaves[3], kind, "a"), LessThanCondition(leaves[3], size, 32)),
        EqualsCondition(leaves[4], size, 16),
    )
    found = {one["name"]: one for one in hyperparameters(space)}
    assert found["kind"]["kind"] == "categorical"
    assert (found["kind"]["choices"], found["kind"]["lower"]) == (["a", "b", "c"], None)
    assert (found["depth"]["kind"], found["depth"]["lower"], found["depth"]["upper"], found["depth"]["default"]) == ("integer", 1.0, 9.0, 3)
    assert (found["size"]["kind"], found["size"]["choices"]) == ("ordinal", [8, 16, 32])
    assert (found["fixed"]["kind"], found["fixed"]["default"]) == ("constant", 7)
    assert (found["x0"]["kind"], found["x0"]["log"], found["x0"]["parents"]) == ("float", True, ["kind"])
    assert [found[f"x{k}"]["condition"] for k in range(6)] == [
        "kind = a",
        "kind is one of a, b",
        "kind = b or depth > 4",
        "kind is not a and size < 32",
        "size = 16",
        None,
    ]
    assert found["x2"]["parents"] == ["depth", "kind"]
