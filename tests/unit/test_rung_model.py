"""What counts as good and as bad, by hand; weights and times of fitting by hand."""

import math
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from hypothesis import given, settings
from hypothesis import strategies as st
from space_fakes import everything, points_of

from bohb_nas.errors import OptionError
from bohb_nas.samplers.density import Columns, Mixture
from bohb_nas.samplers.rung_model import RungModel, Settings, checkpoint, improvements
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding

INF = math.inf
HUGE = float(np.finfo(np.float64).max)
NOTHING = np.empty((0, 1))


def model(space: ConfigurationSpace | None = None, *, stream: tuple[int, ...] = (0,), **chosen: Any) -> RungModel:
    columns = Columns(Axes(Encoding(space or ConfigurationSpace({"x": (0.0, 1.0)}))).axes)
    return RungModel(columns, settings=Settings(**chosen), stream=stream)


def of(losses: list[float], **chosen: Any) -> RungModel:
    """The n-th configuration, numbered 100 + n, lies at x = n / 1000 and costs a second."""
    found = model(**chosen)
    for n, loss in enumerate(losses):
        found.results.add(100 + n, np.array([n / 1000]), loss=loss, cost=1.0)
    return found


def whose(density: Mixture) -> list[int]:
    """Which results of `of` a density rests on."""
    return [round(1000 * x) for x in density.data[:, 0]]


def shuffled(n: int) -> list[float]:
    """The losses 0 … n - 1 in an order of which nothing can be guessed."""
    return [float(i) for i in np.random.default_rng(n).permutation(n)]


# ---- weights


@pytest.mark.parametrize(
    ("losses", "border", "expected"),
    [
        ([], INF, []),
        ([3.0], INF, [1.0]),
        ([3.0], 7.0, [1.0]),
        ([0.0, 1.0, 2.0], 4.0, [4 / 3, 1.0, 2 / 3]),
        ([-1000.0, 9.0, 9.0], 10.0, [150 / 52, 3 / 52, 3 / 52]),  # 1010, 1 and 1; the median is 1, so 50, 1 and 1
        ([-60.0, 8.0, 9.0, 9.5], 10.0, [280 / 73.5, 8 / 73.5, 4 / 73.5, 2 / 73.5]),  # 70, 2, 1, 0.5: less than 50 x 1.5
        ([1.0, 2.0, 4.0], INF, [1.8, 1.2, 0.0]),  # 3, 2 and 0 below the largest
        ([1.0, 3.0], INF, [2.0, 0.0]),
        ([2.0, 2.0, 2.0], 2.0, [1.0, 1.0, 1.0]),
        ([0.0, 2.0, 2.0], 2.0, [1.0, 1.0, 1.0]),  # the median is 0
        ([0.0, 0.0, 2.0], 2.0, [1.5, 1.5, 0.0]),
        ([-HUGE, 0.0, HUGE], HUGE, [2.0, 1.0, 0.0]),
        ([0.0] * 30, HUGE, [1.0] * 30),
        ([-HUGE] * 30, HUGE, [1.0] * 30),
    ],
)
def test_weights_by_hand(losses: list[float], border: float, expected: list[float]) -> None:
    assert improvements(np.array(losses), border) == pytest.approx(expected, abs=1e-12)


LOSSES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3)), min_size=1, max_size=30).map(sorted)


@settings(deadline=None, derandomize=True, database=None)
@given(LOSSES, st.floats(0, 1e6).map(lambda x: round(x, 3)) | st.just(INF), st.sampled_from([2.0**-20, 1.0, 2.0**60]))
def test_weights_keep_the_order_their_mean_and_whatever_the_unit(losses: list[float], above: float, unit: float) -> None:
    border = losses[-1] + above
    weights = improvements(np.array(losses), border)
    assert weights.mean() == pytest.approx(1)
    assert (weights >= 0).all()
    assert (np.diff(weights) <= 0).all()
    assert improvements(np.array(losses) * unit, border * unit) == pytest.approx(weights)
    gaps = [(losses[-1] if border == INF else border) - loss for loss in losses]
    least = sorted(gaps)[(len(gaps) - 1) // 2]
    if least > 0:  # from the median down nothing is capped
        plain = [gap for gap in gaps if gap <= least]
        assert weights[-len(plain) :] / weights[-len(plain)] == pytest.approx(np.array(plain) / plain[0])


# ---- times of fitting


def test_times_of_fitting_by_hand() -> None:
    """Every result up to twice the steps; then by as many as n / steps, rounded down."""
    ten = [*range(21), 22, 24, 26, 28, 30, 33, 36, 39, 42, 46, 50, 55, 60, 66, 72, 79, 86, 94, 103, 113, 124, 136, 149, 163, 179]
    ten += [196, 215, 236, 259, 284, 312, 343, 377, 414]
    assert sorted({checkpoint(n, steps=10) for n in range(415)}) == ten
    forty = [*range(81), *range(82, 121, 2), *range(123, 160, 3), 159 + 3, 162 + 4]
    assert sorted({checkpoint(n, steps=40) for n in range(167)}) == forty
    assert [checkpoint(n, steps=1) for n in range(9)] == [0, 1, 2, 2, 4, 4, 4, 4, 8]


@pytest.mark.parametrize("steps", [1, 10, 40])
def test_times_of_fitting_are_monotone_and_not_long_ago(steps: int) -> None:
    n = np.arange(3000)
    rng = np.random.default_rng(steps)
    found = np.empty(3000, dtype=int)
    for i in rng.permutation(3000).tolist():  # in whatever order they are asked for
        found[i] = checkpoint(i, steps=steps)
    assert (np.diff(found) >= 0).all()
    assert (found <= n).all()
    assert ((n - found) * steps <= n).all()
    assert [checkpoint(i, steps=steps) for i in found.tolist()] == found.tolist()


# ---- good and bad


def test_good_and_bad_by_hand() -> None:
    """Of ten, 1.5 and so two are good; the border is the third, and the prior component has the weight of one."""
    found = of([5.0, 3.0, 9.0, 1.0, 7.0, 0.0, 8.0, 6.0, 2.0, 4.0])
    assert whose(found.good()) == [5, 3]
    # the border is 2: gaps of 2 and 1
    assert np.exp(found.good().log_weights) == pytest.approx([4 / 9, 2 / 9, 3 / 9])
    assert found.good_numbers() == [105, 103]
    assert whose(found.bad(NOTHING)) == [8, 1, 9, 0, 7, 4, 6, 2]
    assert np.exp(found.bad(NOTHING).log_weights) == pytest.approx([1 / 9] * 9)


def test_what_was_passed_over_is_bad_and_counted() -> None:
    """Of ten and ten, .15 are three; the seven others are bad with the ten."""
    found = of([5.0, 3.0, 9.0, 1.0, 7.0, 0.0, 8.0, 6.0, 2.0, 4.0])
    found.passed = found.results.points[:1].repeat(10, axis=0)
    assert whose(found.good()) == [5, 3, 8]
    assert found.good_numbers() == [105, 103, 108]
    assert whose(found.bad(NOTHING)) == [1, 9, 0, 7, 4, 6, 2] + [0] * 10


@pytest.mark.parametrize(
    ("n", "fraction", "n_good"),
    [
        *((n, 0.15, n_good) for n, n_good in ((0, 0), (1, 1), (2, 1), (6, 1), (7, 2), (20, 3), (21, 4), (100, 15), (193, 29), (194, 30))),
        (400, 0.15, 30),
        (100, 0.07, 7),  # 100 * 0.07 is 7.000000000000001
        (50, 0.14, 7),
        (10, 0.99, 10),
    ],
)
def test_how_many_are_good(n: int, fraction: float, n_good: int) -> None:
    losses = shuffled(n)
    found = of(losses, good_fraction=fraction)
    best = np.argsort(losses).tolist()
    assert whose(found.good()) == best[:n_good]
    assert found.good_numbers() == [100 + i for i in best[:n_good]]
    if n <= 80:
        assert whose(found.bad(NOTHING)) == best[n_good:]


def test_good_ones_that_are_equal_count_as_one() -> None:
    """Of forty, six are good: 1, 1, 2, 2, 2 and 3 of which the first of each stay; the border is the next, 5."""
    losses = [10.0] * 40
    losses[5], losses[9], losses[13], losses[20], losses[21], losses[30], losses[39] = 2.0, 1.0, 3.0, 2.0, 1.0, 2.0, 5.0
    found = of(losses)
    assert whose(found.good()) == [9, 5, 13]
    assert found.good_numbers() == [109, 105, 113]
    # gaps 4, 3 and 2 of mean 3, and 1 for what is known beforehand
    assert np.exp(found.good().log_weights) == pytest.approx([4 / 12, 3 / 12, 2 / 12, 3 / 12])
    assert whose(found.bad(NOTHING)) == [39, *(n for n in range(40) if losses[n] == 10.0)], "what was left out is not bad either"


def test_of_equals_the_first_is_good() -> None:
    found = of([1.0] * 30)
    assert whose(found.good()) == [0]
    assert whose(found.bad(NOTHING)) == list(range(5, 30))


def test_each_equal_by_itself_where_that_is_wanted() -> None:
    found = of([1.0] * 30, distinct=False)
    assert whose(found.good()) == [0, 1, 2, 3, 4]
    assert np.exp(found.good().log_weights) == pytest.approx([1 / 6] * 6)
    assert whose(found.bad(NOTHING)) == list(range(5, 30))


def test_a_failure_is_never_good_and_always_bad() -> None:
    """Of forty, six are to be good; where only three have a loss, these are, and the worst of them is the border."""
    losses = [INF] * 40
    losses[7], losses[11], losses[31] = 1.0, 4.0, 3.0
    found = of(losses)
    assert whose(found.good()) == [7, 31, 11]
    # gaps 3, 1 and 0, of mean 4/3
    assert np.exp(found.good().log_weights) == pytest.approx([9 / 16, 3 / 16, 0, 4 / 16])
    assert found.good_numbers() == [107, 131, 111]
    assert whose(found.bad(NOTHING)) == [n for n in range(40) if n not in (7, 11, 31)]


def test_a_failure_can_be_the_border() -> None:
    found = of([2.0, INF, INF, 1.0, INF, INF, INF, INF, INF, INF])
    assert whose(found.good()) == [3, 0]
    assert np.exp(found.good().log_weights) == pytest.approx([2 / 3, 0, 1 / 3])


def test_where_all_fail_nothing_is_good_but_what_is_known_beforehand() -> None:
    for found in (of([INF] * 12), of([])):
        assert found.good().log_density(np.array([[0.25, 0.5, 1.0]])) == pytest.approx([0.0])
        assert found.good_numbers() == []
    assert whose(of([INF] * 12).bad(NOTHING)) == list(range(12))
    assert of([]).bad(NOTHING).log_density(np.array([[0.25, 0.5, 1.0]])) == pytest.approx([0.0])


def test_huge_losses_weigh_as_they_should() -> None:
    found = of([HUGE] * 18 + [0.0, HUGE / 2])
    assert whose(found.good()) == [18, 19, 0]
    assert np.exp(found.good().log_weights) == pytest.approx([2 / 4, 1 / 4, 0, 1 / 4])


def test_settings_reach_the_densities() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0), **{f"c{j}": [*"abc"] for j in range(10)}})
    found = model(space, prior_weight=2.0, bandwidth_floor=0.2, mutations=1.0, weighted=False, good_fraction=0.5)
    x = Encoding(space).names.index("x")
    for n in range(40):
        point = np.zeros(11)
        point[x] = 0.5
        found.results.add(n, point, loss=float(n) ** 3, cost=1.0)
    for density in (found.good(), found.bad(np.empty((0, 11)))):
        assert np.exp(density.log_weights) == pytest.approx([1 / 22] * 20 + [2 / 22])
        # twenty at one place: the first and the last have a neighbour at 0 and 1
        assert density.bandwidths[:, x] == pytest.approx([0.5, *[0.2] * 18, 0.5])
        assert density.exploration == pytest.approx([0.1] * 10)  # 3 / 23 of each of ten would be more than one


def test_avoided_points_are_bad_whatever_their_loss() -> None:
    found = of(shuffled(20))
    avoided = np.array([[0.9], [0.8]])
    density = found.bad(avoided)
    assert whose(density) == [*whose(found.bad(NOTHING)), 900, 800]
    assert len(density.data) == 19
    assert np.exp(density.log_weights) == pytest.approx([1 / 20] * 20)
    assert whose(found.bad(avoided[::-1]))[-2:] == [800, 900], "as many others are not the same"
    assert whose(of([]).bad(avoided)) == [900, 800]


def test_bad_ones_are_thinned_to_eighty_alike_for_everyone_who_asks() -> None:
    losses = shuffled(194)  # a time of fitting, as 82 + 2 * 19 = 120, 120 + 3 * 14 = 162 and 162 + 4 * 8 are; 30 are good
    best = np.argsort(losses).tolist()
    found = of(losses)
    kept = whose(found.bad(NOTHING))
    assert len(kept) == len(set(kept)) == 80
    assert set(kept) <= set(best[30:])
    assert kept == whose(of(losses).bad(NOTHING))
    assert kept != whose(of(losses, stream=(1,)).bad(NOTHING))
    assert whose(found.bad(np.array([[0.999]]))) == [*kept, 999]
    # of the better half of 164 about half: hypergeometric, 40 +- 3.2
    assert 27 < sum(best.index(i) < 30 + 82 for i in kept) < 53


@pytest.mark.parametrize("n_good", [16, 15])
def test_eighty_bad_ones_are_kept_whole(n_good: int) -> None:
    losses = shuffled(96)
    found = of(losses, good_fraction=n_good / 96)
    others = np.argsort(losses).tolist()[n_good:]
    kept = whose(found.bad(NOTHING))
    assert len(kept) == 80
    assert (kept == others) == (n_good == 16)


def test_the_good_follow_every_result_and_the_bad_wait() -> None:
    losses = [float(n) for n in range(81)]
    found = of(losses)
    before = whose(found.bad(NOTHING))
    assert before == list(range(12, 80)), "fitted at 80, of which twelve are good"
    assert whose(found.good()) == list(range(13))
    found.results.add(181, np.array([0.081]), loss=-1.0, cost=1.0)
    assert whose(found.good()) == [81, *range(12)]
    assert whose(found.bad(NOTHING)) == list(range(12, 81)), "fitted at 82, of which thirteen are good, the last one among them"


def test_how_many_are_good_of_the_bad_ones_follows_from_when_they_were_fitted() -> None:
    """Else a study that is taken up again, and asks after the last result alone, has other bad ones than one that asked all along."""
    found = of([INF] * 75 + [5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    assert len(found.good_numbers()) == 6
    assert whose(found.bad(NOTHING)) == list(range(75)), "fitted at 80, of which five have a loss"


@pytest.mark.parametrize("seed", range(5))
def test_a_model_asked_all_along_is_that_of_one_asked_at_the_end(seed: int) -> None:
    """A study that is taken up again asks its model for the first time after many results."""
    space = everything()
    encoding = Encoding(space)
    rng = np.random.default_rng(seed)
    points = points_of(space, [encoding.sample(1000 * seed + i) for i in range(130)])
    along = model(space)
    avoided = np.empty((0, points.shape[1]))
    features = Columns(Axes(encoding).axes).features(points[:20])
    for n, point in enumerate(points):
        loss, cost = (INF if rng.random() < 0.2 else float(rng.integers(40))), float(np.exp(2 * rng.normal()))
        along.results.add(n, point, loss=loss, cost=cost)
        if rng.random() < 0.6:
            avoided = np.vstack([avoided, points[rng.integers(len(points))]])[-40:]
        along.good()
        along.bad(avoided)
        along.log_costs(features)
        if n % 16 == 15:
            late = model(space)
            for i in range(n + 1):
                late.results.add(i, points[i], loss=float(along.results.losses[i]), cost=float(along.results.costs[i]))
            assert (late.log_costs(features) == along.log_costs(features)).all()
            for one, other in ((late.good(), along.good()), (late.bad(avoided), along.bad(avoided))):
                assert (one.table == other.table).all()
                assert (one.log_weights == other.log_weights).all()
                assert np.array_equal(one.data, other.data, equal_nan=True)


# ---- settings


@pytest.mark.parametrize(
    ("field", "refused", "accepted"),
    [
        ("good_fraction", [0, 1, -0.1, 1.5, math.nan, INF, True, "0.1", None], [1e-9, 0.5, 0.999]),
        ("bandwidth_floor", [0, -0.1, 1.01, math.nan, True, None], [1e-9, 0.03, 1]),
        ("mutations", [0, -1, math.nan, INF, True, None], [0.1, 4, 1e9]),
        ("prior_weight", [0, -1, math.nan, INF, True, None], [1e-6, 1, 10]),
        ("weighted", [0, 1, "yes", None], [True, False]),
        ("distinct", [0, 1, "yes", None], [True, False]),
    ],
)
def test_settings_are_checked(field: str, refused: list[object], accepted: list[Any]) -> None:
    for value in refused:
        with pytest.raises(OptionError, match=f"{field} is {value!r}; accepted is"):
            Settings(**{field: value})  # type: ignore[arg-type]
    for value in accepted:
        assert getattr(Settings(**{field: value}), field) == value
