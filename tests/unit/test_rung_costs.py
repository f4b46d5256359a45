"""Expected costs beside scikit-learn's ridge regression, and by hand."""

import math

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from sklearn.linear_model import Ridge
from space_fakes import everything, points_of

from bohb_nas.samplers.density import Columns
from bohb_nas.samplers.rung_model import RungModel, Settings
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding


def model(space: ConfigurationSpace | None = None) -> RungModel:
    columns = Columns(Axes(Encoding(space or ConfigurationSpace({"x": (0.0, 1.0)}))).axes)
    return RungModel(columns, settings=Settings(), stream=(0,))


def with_costs(n: int) -> tuple[RungModel, np.ndarray, np.ndarray]:
    """A model of n results on a conditional space, their features (n, p) and logarithms of costs (n,)."""
    space = everything()
    encoding = Encoding(space)
    points = points_of(space, [encoding.sample(i) for i in range(n)])
    features = Columns(Axes(encoding).axes).features(points)
    rng = np.random.default_rng(n)
    logs = 3 + features @ rng.normal(0, 0.5, features.shape[1]) + rng.normal(0, 0.5, n)
    found = model(space)
    for i in range(n):
        found.results.add(i, points[i], loss=math.inf if i % 7 == 0 else float(i), cost=float(np.exp(logs[i])))
    return found, features, logs


@pytest.mark.parametrize(("n", "last"), [(6, 6), (20, 20), (60, 60), (61, 60), (343, 343), (350, 343), (450, 414)])
def test_expected_costs_are_those_of_ridge_regression(n: int, last: int) -> None:
    """On the last 300 that ended well before the last time of fitting, as `test_times_of_fitting_by_hand` has it."""
    found, features, logs = with_costs(n)
    chosen = [i for i in range(last) if i % 7][-300:]
    assert logs[chosen].std() > 0.5
    peer = Ridge(alpha=1.0).fit(features[chosen], logs[chosen])
    expected = peer.predict(features) - logs[chosen].mean()
    assert found.log_costs(features) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert np.abs(expected).max() > 0.1


def test_failures_alone_say_nothing_of_costs() -> None:
    found = model()
    for n in range(20):
        found.results.add(n, np.array([float(n % 2)]), loss=math.inf, cost=1000.0 ** (n % 2))
    assert (found.log_costs(np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])) == 0).all()


@pytest.mark.parametrize(("factor", "alike"), [(1.0, True), (2.7, True), (2.74, False)])
def test_costs_that_are_alike_say_nothing(factor: float, alike: bool) -> None:
    """Two costs have a standard deviation of half the logarithm of their ratio; alike is up to 0.5, a ratio of e = 2.718."""
    found = model()
    for n in range(20):
        found.results.add(n, np.array([float(n % 2)]), loss=0.0, cost=factor ** (n % 2))
    features = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    costs = found.log_costs(features)
    assert (costs == 0).all() == alike
    if not alike:
        # 20 values of x and x² at 0 and 1, penalty 1 on two slopes b each: b = 5 c / (10 + 1), where c is the logarithm of the ratio
        assert costs == pytest.approx(np.array([-0.5, 0.5]) * 2 * 5 * math.log(factor) / 11)


def test_no_time_at_all_is_a_nanosecond() -> None:
    found = model()
    for n in range(20):
        found.results.add(n, np.array([float(n % 2)]), loss=0.0, cost=float(n % 2))
    features = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    assert found.log_costs(features) == pytest.approx(np.array([-0.5, 0.5]) * 10 * math.log(1e9) / 11)
