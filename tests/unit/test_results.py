"""The memory of results beside lists and sorting."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bohb_nas.samplers.results import N_KEPT, RungResults

INF = math.inf
HUGE = float(np.finfo(np.float64).max)


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.lists(st.sampled_from([0.0, -1.0, 1.0, 1.5, 2.0, 3.0, HUGE, INF]) | st.floats(-5, 5), max_size=120), st.integers(0, 40))
def test_the_best_are_those_that_sorting_finds(losses: list[float], n: int) -> None:
    results = RungResults(2)
    for i, loss in enumerate(losses):
        results.add(1000 - i, np.array([i, -i], dtype=float), loss=loss, cost=i / 2)
        assert results.best(1).tolist() == [losses.index(min(losses[: i + 1]))]
    expected = sorted(range(len(losses)), key=lambda i: losses[i])[: min(n, N_KEPT)]  # keeps the order of equals
    assert results.best(n).tolist() == expected
    assert results.best(n).dtype == np.int64
    assert len(results) == len(losses)
    assert results.losses.tolist() == losses
    assert results.points.tolist() == [[i, -i] for i in range(len(losses))]
    assert results.costs.tolist() == [i / 2 for i in range(len(losses))]
    assert results.numbers == [1000 - i for i in range(len(losses))]
    assert results.loss_of == {1000 - i: loss for i, loss in enumerate(losses)}
    assert results.n_ok == sum(loss != INF for loss in losses)


@pytest.mark.parametrize("n", [1, 30, N_KEPT, N_KEPT + 1, 100])
def test_no_more_than_the_best_are_kept(n: int) -> None:
    losses = np.random.default_rng(0).permutation(100).tolist()
    results = RungResults(1)
    for i, loss in enumerate(losses):
        results.add(i, np.zeros(1), loss=float(loss), cost=1.0)
    assert [losses[i] for i in results.best(n)] == list(range(min(n, N_KEPT)))


def test_a_point_is_copied() -> None:
    results, point = RungResults(1), np.array([0.5])
    results.add(0, point, loss=1.0, cost=1.0)
    point[0] = 0.9
    assert results.points.tolist() == [[0.5]]
