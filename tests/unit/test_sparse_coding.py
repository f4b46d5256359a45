"""The recovered weights are the sparsest, their support is a legal cell, and the code has the gradient that the weights give it."""

import itertools
import json

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from sklearn.linear_model import lars_path

from bohb_nas.oneshot.sparse_coding import CodeAdam, Node, dictionary, initial, recover, settled, support

Array = NDArray[np.float64]
EDGES = tuple(edge for edge in range(4) for _ in range(7))
"""Of a node with four edges of seven operators."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_enumeration(columns: Array, code: Array) -> Array:
    """A linear programme has its optimum at a basic solution: the best of all of them."""
    m, n = columns.shape
    best = np.full(n, np.inf)
    for basis in itertools.combinations(range(n), m):
        x = np.zeros(n)
        x[list(basis)] = np.linalg.solve(columns[:, basis], code)
        best = x if np.abs(x).sum() < np.abs(best).sum() else best
    return best


def planted(n: int, m: int, seed: int, n_planted: int = 2) -> tuple[Array, Array, Array]:
    """Columns, sparse weights and their code."""
    random = rng(seed)
    columns, x = dictionary(n, m, random), np.zeros(n)
    x[random.choice(n, n_planted, replace=False)] = random.standard_normal(n_planted)
    return columns, x, columns @ x


def test_columns_have_unit_length_and_every_direction() -> None:
    columns = dictionary(20_000, 3, rng())
    assert columns.shape == (3, 20_000)
    np.testing.assert_allclose((columns**2).sum(0), 1)
    np.testing.assert_allclose(columns @ columns.T / 20_000, np.eye(3) / 3, atol=0.01)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("seed", range(4))
def test_recovery_is_the_best_basic_solution(seed: int, size: float) -> None:
    columns = dictionary(9, 4, rng(seed))
    code = size * rng(seed + 100).standard_normal(4)
    np.testing.assert_allclose(recover(columns, code), by_enumeration(columns, code), atol=1e-9 * size)


@pytest.mark.parametrize(("m", "n"), [(7, 12), (7, 28), (10, 28)])
def test_recovery_is_the_end_of_the_lasso_path(m: int, n: int) -> None:
    for seed in range(10):
        columns, _, code = planted(n, m, seed, n_planted=n)
        end = lars_path(columns, code, method="lasso", alpha_min=0)[2][:, -1]
        np.testing.assert_allclose(recover(columns, code), end, atol=1e-7)


@pytest.mark.parametrize("n", [4, 7])
def test_with_few_columns_the_code_is_met_as_nearly_as_possible(n: int) -> None:
    columns, x, code = planted(n, 7, 0)
    np.testing.assert_allclose(recover(columns, code), x, atol=1e-12)
    off = code + rng(1).standard_normal(7)
    np.testing.assert_allclose(columns.T @ (off - columns @ recover(columns, off)), 0, atol=1e-12)


def test_a_code_of_zeros_has_no_weights() -> None:
    assert recover(dictionary(12, 7, rng()), np.zeros(7)).tolist() == [0] * 12


def test_a_code_that_is_no_number_is_refused() -> None:
    with pytest.raises((ArithmeticError, ValueError)):
        recover(dictionary(12, 7, rng()), np.full(7, np.nan))


@pytest.mark.parametrize(("m", "n", "least"), [(7, 4, 1), (7, 8, 0.9), (7, 12, 0.7), (7, 28, 0.5), (10, 12, 0.9), (10, 28, 0.8)])
def test_most_planted_pairs_are_recovered(m: int, n: int, least: float) -> None:
    found = [np.allclose(recover(columns, code), x, atol=1e-6) for columns, x, code in (planted(n, m, seed) for seed in range(100))]
    assert np.mean(found) >= least


def test_the_support_has_the_best_operator_of_the_best_edges() -> None:
    x = np.array([0.1, -5.0, 4.0, 0.2, 0.0, -1.0, 0.3, 0.4, 2.0])
    edges = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert support(x, edges, 1) == (1,)
    assert support(x, edges, 2) == (1, 8)
    assert support(x, edges, 3) == (1, 5, 8)


def test_the_support_never_has_two_operators_on_an_edge() -> None:
    for seed in range(50):
        kept = support(rng(seed).standard_normal(28), EDGES, 2)
        assert len({EDGES[column] for column in kept}) == 2


def test_every_operator_can_be_kept() -> None:
    for column in range(28):
        assert column in support(-1.0 * np.eye(28)[column], EDGES, 2)


def test_operators_of_equal_weight_are_told_apart_by_what_breaks_ties() -> None:
    x = np.array([0, 0, 0, 3.0])
    assert support(x, [0, 0, 1, 2], 2) == (0, 3)
    assert support(x, [0, 0, 1, 2], 2, ties=np.array([0.1, -0.2, 0.1, 0])) == (1, 3)


def test_more_edges_than_there_are_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="3 edges are to be kept; there are 2"):
        support(np.ones(4), [0, 0, 1, 1], 3)


def test_the_weights_of_a_sparse_code_are_the_planted_ones() -> None:
    """Where the sparse solution has nothing off the support, A_S^T (b - A_S x_S) is zero."""
    columns, x, code = planted(28, 10, 3)
    kept = tuple(np.flatnonzero(x))
    node = Node(columns=columns, edges=tuple(range(28)), code=code, x=np.zeros(28), kept=(0, 1)).recovered()
    assert node.kept == kept
    np.testing.assert_allclose(node.weights(), x[list(kept)], atol=1e-9)
    np.testing.assert_allclose(node.x, x, atol=1e-9)


def test_after_a_recovery_the_rest_of_the_sparse_code_joins_the_weights() -> None:
    node = initial(EDGES, 2, m=10, rng=rng(1))
    kept = list(node.kept)
    rest = np.delete(np.arange(28), kept)
    expected = node.x[kept] + node.columns[:, kept].T @ node.columns[:, rest] @ node.x[rest]
    np.testing.assert_allclose(node.weights(), expected, atol=1e-9)


def test_the_gradient_of_the_code_is_that_of_finite_differences() -> None:
    node = initial(EDGES, 2, m=10, rng=rng(2)).with_code(rng(3).standard_normal(10))

    def loss(code: Array) -> float:
        return float(np.sin(node.with_code(code).weights()) @ [2.0, -3.0])

    steps = 1e-6 * np.eye(10)
    expected = [(loss(node.code + step) - loss(node.code - step)) / 2e-6 for step in steps]
    gradient = node.code_gradient(np.cos(node.weights()) * [2.0, -3.0])
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_another_code_keeps_the_operators_until_the_next_recovery() -> None:
    node = initial(EDGES, 2, m=10, rng=rng(4))
    away = node.with_code(-3 * rng(5).standard_normal(10))
    assert (away.kept, away.x.tolist()) == (node.kept, node.x.tolist())
    assert away.recovered().kept == support(recover(node.columns, away.code), EDGES, 2) != node.kept


def test_the_first_operators_are_any_with_equal_chance() -> None:
    first = [initial(EDGES, 2, m=10, rng=rng(seed)).kept for seed in range(400)]
    for of_kept in (lambda c: c, lambda c: EDGES[c], lambda c: c % 7):
        seen = np.bincount([of_kept(c) for kept in first for c in kept])
        assert scipy.stats.chisquare(seen).pvalue > 1e-3
    assert {c for kept in first for c in kept} == set(range(28))


@pytest.mark.parametrize("n_edges", [1, 2, 4])
def test_the_first_weights_have_the_root_mean_square_one(n_edges: int) -> None:
    edges, n_kept = EDGES[: 7 * n_edges], min(n_edges, 2)
    for m in (2, 7, 10):
        node = initial(edges, n_kept, m=m, rng=rng(6))
        assert np.mean(node.weights() ** 2) == pytest.approx(1)
        np.testing.assert_allclose(node.columns @ node.x, node.code, atol=1e-6)


def test_a_node_settles_within_the_limit() -> None:
    assert settled(np.array([1.0, 2.0]), np.array([1.3, 2.4]), 0.501)
    assert not settled(np.array([1.0, 2.0]), np.array([1.3, 2.4]), 0.499)


def test_a_node_comes_back_from_its_state() -> None:
    node = initial(EDGES, 2, m=10, rng=rng(7)).with_code(rng(8).standard_normal(10))
    again = Node.from_state(json.loads(json.dumps(node.state())))
    assert (again.edges, again.kept) == (node.edges, node.kept)
    for name in ("columns", "code", "x"):
        np.testing.assert_array_equal(getattr(again, name), getattr(node, name))


def test_the_codes_adam_is_torchs_and_goes_on_from_its_state() -> None:
    code = torch.linspace(-1, 2, 7, dtype=torch.float64).requires_grad_()
    theirs = torch.optim.Adam([code], lr=0.01, betas=(0.5, 0.999), weight_decay=1e-3)
    ours, value = CodeAdam(7, rate=0.01), code.detach().numpy().copy()
    for step in range(12):
        gradient = rng(step).standard_normal(7)
        code.grad = torch.from_numpy(gradient)
        theirs.step()
        if step == 6:
            state, ours = json.loads(json.dumps(ours.state())), CodeAdam(7, rate=0.01)
            ours.restore(state)
        value = ours.step(value, gradient)
        np.testing.assert_allclose(value, code.detach().numpy(), rtol=1e-12)
