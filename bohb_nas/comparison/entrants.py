"""CATALOGUE of who takes part in a comparison: from the seconds of a method to the arguments of `bohb-nas run`, as plain data."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bohb_nas.errors import UsageError
from bohb_nas.records import Value

RUNGS_BELOW = 27
"""The dearest training over the cheapest, of methods with several budgets: three rungs below the top for eta 3."""
TRAININGS = 9
"""Of the dearest kind that the whole time is worth, unless it is said how long one takes."""

Arguments = Callable[[float, float], list[str]]
"""(seconds of the device for everything, seconds of the dearest training of methods that train many networks) -> words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A method as it takes part."""

    name: str
    title: str
    """With its paper."""
    own: Arguments
    """The arguments of `bohb-nas run` beside those that all have: pure."""
    config: Mapping[str, Value] | None = None
    """Where it trains one configuration: in what that differs from the space's default. None: it searches."""


def duration(value: float) -> str:
    """A duration of the command line, exact enough that no rung of a ladder is lost by rounding."""
    return f"{value:.12f}".rstrip("0").rstrip(".") + "s"


def _ladder(method: str) -> Arguments:
    """Many trainings, most of them short."""

    def arguments(time_s: float, train_s: float) -> list[str]:
        dearest, cheapest = duration(train_s), duration(train_s / RUNGS_BELOW)
        return ["--method", method, "--budget-max", dearest, "--budget-min", cheapest, "--total-time", duration(time_s)]

    return arguments


def _random_search(time_s: float, train_s: float) -> list[str]:
    return ["--method", "random_search", "--budget-max", duration(train_s), "--total-time", duration(time_s)]


def _one_shot(*options: str) -> Arguments:
    """Half of the time searches over shared weights, the other half trains what was found."""

    def arguments(time_s: float, train_s: float) -> list[str]:
        half = time_s / 2
        return ["--method", "autohas", "--budget-max", duration(half), "--method-option", f"search_s={json.dumps(half)}", *options]

    return arguments


def _dha(time_s: float, train_s: float) -> list[str]:
    return ["--method", "dha", "--budget-max", duration(time_s)]


def _once(time_s: float, train_s: float) -> list[str]:
    """One training for all of the time."""
    return ["--method", "random_search", "--trials", "1", "--budget-max", duration(time_s)]


REFERENCE = "random_search"
"""Whom the others are compared with, seed by seed."""

ENTRANTS: tuple[Entrant, ...] = (
    Entrant(name="bohb", title="the project's BOHB, after Falkner et al. 2018", own=_ladder("bohb")),
    Entrant(name="bohb_2018", title="BOHB as published (Falkner et al. 2018)", own=_ladder("bohb_2018")),
    Entrant(name="hyperband", title="Hyperband (Li et al. 2018)", own=_ladder("hyperband")),
    Entrant(name="random_search", title="random search (Bergstra and Bengio 2012)", own=_random_search),
    Entrant(name="autohas", title="AutoHAS (Dong et al. 2020), then retraining", own=_one_shot()),
    Entrant(name="dha", title="DHA (Zhou et al. 2022), ready to use", own=_dha),
    Entrant(
        name="one_shot_uniform",
        title="shared weights without a controller, the best of those tried (after Guo et al. 2020), then retraining",
        own=_one_shot("--controller", "uniform"),
    ),
    Entrant(
        name="one_shot_random",
        title="a configuration drawn at random after the time of a search (after Li and Talwalkar 2019), then retraining",
        own=_one_shot("--controller", "random"),
    ),
    Entrant(name="fixed", title="the space's default configuration, trained once", own=_once, config={}),
    Entrant(
        name="trivial_augment",
        title="the same with TrivialAugment (Müller and Hutter 2021)",
        own=_once,
        config={"policy": "trivial"},
    ),
)
DEFAULT = ("bohb", "random_search", "autohas", "dha", "one_shot_uniform", "one_shot_random", "fixed", "trivial_augment")
"""Those that take part unless others are named."""


def find(names: Sequence[str]) -> tuple[Entrant, ...]:
    """The entrants of these names, in this order.

    Raises:
        UsageError: none is named, there is none of a name, or one is named twice.
    """
    known = {entrant.name: entrant for entrant in ENTRANTS}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--methods: no entrant {', '.join(map(repr, unknown))}; accepted are {', '.join(known)}, joined by commas")
    if not names:
        raise UsageError(f"--methods names none; accepted are {', '.join(known)}, joined by commas")
    if len(set(names)) < len(names):
        raise UsageError(f"--methods {','.join(names)}: an entrant is named twice; name each once")
    return tuple(known[name] for name in names)
