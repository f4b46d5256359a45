"""The decomposition of a forest over a conditional space, against every cell of the box and against Monte Carlo, on the same trees."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray
from space_fakes import everything, finite

from bohb_nas.analysis.active import where_active
from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.curves import curve, pair_map
from bohb_nas.analysis.effects import Effects
from bohb_nas.analysis.forest import Forest, fit
from bohb_nas.analysis.sample import Sample
from bohb_nas.analysis.shares import shares
from bohb_nas.analysis.totals import totals
from bohb_nas.records import Value
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding

Floats = NDArray[np.float64]

VALUES: dict[str, list[Value]] = {
    "op": ["conv", "pool", "skip"],
    "depth": [1, 2, 3, 4],
    "kernel": [1, 2, 3],
    "size": ["s", "m", "l"],
    "norm": ["batch", "group"],
    "groups": [1, 2, 3, 4, 5],
}
"""Of the finite space."""


def forest(space: ConfigurationSpace, n: int, *, n_trees: int, seed: int = 0) -> Forest:
    """A forest on a loss in which every hyperparameter takes part, some with their parents."""
    encoding = Encoding(space)
    rows = encoding.encode([encoding.sample(s) for s in range(n)])
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rows.shape[1],))
    filled = np.nan_to_num(rows, nan=0.0)
    losses = filled @ weights + (filled[:, 0] - 0.5) * (filled[:, 1:] @ weights[1:]) + 0.3 * rng.normal(size=n)
    box = Box(space)
    points = box.points([encoding.decode(row) for row in rows])
    return fit(box, points, (losses - losses.mean()) / losses.std(), seed=seed, n_trees=n_trees)


def cells(space: ConfigurationSpace) -> tuple[Floats, list[Floats]]:
    """Every cell of a finite box as a point (n, d), and how likely each cell of each side is."""
    chances = [side.chances for side in Box(space).sides if side.chances is not None]
    return np.array(list(itertools.product(*[range(len(c)) for c in chances])), dtype=np.float64), chances


def places(space: ConfigurationSpace, points: Floats) -> Floats:
    """Cells or places (n, d) of the box as points on the axes of the space."""
    found = points.copy()
    for j, (side, axis) in enumerate(zip(Box(space).sides, Axes(Encoding(space)).axes, strict=True)):
        if side.rising is not None:
            found[:, j] = np.interp(points[:, j], *side.rising[::-1])
        if axis.edges is not None:
            found[:, j] = ((axis.edges[1:] + axis.edges[:-1]) / 2)[points[:, j].astype(int)]
    return found


def said(one: Forest, space: ConfigurationSpace, points: Floats) -> Floats:
    """(trees, n) what trees say of the active parts of points (n, d) of the box, by walking down the trees."""
    active = Axes(Encoding(space)).active(places(space, points))
    return one.predict(np.where(active, points, np.nan))


def anova(values: Floats, chances: Sequence[Floats], kept: Sequence[int]) -> float:
    """Var(E[f | some axes]) of a table of values, by summing over the others."""
    for axis in reversed(range(len(chances))):
        if axis not in kept:
            values = np.tensordot(values, chances[axis], axes=(axis, 0))
    weights = np.ones(())
    for axis in sorted(kept):
        weights = np.multiply.outer(weights, chances[axis])
    mean = (values * weights).sum()
    return float(((values - mean) ** 2 * weights).sum())


def test_every_effect_equals_the_one_summed_over_all_cells() -> None:
    space = finite()
    one = forest(space, 150, n_trees=4)
    points, chances = cells(space)
    d = len(chances)
    tables = [values.reshape([len(c) for c in chances]) for values in said(one, space, points)]
    effects = [Effects(leaves, d) for leaves in one.leaves()]
    found = shares(effects, one.layout, all_pairs=True)
    assert found is not None
    assert found.pairs is not None
    ancestors = {c: set(condition.ancestors.tolist()) for condition in one.layout.conditions for c in condition.children.tolist()}
    assert sorted(len(a) for a in ancestors.values()) == [1, 1, 2, 3]
    for tree, table in enumerate(tables):
        whole = anova(table, chances, range(d))
        assert effects[tree].variance == pytest.approx(whole)
        main = [anova(table, chances, [j]) / whole for j in range(d)]
        assert found.main[tree] == pytest.approx(main, abs=1e-12)
        for j, k in itertools.combinations(range(d), 2):
            assert found.pairs[tree, j, k] == pytest.approx(anova(table, chances, [j, k]) / whole - main[j] - main[k], abs=1e-12)
        for j in range(d):
            above = ancestors.get(j, set())
            grouped = (anova(table, chances, [j, *above]) - anova(table, chances, [*above])) / whole
            assert found.with_parents[tree, j] == pytest.approx(grouped, abs=1e-12)


def test_lines_through_every_cell_give_the_total_effects() -> None:
    space = finite()
    one = forest(space, 150, n_trees=2)
    points, chances = cells(space)
    d = len(chances)
    edges = [one.layout.edges[j] for j in range(d)]
    through = np.stack(
        [(e[1:] + e[:-1])[one.layout.ranks(j)[points[:, j].astype(int)]] / 2 for j, e in enumerate(edges) if e is not None], axis=1
    )
    weights = np.prod([c[points[:, j].astype(int)] for j, c in enumerate(chances)], axis=0)
    for leaves, values in zip(one.leaves(), said(one, space, points), strict=True):
        table = values.reshape([len(c) for c in chances])
        whole = anova(table, chances, range(d))
        expected = [whole - anova(table, chances, [k for k in range(d) if k != j]) for j in range(d)]
        lines = np.array([totals(leaves, through[[i]], leaves.values[None])[0] for i in range(len(through))])
        assert weights @ lines == pytest.approx(expected, abs=1e-5)


def test_what_is_said_where_a_hyperparameter_is_active_equals_the_sum_over_these_cells() -> None:
    space = finite()
    one = forest(space, 150, n_trees=3)
    points, chances = cells(space)
    active = Axes(Encoding(space)).active(places(space, points))
    weights = np.prod([c[points[:, j].astype(int)] for j, c in enumerate(chances)], axis=0)
    for leaves, values in zip(one.leaves(), said(one, space, points), strict=True):
        for j in range(len(chances)):
            there, seen = active[:, j], where_active(leaves, one.layout, j)
            assert seen.p == pytest.approx(weights[there].sum())
            inner = weights[there] / weights[there].sum()
            mean = inner @ values[there]
            assert seen.variance() == pytest.approx(inner @ (values[there] - mean) ** 2)
            marginal = [
                (inner * values[there])[points[there, j] == i].sum() / inner[points[there, j] == i].sum() for i in range(len(chances[j]))
            ]
            edges = one.layout.edges[j]
            assert edges is not None
            assert seen.marginal(j, edges)[one.layout.ranks(j)] == pytest.approx(marginal)
            assert seen.main(j) == pytest.approx(chances[j] @ (np.array(marginal) - mean) ** 2)


def any_points(space: ConfigurationSpace, n: int, rng: np.random.Generator) -> Floats:
    """Points (n, d) of the box, as likely as the search distribution has them."""
    columns = []
    for side in Box(space).sides:
        if (chances := side.chances) is None:
            columns.append(rng.random(n))
        else:
            columns.append(rng.choice(len(chances), size=n, p=chances / chances.sum()).astype(np.float64))
    return np.stack(columns, axis=1)


def on_sides(one: Forest, points: Floats) -> Floats:
    """Points of the box as places on its sides in the forest's order of levels: the middle of a cell."""
    found = points.copy()
    for j, edges in enumerate(one.layout.edges):
        if edges is not None:
            found[:, j] = ((edges[1:] + edges[:-1]) / 2)[one.layout.ranks(j)[points[:, j].astype(int)]]
    return found


def test_leaves_fill_the_box_and_say_what_the_tree_says() -> None:
    """With every kind of condition there is, on every kind of parent."""
    space = everything()
    one = forest(space, 300, n_trees=2)
    points = any_points(space, 1000, np.random.default_rng(1))
    through = on_sides(one, points)
    for leaves, expected in zip(one.leaves(), said(one, space, points), strict=True):
        assert leaves.volumes.sum() == pytest.approx(1, abs=1e-9)
        inside = np.ones((len(leaves.values), len(points)), dtype=bool)
        for block in leaves.blocks:
            own = through[:, block.columns]
            hit = ((own >= block.lo[:, None]) & (own < block.hi[:, None])).all(axis=2)
            taken = np.zeros_like(inside)
            np.logical_or.at(taken, block.leaf, hit)
            taken[np.setdiff1d(np.arange(len(inside)), block.leaf)] = True
            inside &= taken
        assert (inside.sum(axis=0) == 1).all()
        assert leaves.values @ inside == pytest.approx(expected)


@pytest.mark.slow
def test_main_effects_and_pairs_agree_with_monte_carlo_on_the_same_trees() -> None:
    """Pick-freeze (Sobol 1993): what two points with some coordinates in common have in common."""
    space = everything()
    one = forest(space, 400, n_trees=4)
    rng = np.random.default_rng(0)
    effects = [Effects(leaves, one.layout.d) for leaves in one.leaves()]
    found = shares(effects, one.layout, all_pairs=True)
    assert found is not None
    assert found.pairs is not None
    n = 100_000
    a, b = any_points(space, n, rng), any_points(space, n, rng)
    at_a = said(one, space, a)
    centred = at_a - at_a.mean(axis=1, keepdims=True)
    whole = at_a.var(axis=1)

    def common(columns: list[int]) -> Floats:
        mixed = b.copy()
        mixed[:, columns] = a[:, columns]
        return np.asarray((centred * said(one, space, mixed)).mean(axis=1) / whole)

    main = np.array([common([j]) for j in range(one.layout.d)]).T
    assert np.abs(main - found.main).mean(axis=0).max() <= 0.01
    strongest = np.argsort(-found.pairs.mean(axis=0)[np.triu_indices(one.layout.d, 1)])[:20]
    for j, k in zip(*(axis[strongest].tolist() for axis in np.triu_indices(one.layout.d, 1)), strict=True):
        share = common([j, k]) - main[:, j] - main[:, k]
        assert abs(share.mean() - found.pairs[:, j, k].mean()) <= 0.01


def test_curves_and_maps_equal_means_over_the_cells_where_their_hyperparameters_are_active() -> None:
    space = finite()
    encoding = Encoding(space)
    one = forest(space, 150, n_trees=3)
    points, chances = cells(space)
    active = Axes(Encoding(space)).active(places(space, points))
    weights = np.prod([c[points[:, j].astype(int)] for j, c in enumerate(chances)], axis=0)
    values = said(one, space, points)
    sample = Sample(points=points, losses=np.zeros(len(points)), size=2.0, mean=5.0, deviation=0.5)  # a loss is 2 (5 + value / 2)
    leaves = one.leaves()

    def mean(chosen: NDArray[np.bool_]) -> Floats:
        return np.asarray(10 + values[:, chosen] @ weights[chosen] / weights[chosen].sum())

    for j, name in enumerate(encoding.names):
        drawn = curve([where_active(tree, one.layout, j) for tree in leaves], one.layout, j, sample)
        assert drawn["at"] == VALUES[name]
        by_level = np.array([mean(active[:, j] & (points[:, j] == i)) for i in range(len(chances[j]))])
        assert drawn["mean"] == pytest.approx(by_level.mean(axis=1))
        assert drawn["low"] == pytest.approx(np.percentile(by_level, 5, axis=1))
        assert drawn["high"] == pytest.approx(np.percentile(by_level, 95, axis=1))
    for j, k in itertools.combinations(range(len(chances)), 2):
        there = active[:, j] & active[:, k]
        rows, columns = ([i for i in range(len(chances[c])) if (there & (points[:, c] == i)).any()] for c in (j, k))
        drawn_map = pair_map(leaves, one.layout, (j, k), sample)
        if drawn_map is None:
            assert len(rows) < 2 or len(columns) < 2
            continue
        expected = [[mean(there & (points[:, j] == a) & (points[:, k] == b)).mean() for b in columns] for a in rows]
        assert np.array(drawn_map["mean"]) == pytest.approx(np.array(expected))
        assert [len(at) for at in drawn_map["at"]] == [len(rows), len(columns)]
