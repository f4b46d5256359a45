"""How the one-shot searches are done: plain data that the methods take from a user and the worker trains by."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from bohb_nas.entries import check_option, is_number, is_whole, refuse_unknown
from bohb_nas.errors import OptionError

Controller = Literal["robust", "paper", "differentiable", "uniform", "random"]
"""How AutoHAS's controller learns: `robust` from several rollouts on common batches, `paper` from one rollout of one step under a moving
baseline, `differentiable` as `robust`, but what acts in the temporary step itself by the gradient through it. Two never learn, as
baselines: `uniform` hands out the best of those that the shared weights are tried on at the end, `random` one drawn at random."""
Objective = Literal["bounded", "adversarial", "fixed"]
"""What DHA's augmentation policy goes after: images a little harder than unchanged ones, the hardest (as released), or nothing."""
_LEARNING = ("robust", "paper", "differentiable")
_HEEDED_BY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("rollouts", "every", "rate", "entropy", "warm_up", "compare"), _LEARNING),
    **dict.fromkeys(("horizon", "reward"), (*_LEARNING, "uniform")),
    "tried": ("uniform",),
}
"""Controllers on which a setting of AutoHAS has an effect; those that are not here have it on all."""
COOL_DOWN_FROM = 0.8
"""Fraction of the budget at which the rate of shared weights begins to fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoHas:
    """Of AutoHAS (Dong et al. 2020, arXiv:2006.03656).

    Raises:
        OptionError: a value that is not accepted.
    """

    controller: Controller = "robust"
    rollouts: int | None = None
    """Candidates of one controller step; None is 4. Of `paper` always 1."""
    horizon: int = 1
    """Temporary steps before a candidate is judged; of `differentiable` always 1."""
    every: int | None = None
    """Steps of the shared weights for one of the controller; None is 2, or 1 of `paper`."""
    rate: float | None = None
    """Of the controller's Adam; None is what brings a logit as far in a long search as in a short one, or 0.02 of `paper`."""
    entropy: float = 0.0
    """Weight of the controller's entropy beside the reward."""
    warm_up: float = 0.25
    """Fraction of the budget before the controller learns."""
    reward: Literal["cross_entropy", "accuracy"] | None = None
    """None is the negative cross-entropy, or the accuracy of `paper`."""
    compare: Literal["ranks", "rewards"] = "ranks"
    """How several rollouts are compared: by rank alone, or by how far a reward is from the mean of the others."""
    n_bases: int = 5
    """Of each number."""
    tried: int = 20
    """Configurations that `uniform` tries at the end."""
    max_flops: float | None = None
    """Of one image's forward pass: larger networks are never drawn."""
    max_params: float | None = None

    def __post_init__(self) -> None:
        _one_of("controller", self.controller, get_args(Controller))
        check_option("every", self.every, self.every is None or is_whole(self.every, 1), "a whole number from 1")
        check_option("rollouts", self.rollouts, self.rollouts is None or is_whole(self.rollouts, 1, 100), "a whole number from 1 to 100")
        check_option("horizon", self.horizon, is_whole(self.horizon, 1, 100), "a whole number from 1 to 100")
        if self.controller == "differentiable":
            check_option("horizon", self.horizon, self.horizon == 1, "1 of the differentiable controller, which follows a single step")
            check_option(
                "reward", self.reward, self.reward != "accuracy", "cross_entropy of the differentiable controller, for its gradient"
            )
        check_option("n_bases", self.n_bases, is_whole(self.n_bases, 2, 100), "a whole number from 2 to 100")
        check_option("tried", self.tried, is_whole(self.tried, 1, 10_000), "a whole number from 1 to 10000")
        check_option("rate", self.rate, self.rate is None or (is_number(self.rate) and self.rate > 0), "a number above 0")
        check_option("entropy", self.entropy, is_number(self.entropy) and self.entropy >= 0, "a number from 0")
        inside = is_number(self.warm_up) and 0 <= self.warm_up < self.until
        check_option("warm_up", self.warm_up, inside, f"a number from 0 and below {self.until:g}, where the controller stops")
        check_option("compare", self.compare, self.compare in ("ranks", "rewards"), "ranks or rewards")
        _check_sizes(self)
        check_option("reward", self.reward, self.reward in (None, "cross_entropy", "accuracy"), "cross_entropy or accuracy")
        _check_heeded(self)

    @property
    def n_rollouts(self) -> int:
        """Candidates of one controller step."""
        return self.rollouts or (1 if self.controller == "paper" else 4)

    @property
    def interval(self) -> int:
        """Steps of the shared weights for one of the controller."""
        return self.every or (1 if self.controller == "paper" else 2)

    @property
    def until(self) -> float:
        """Fraction of the budget after which the controller no longer learns.

        That is where the rate of the shared weights begins to fall: to weights that have come to rest every step of a full rate is harm.
        """
        return 1.0 if self.controller == "paper" else COOL_DOWN_FROM

    def learns(self, u: float) -> bool:
        """Whether the controller learns at a fraction of the budget."""
        return self.controller in _LEARNING and self.warm_up <= u <= self.until

    @property
    def fixed_rate(self) -> float | None:
        """Of the controller's Adam; None where it depends on the length of the search."""
        return 0.02 if self.rate is None and self.controller == "paper" else self.rate

    @property
    def rewarded(self) -> Literal["cross_entropy", "accuracy"]:
        """By what a candidate is judged."""
        return self.reward or ("accuracy" if self.controller == "paper" else "cross_entropy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dha:
    """Of DHA (Zhou et al. 2022, arXiv:2109.05765).

    Raises:
        OptionError: a value that is not accepted.
    """

    proj_dims: int = 12
    """Numbers of a node's code in the compressed space."""
    code_rate: float = 0.01
    """Of the Adam that trains the codes."""
    recover_every: int = 25
    """Steps between two recoveries of the sparse codes."""
    explore: float = 1.0
    """Probability at the start, falling to 0 when the search ends, that a step trains other operators than the chosen ones. With 0 the
    codes learn by the released rule alone."""
    credit_rate: float = 0.05
    """Of the codes' steps towards operators whose losses were low when they were tried."""
    settled: float = 1e-3
    """A node whose sparse code moves no further than this between two recoveries is frozen."""
    search_share: float = 0.5
    """Fraction of the budget after which every node is frozen at the latest."""
    rate: float = 0.05
    """Learning rate at the start, for batches of 128."""
    rate_low: float = 0.005
    rate_high: float = 0.5
    weight_decay: float = 3e-4
    weight_decay_low: float = 1e-5
    weight_decay_high: float = 1e-2
    hyper_rate: float = 0.02
    """Largest change of the logarithm of either in one step."""
    hyper_every: int = 10
    """Steps of training between two steps of these."""
    momentum: float = 0.9
    policy: Objective = "bounded"
    policy_rate: float = 0.01
    max_flops: float | None = None
    """Of one image's forward pass: a search whose largest network has more is refused."""
    max_params: float | None = None
    rho: float = 1.25
    """Loss of an augmented image that `bounded` goes after, in those of unchanged ones."""

    def __post_init__(self) -> None:
        _one_of("policy", self.policy, get_args(Objective))
        _check_sizes(self)
        check_option("proj_dims", self.proj_dims, is_whole(self.proj_dims, 2, 1000), "a whole number from 2 to 1000")
        check_option("hyper_every", self.hyper_every, is_whole(self.hyper_every, 1), "a whole number from 1")
        check_option("recover_every", self.recover_every, is_whole(self.recover_every, 1), "a whole number from 1")
        for name in ("code_rate", "settled", "rate", "rate_low", "rate_high", "weight_decay_low", "weight_decay_high", "weight_decay"):
            value = getattr(self, name)
            check_option(name, value, is_number(value) and value > 0, "a number above 0")
        for name in ("hyper_rate", "policy_rate", "credit_rate"):
            value = getattr(self, name)
            check_option(name, value, is_number(value) and value >= 0, "a number from 0")
        check_option(
            "search_share", self.search_share, is_number(self.search_share) and 0 < self.search_share < 1, "a number between 0 and 1"
        )
        check_option("explore", self.explore, is_number(self.explore) and 0 <= self.explore <= 1, "a number from 0 to 1")
        check_option("momentum", self.momentum, is_number(self.momentum) and 0 <= self.momentum < 1, "a number from 0 and below 1")
        check_option("rho", self.rho, is_number(self.rho) and self.rho >= 1, "a number from 1")
        for name in ("rate", "weight_decay"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            inside = low <= getattr(self, name) <= high
            check_option(name, getattr(self, name), inside, f"a number from {name}_low, {low:g}, to {name}_high, {high:g}")


Settings = AutoHas | Dha
SEARCHES: Mapping[str, type[AutoHas] | type[Dha]] = {"autohas": AutoHas, "dha": Dha}
"""Settings by the name of the method."""


def to_json(settings: Settings) -> dict[str, Any]:
    """The settings as a JSON object, with the method's name under `method`."""
    return {
        "method": "autohas" if isinstance(settings, AutoHas) else "dha",
        **{f.name: getattr(settings, f.name) for f in fields(settings)},
    }


def from_json(value: object) -> Settings:
    """The inverse of `to_json`; what is missing is the default.

    Raises:
        OptionError: another method, an unknown name or a value that is not accepted.
    """
    if not isinstance(value, dict) or value.get("method") not in SEARCHES:
        raise OptionError(f"search {value!r}: accepted is an object whose method is one of {', '.join(SEARCHES)}")
    chosen = SEARCHES[value["method"]]
    settings = {name: setting for name, setting in value.items() if name != "method"}
    refuse_unknown(value["method"], settings, [f.name for f in fields(chosen)])
    return chosen(**settings)


def _check_heeded(settings: AutoHas) -> None:
    """Refuses what was said to no effect.

    Raises:
        OptionError: something was.
    """
    defaults = {f.name: f.default for f in fields(AutoHas)}
    for name, controllers in _HEEDED_BY.items():
        value = getattr(settings, name)
        if value != defaults[name] and settings.controller not in controllers:
            raise OptionError(
                f"{name} is {value!r}, which has no effect with controller {settings.controller}; leave it out, or take a "
                f"controller by which it is heeded: {', '.join(controllers)}"
            )
    alone = settings.n_rollouts == 1
    if settings.controller == "paper":
        check_option(
            "rollouts", settings.rollouts, alone, "1 of the paper controller, whose baseline is a moving mean; robust compares several"
        )
    check_option(
        "compare", settings.compare, settings.compare == "ranks" or not alone, "ranks where there is one rollout: nothing is compared"
    )


def _check_sizes(settings: "AutoHas | Dha") -> None:
    for name in ("max_flops", "max_params"):
        value = getattr(settings, name)
        check_option(name, value, value is None or (is_number(value) and value > 0), "a number above 0")


def _one_of(name: str, value: object, accepted: tuple[str, ...]) -> None:
    check_option(name, value, value in accepted, ", ".join(accepted))
