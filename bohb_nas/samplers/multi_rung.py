"""The model of `bohb`: good and bad densities on every rung, each rung heard as far as it agrees with the top.

The mathematics is in `density`, `agreement` and `rung_model`; here is what they are given, and which candidate is taken.
Everything is a function of what was asked and told, in that order, and of the generator of the proposal.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace.exceptions import ForbiddenValueError

from bohb_nas import entries
from bohb_nas.arrays import Floats
from bohb_nas.durations import counted
from bohb_nas.entries import check_option, is_whole
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Origin, Result, Status, Value
from bohb_nas.samplers import rung_model
from bohb_nas.samplers.agreement import entry_chances, kendall, say, trust
from bohb_nas.samplers.density import Columns, log_sum_exp
from bohb_nas.samplers.earlier import Earlier, earlier_studies
from bohb_nas.samplers.rung_model import RungModel
from bohb_nas.samplers.uniform import Fresh, Proposal
from bohb_nas.space.axes import Axes
from bohb_nas.space.encoding import Encoding

_MOST_SHARED = 100
_MOST_AVOIDED = 40
_FEWEST_AT_REFERENCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(rung_model.Settings):
    """What can be chosen about the model; every part can be switched off.

    Raises:
        OptionError: a value is not accepted.
    """

    random_fraction: float = 0.1
    """Share of new configurations drawn at random although there is a model; 0 to 1."""
    n_candidates: int = 48
    """Points drawn from the good density, of which one is taken."""
    all_rungs: bool = True
    """Whether every rung that agrees with the highest modelled one has a say; false asks that one alone."""
    learnt_entry: bool = True
    """Whether new configurations enter higher where low rungs mislead; false starts all on the cheapest."""
    cost_aware: bool = True
    """Whether a candidate's expected training seconds count against it, where they differ much."""
    avoid_memory: bool = True
    """Whether what ran out of memory on one rung counts as bad on every rung."""

    def __post_init__(self) -> None:
        rung_model.Settings.__post_init__(self)  # super() knows the class as it was before it got slots
        drawn, n = self.random_fraction, self.n_candidates
        check_option("random_fraction", drawn, entries.is_number(drawn) and 0 <= drawn <= 1, "a number from 0 to 1")
        check_option("n_candidates", n, is_whole(n, 1, 100_000), "a whole number from 1 to 100000")
        for name in ("all_rungs", "learnt_entry", "cost_aware", "avoid_memory"):
            check_option(name, getattr(self, name), type(getattr(self, name)) is bool, "true or false")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """A model that has a say, and how much."""

    name: str
    model: RungModel
    trust: float
    weight: float
    trials: tuple[str, ...] = ()
    """Of an earlier study: the trials that its observations are, by their numbers."""

    def called(self, number: int) -> str:
        """An observation's name: this study's configuration, or the earlier study's trial."""
        return self.trials[number] if self.trials else f"c{number:05d}"


class MultiRung:
    """Proposes new configurations for a ladder, and says where they enter.

    Args:
        encoding: of the space.
        n_rungs: of the ladder.
        seed: of the study; thins what is too much to model.
        settings: of the model.
        knowledge: its beliefs, its earlier studies, and what it allows.
    """

    def __init__(self, encoding: Encoding, *, n_rungs: int, seed: int, settings: Settings, knowledge: Knowledge = NOTHING) -> None:
        self._encoding, self._axes = encoding, Axes(encoding)
        self._columns = Columns(self._axes.axes)
        self._settings, self._knowledge, self._fresh = settings, knowledge, Fresh(encoding, knowledge=knowledge)
        self._rungs = [RungModel(self._columns, settings=settings, stream=(seed, k, 1)) for k in range(n_rungs)]
        self._top = n_rungs - 1
        self._fewest = max(6, min(10, self._columns.d // 2 + 2))
        self._points: list[Floats] = []
        self._rows: list[Floats] = []
        self._told: list[tuple[int, int, float, float, bool]] = []
        self._seen: set[bytes] = set()
        self._avoided = np.empty((0, self._columns.d))
        self._n_pairs = 0
        self._taus: dict[int, tuple[object, float, int]] = {}
        self._earlier = earlier_studies(self._columns, self._axes, encoding, settings=settings, knowledge=knowledge)

    def asked(self, number: int, config: Mapping[str, Value]) -> None:
        """The configuration of that number has begun."""
        if number == len(self._points) + len(self._rows):
            self._rows.append(self._encoding.encode([config])[0])

    def observe(self, number: int, *, rung: int, loss: float | None, result: Result) -> None:
        """It has ended there; None is a failure, or a broken constraint."""
        too_large = result.status is Status.OUT_OF_MEMORY
        self._told.append((number, rung, math.inf if loss is None else loss, result.train_s, too_large))

    def _take_in(self) -> None:
        """Takes in what was asked and told since the last proposal: a long study that is replayed does it all at once."""
        if self._rows:
            points = self._axes.points(np.array(self._rows))
            self._points.extend(points)
            self._seen.update(point.tobytes() for point in points)
            self._rows.clear()
        for number, rung, loss, cost, too_large in self._told:
            self._n_pairs += any(number in r.results.loss_of for r in self._rungs)
            point = self._points[number]
            self._rungs[rung].results.add(number, point, loss=loss, cost=cost)
            if too_large and self._settings.avoid_memory:
                self._avoided = np.vstack([self._avoided, point])[-_MOST_AVOIDED:]
        self._told.clear()

    def entry(self, rng: np.random.Generator) -> int:
        """The rung at which the next new configuration starts: the cheapest until the top has shown something."""
        self._take_in()
        u = rng.random()
        if not self._settings.learnt_entry or not len(self._rungs[self._top].results):
            return 0
        return min(int(np.searchsorted(np.cumsum(entry_chances(self.trusts())), u, side="right")), self._top)

    def trusts(self) -> list[float]:
        """How far each rung can be trusted, 1 for the top: its agreement with the highest rung that has four results."""
        self._take_in()
        sizes = [len(rung.results) for rung in self._rungs]
        reference = max((k for k, n in enumerate(sizes) if n >= _FEWEST_AT_REFERENCE), default=0)
        return [1.0 if k == self._top else trust(*self._tau(k, reference)) for k in range(self._top + 1)]

    def _tau(self, k: int, reference: int) -> tuple[float, int]:
        """Kendall's tau of two rungs over the configurations that both have, and their number."""
        if k >= reference:
            return 0.0, 0
        key = (reference, self._n_pairs)
        if k not in self._taus or self._taus[k][0] != key:
            low, high = self._rungs[k].results.loss_of, self._rungs[reference].results
            shared = list(itertools.islice((i for i in reversed(high.numbers) if i in low), _MOST_SHARED))
            x = np.array([low[i] for i in shared])
            y = np.array([high.loss_of[i] for i in shared])
            self._taus[k] = key, kendall(x, y), len(shared)
        return self._taus[k][1:]

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A new configuration."""
        self._take_in()
        voices = self._voices()
        if not voices:
            n = max(rung.results.n_ok for rung in self._rungs)
            unheard = "".join(f"; {e.name} is not heard, its trust is {self._agreement(e, []):.2f}" for e in self._earlier)
            return self._fresh.draw(rng, reason=f"no model: {counted(n, 'result')} with a loss on one rung, {self._fewest} needed{unheard}")
        if rng.random() < self._settings.random_fraction:
            return self._fresh.draw(rng, reason="random fraction")
        points = voices[-1].model.good().draw(rng, self._settings.n_candidates)
        points = self._axes.settled(np.where(self._axes.active(points), points, np.nan))
        points = points[[point.tobytes() not in self._seen for point in points]]
        if not len(points):
            return self._fresh.draw(rng, reason="every candidate was tried before")
        features = self._columns.features(points)
        ratios = sum(voice.weight * self._log_ratio(voice, features) for voice in voices)
        costs = voices[-1].model.log_costs(features) if self._settings.cost_aware else np.zeros(len(points))
        scores = np.asarray(ratios - costs)
        for rank, i in enumerate(np.argsort(-scores, kind="stable")):
            if (config := self._legal(points[i])) is not None:
                about = {"candidates": len(points), "rank": rank + 1, "score": float(scores[i]), "log_cost": float(costs[i])}
                return self._pick(config, voices, features[i], about)
        return self._fresh.draw(rng, reason="every candidate is forbidden")

    def _voices(self) -> list[_Voice]:
        """Who has a say, the highest modelled rung last: earlier studies, then rungs from below."""
        modelled = [k for k, rung in enumerate(self._rungs) if rung.results.n_ok >= self._fewest]
        heard = [(e, self._agreement(e, modelled)) for e in self._earlier]
        earlier = [_Voice(name=e.name, model=e.model, trust=t, weight=say(t), trials=e.trials) for e, t in heard if say(t) > 0]
        if not modelled:
            return earlier
        trusts = self.trusts()
        weights = {k: say(trusts[k]) for k in modelled[:-1] if self._settings.all_rungs} | {modelled[-1]: 1.0}
        rungs = [_Voice(name=f"rung {k}", model=self._rungs[k], trust=trusts[k], weight=w) for k, w in weights.items() if w > 0]
        return [*earlier, *rungs]

    def _log_ratio(self, voice: _Voice, features: Floats) -> Floats:
        """Log l - log g of one voice at m points, (m,)."""
        good, bad = voice.model.good(), voice.model.bad(self._avoided)
        return np.asarray(good.log_density(features) - bad.log_density(features))

    def _legal(self, point: Floats) -> dict[str, Value] | None:
        try:
            config = self._encoding.decode(self._axes.rows(point[None])[0])
        except ForbiddenValueError:
            return None
        return config if self._knowledge.allowed(config) else None

    def _pick(self, config: dict[str, Value], voices: list[_Voice], features: Floats, about: dict[str, Any]) -> Proposal:
        target = voices[-1]
        n = len(target.model.results)
        return Proposal(
            config=config,
            origin=Origin.MODEL,
            reason=f"from {counted(n, 'result')} of {target.name}, {counted(len(voices), 'model')} heard",
            explanation={**about, "heard": [self._heard(voice, features) for voice in voices]},
        )

    def _heard(self, voice: _Voice, features: Floats) -> dict[str, Any]:
        """What one voice said of the pick: JSON, with the good observations that it rests on most."""
        good = voice.model.good()
        parts = features @ good.table + good.log_weights
        shares = np.exp(parts - log_sum_exp(parts[None])[0])
        numbers = voice.model.good_numbers()
        most = np.argsort(-shares[:-1], kind="stable")[:5]
        return {
            "model": voice.name,
            "results": len(voice.model.results),
            "good": len(numbers),
            "trust": round(voice.trust, 4),
            "weight": round(voice.weight, 4),
            "log_ratio": round(float(self._log_ratio(voice, features[None])[0]), 4),
            "rests_on": {voice.called(numbers[i]): round(float(shares[i]), 4) for i in most},
            "prior": round(float(shares[-1]), 4),
        }

    def _agreement(self, earlier: Earlier, modelled: list[int]) -> float:
        """How far an earlier study can be trusted: the agreement of its ratios with the losses on the highest modelled rung."""
        rung = self._rungs[modelled[-1] if modelled else 0].results
        recent = rung.numbers[-_MOST_SHARED:]
        key = (id(rung), len(rung))
        if earlier.measured is None or earlier.measured[0] != key:
            tau = 0.0
            if len(recent) > 1:
                features = self._columns.features(np.array([self._points[i] for i in recent]))
                ratios = earlier.model.good().log_density(features) - earlier.model.bad(self._avoided[:0]).log_density(features)
                tau = kendall(-ratios, np.array([rung.loss_of[i] for i in recent]))
            earlier.measured = key, trust(tau, len(recent) if len(recent) > 1 else 0)
        return earlier.measured[1]
