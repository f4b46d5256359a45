"""HpBandSter's generator, faster: the picks of the original from the same random state, call for call.

numpy's global generator is read ahead in bulk and put where the original would have left it; the truncated normals are
inverted and the kernels evaluated as arrays, in the order of statsmodels' operations; a density is fitted when a pick
needs it; and ConfigSpace checks a configuration twice instead of once for every hyperparameter that is removed from it.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import ConfigSpace.util
import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from numpy.typing import NDArray
from scipy import stats

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it calls what its dependencies have deprecated
    from hpbandster.optimizers.config_generators.bohb import BOHB

Floats = NDArray[np.float64]

_SPARE = 1000
"""Words kept in reserve for draws that are refused; each is refused with a probability of at most one half."""


class Accelerated(BOHB):  # type: ignore[misc]
    """HpBandSter's generator."""

    def __init__(self, configspace: ConfigurationSpace, **settings: Any) -> None:
        super().__init__(configspace, **settings)
        self._conditions = [(configspace.index_of[name], configspace.parent_conditions_of[name]) for name in configspace]
        self._conditions = [(i, conditions) for i, conditions in self._conditions if conditions]
        self._vectors: dict[tuple[tuple[str, Any], ...], Floats] = {}
        self._gaps: dict[float, list[int]] = {}

    def get_config(self, budget: float) -> tuple[dict[str, Any], dict[str, bool]]:
        """A configuration, and whether the model picked it."""
        info = {"model_based_pick": False}
        if not self.kde_models or np.random.rand() < self.random_fraction:
            return self._at_random(), info
        vector = self._pick(*self.kde_models[max(self.kde_models)])
        if vector is None:
            self.configspace.sample_configuration()  # the original draws one, and fails to take it for a configuration
            return self._at_random(), info
        try:
            config = self._active(dict(Configuration(self.configspace, vector=vector)))
        except Exception:  # noqa: BLE001 - the original catches whatever its model raises
            return self._at_random(), info
        return config, {"model_based_pick": True}

    def new_result(self, job: Any, update_model: bool = True) -> None:  # noqa: FBT001, FBT002 - the original's signature
        """Takes in a result and draws what the original's refit would draw; densities wait until one is needed."""
        loss = np.inf if job.result is None or not np.isfinite(job.result["loss"]) else job.result["loss"]
        budget = job.kwargs["budget"]
        configs, losses = self.configs.setdefault(budget, []), self.losses.setdefault(budget, [])
        if max(self.kde_models, default=-np.inf) > budget:
            return
        vector = self._vector(job.kwargs["config"])
        configs.append(vector)
        losses.append(loss)
        gaps = self._gaps.setdefault(budget, [])
        gaps.append(int.from_bytes(np.packbits(np.isnan(vector), bitorder="little").tobytes(), "little"))
        n, fewest = len(configs), self.min_points_in_model
        if n < fewest or not update_model:
            return
        n_good = max(fewest, self.top_n_percent * n // 100)
        order = np.argsort(np.array(losses))
        good, bad = order[:n_good], order[n_good : n_good + max(fewest, (100 - self.top_n_percent) * n // 100)]
        with _ahead() as ahead:
            parts = [_Density(self, configs, rows, _Donations([gaps[i] for i in rows], self.vartypes, ahead)) for rows in (good, bad)]
        if min(len(good), len(bad)) > len(self.vartypes):
            self.kde_models[budget] = tuple(parts)

    def _at_random(self) -> dict[str, Any]:
        try:
            return self._active(dict(self.configspace.sample_configuration()))
        except Exception:  # noqa: BLE001 - so does the original when rounding makes a value illegal
            return dict(self.configspace.sample_configuration())

    def _active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What ConfigSpace's deactivate_inactive_hyperparameters leaves, which builds a configuration for each removal."""
        space = self.configspace
        if space.forbidden_clauses:
            return dict(ConfigSpace.util.deactivate_inactive_hyperparameters(dict(values), space))
        everything = Configuration(space, values=values, allow_inactive_with_values=True)
        vector = everything.get_array().copy()
        for i, conditions in self._conditions:
            if not all(condition.satisfied_by_vector(vector) for condition in conditions):
                vector[i] = np.nan
        active = Configuration(space, values={name: everything[name] for name, v in zip(space, vector, strict=True) if v == v})
        config = dict(active)
        self._vectors[tuple(config.items())] = active.get_array()
        return config

    def _vector(self, config: Mapping[str, Any]) -> Floats:
        known = self._vectors.get(tuple(config.items()))
        return Configuration(self.configspace, values=config).get_array() if known is None else known

    def _pick(self, good: "_Density", bad: "_Density") -> Floats | None:
        """The candidate that the original takes; None when no score is finite."""
        with _ahead() as ahead:
            candidates, ends = self._candidates(good, ahead)
            g, l = bad(candidates), good(candidates)  # noqa: E741 - the paper's letters
            # a NaN of the bad density becomes the floor, one of the good density stays: the order in max()
            score = np.where(g > 1e-32, g, 1e-32) / np.where(l < 1e-32, 1e-32, l)
            finite = np.isfinite(score)
            if (at_once := ~finite & np.isfinite(l)).any():
                first = int(np.argmax(at_once))
                ahead.position = ends[first]  # the original draws no further candidate
                return np.asarray(candidates[first])
        best = int(np.argmin(np.where(finite, score, np.inf)))
        return np.asarray(candidates[best]) if finite.any() else None

    def _candidates(self, good: "_Density", ahead: "_Ahead") -> tuple[Floats, list[int]]:
        """All candidates, (num_samples, d), and where the stream stands after each."""
        data, numbers, levels = good.data, self.vartypes == 0, self.vartypes[self.vartypes > 0].tolist()
        before = np.cumsum(~numbers)  # of each column, how many categoricals come before
        skips = [2 * int((numbers & (before == k)).sum()) for k in range(len(levels) + 1)]
        steps = list(zip(skips, (1 - good.bandwidths[~numbers]).tolist(), levels, strict=False))
        rows, codes, starts, ends = [], [], [], []
        ahead.reserve(self.num_samples * 3 * len(numbers))
        for _ in range(self.num_samples):
            ahead.reserve(4 * len(numbers))
            rows.append(ahead.below(len(data)))
            words, position = ahead.words, ahead.position
            starts.append(position)
            for skip, keep, n_levels in steps:  # `uniform` and `below`, written out
                position += skip + 2
                code = -1
                if ((words[position - 2] >> 5) * 67108864.0 + (words[position - 1] >> 6)) / 9007199254740992.0 >= keep:
                    code, mask = n_levels, (1 << (n_levels - 1).bit_length()) - 1
                    while code >= n_levels:
                        code = words[position] & mask if mask else 0
                        position += mask > 0
                codes.append(code)
                starts.append(position)
            ahead.position = position + skips[-1]
            ends.append(ahead.position)
        candidates = data[rows]
        drawn = np.array(codes, dtype=np.float64).reshape(len(rows), -1)
        candidates[:, ~numbers] = np.where(drawn < 0, candidates[:, ~numbers], drawn)
        within = np.arange(len(numbers)) - np.array([np.flatnonzero(before == k)[0] for k in before]) - (before > 0)
        places = np.array(starts).reshape(len(rows), -1)[:, before[numbers]] + 2 * within[numbers]
        centres, spread = candidates[:, numbers], self.bw_factor * good.bandwidths[numbers]
        uniforms = ahead.uniforms(places)
        candidates[:, numbers] = stats.truncnorm.ppf(uniforms, -centres / spread, (1 - centres) / spread, loc=centres, scale=spread)
        return candidates, ends


class _Density:
    """One of the original's two densities, fitted when it is first needed.

    Args:
        generator: whose settings it has.
        configs: all vectors of the budget.
        rows: those of this set, (n,).
        donations: what fills their gaps.
    """

    def __init__(self, generator: Accelerated, configs: list[Floats], rows: NDArray[np.int64], donations: "_Donations") -> None:
        self._levels = generator.vartypes
        self._smallest = generator.min_bandwidth
        self._configs, self._rows, self._donations = configs, rows, donations

    @cached_property
    def data(self) -> Floats:
        """(n, d), nothing missing."""
        return self._donations.given(np.array([self._configs[i] for i in self._rows]))

    @cached_property
    def bandwidths(self) -> Floats:
        """(d,), statsmodels' normal reference."""
        n, d = self.data.shape
        return np.asarray(np.clip(1.06 * np.std(self.data, axis=0) * n ** (-1.0 / (4 + d)), self._smallest, None))

    def __call__(self, points: Floats) -> Floats:
        """At points (m, d), (m,): statsmodels' operations in their order, on all points at once."""
        product = np.ones((len(points), len(self.data)))
        shown = 1 + (np.diff(np.sort(self.data, axis=0), axis=0) > 0).sum(axis=0)
        for x, known, h, n_levels, levels in zip(points.T, self.data.T, self.bandwidths, shown, self._levels, strict=True):
            if levels:
                other = h / np.float64(n_levels - 1)
                product *= np.where(known == x[:, None], 1 - h, other)
            else:
                product *= 1.0 / np.sqrt(2 * np.pi) * np.exp(-((known - x[:, None]) ** 2) / (h**2 * 2.0))
        return np.asarray((product / np.prod(self.bandwidths[self._levels == 0])).sum(axis=1) / len(self.data))


class _Donations:
    """What fills the gaps of one set of rows, drawn as the original's `impute_conditional_data` draws it."""

    def __init__(self, gaps: list[int], levels: NDArray[np.int64], ahead: "_Ahead") -> None:
        self._turns: list[list[tuple[int, int]]] = []
        self._values: list[tuple[int, int, float]] = []
        donors: dict[int, list[int]] = {}
        for row, missing in enumerate(gaps):
            turn = 0
            while missing > 1:  # the original overlooks a row whose only gap is in column 0, which is never conditional
                ahead.reserve(2)
                column = (missing & -missing).bit_length() - 1
                if column not in donors:
                    donors[column] = [i for i, other in enumerate(gaps) if not other >> column & 1]
                if donors[column]:
                    donor = donors[column][ahead.below(len(donors[column]))]
                    if turn == len(self._turns):
                        self._turns.append([])
                    self._turns[turn].append((row, donor))
                    turn, missing = turn + 1, missing & gaps[donor]
                else:
                    n_levels = int(levels[column])
                    self._values.append((row, column, ahead.below(n_levels) if n_levels else ahead.uniform()))
                    missing &= missing - 1

    def given(self, data: Floats) -> Floats:
        """The data (n, d) without gaps."""
        filled = data.copy()
        for turn in self._turns:
            rows, donors = np.array(turn).T
            filled[rows] = np.where(np.isnan(filled[rows]), data[donors], filled[rows])
        for row, column, value in self._values:
            filled[row, column] = value
        return filled


class _Ahead:
    """numpy's global generator read ahead: the numbers that it would give call by call, out of its 32-bit words."""

    def __init__(self) -> None:
        self.position = 0
        """Words used."""
        self.words: list[int] = []
        """Words read."""
        self._as_array = np.empty(0, dtype=np.uint32)

    def reserve(self, n: int) -> None:
        """Makes sure of the words for n draws."""
        if len(self.words) - self.position < n + _SPARE:
            more = np.random.randint(0, 2**32, size=n + 2 * _SPARE, dtype=np.uint32)
            self._as_array = np.concatenate([self._as_array, more])
            self.words += more.tolist()

    def uniform(self) -> float:
        """`np.random.rand()`."""
        high, low = self.words[self.position : self.position + 2]
        self.position += 2
        return ((high >> 5) * 67108864.0 + (low >> 6)) / 9007199254740992.0

    def uniforms(self, places: NDArray[np.int64]) -> Floats:
        """What `np.random.rand()` gives at these positions of the stream."""
        return np.asarray(((self._as_array[places] >> 5) * 67108864.0 + (self._as_array[places + 1] >> 6)) / 9007199254740992.0)

    def below(self, n: int) -> int:
        """`np.random.randint(n)`: bits enough for n - 1, drawn again while they are too many; none for n = 1."""
        if n == 1:
            return 0
        mask = (1 << (n - 1).bit_length()) - 1
        while True:
            value = self.words[self.position] & mask
            self.position += 1
            if value < n:
                return value


@contextmanager
def _ahead() -> Iterator[_Ahead]:
    """Reads ahead, and leaves the generator behind the words that were used."""
    ahead, start = _Ahead(), np.random.get_state()
    yield ahead
    if not ahead.words:
        return
    np.random.set_state(start)
    np.random.randint(0, 2**32, size=ahead.position, dtype=np.uint32)
