"""BOHB as published: Falkner, Klein & Hutter 2018, with the behaviour of HpBandSter 0.7.4.

Hyperband's brackets, and a kernel density model in place of most random configurations. Two defects of the reference
are corrected unless `hpbandster_densities` restores them: bandwidths of categoricals that prefer unseen levels or make
densities negative, and levels counted in the data instead of the space.
"""

from dataclasses import dataclass

from ConfigSpace import ConfigurationSpace

from bohb_nas import hyperband
from bohb_nas.errors import OptionError
from bohb_nas.methods._brackets import Brackets, check_n_brackets
from bohb_nas.records import Budgets
from bohb_nas.samplers.tpe import Settings, Tpe
from bohb_nas.space.encoding import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be chosen; the defaults are HpBandSter's.

    Raises:
        OptionError: a value is out of its range.
    """

    n_brackets: int | None = None
    """Brackets to open; None for no end."""
    min_points_in_model: int | None = None
    """Fewest good configurations of a model; None, and anything below, means d + 1 for d hyperparameters."""
    top_n_percent: int = 15
    """Share of the results that counts as good, in percent; 1 to 99."""
    n_candidates: int = 64
    """Points drawn from the good density, of which the best is taken."""
    random_fraction: float = 1 / 3
    """Share of new configurations drawn at random although there is a model; 0 to 1."""
    bandwidth_factor: float = 3.0
    """Candidates are drawn with this many bandwidths."""
    min_bandwidth: float = 1e-3
    """Smallest bandwidth, of the unit interval."""
    hpbandster_densities: bool = False
    """Densities as HpBandSter computes them, defects included; for comparison."""

    def __post_init__(self) -> None:
        check_n_brackets(self.n_brackets)
        _check(
            "min_points_in_model", self.min_points_in_model, self.min_points_in_model is None or self.min_points_in_model >= 1, "1 or more"
        )
        _check("top_n_percent", self.top_n_percent, 1 <= self.top_n_percent <= 99, "1 to 99")
        _check("n_candidates", self.n_candidates, self.n_candidates >= 1, "1 or more")
        _check("random_fraction", self.random_fraction, 0 <= self.random_fraction <= 1, "0 to 1")
        _check("bandwidth_factor", self.bandwidth_factor, self.bandwidth_factor > 0, "above 0")
        _check("min_bandwidth", self.min_bandwidth, 0 < self.min_bandwidth < 0.5, "above 0 and below 0.5")


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Options) -> Brackets:
    """The optimizer; as in HpBandSter, running trials do not enter the model, so the number of workers changes nothing."""
    del n_workers
    settings = Settings(
        min_points_in_model=options.min_points_in_model,
        top_n_percent=options.top_n_percent,
        n_candidates=options.n_candidates,
        random_fraction=options.random_fraction,
        bandwidth_factor=options.bandwidth_factor,
        min_bandwidth=options.min_bandwidth,
        hpbandster_densities=options.hpbandster_densities,
    )
    sampler = Tpe(Encoding(space), seed=seed, settings=settings)
    return Brackets(sampler, hyperband.brackets(budgets), seed=seed, n_brackets=options.n_brackets)


def _check(name: str, value: object, good: bool, accepted: str) -> None:  # noqa: FBT001 - the condition of a check
    if not good:
        raise OptionError(f"{name} {value}: accepted is {accepted}")
