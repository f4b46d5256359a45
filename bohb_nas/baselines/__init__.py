"""Hand-designed networks, each with the recipe that it is trained by: what a search has to beat.

Nothing here needs torch or a study. A network of the search spaces' families is a configuration of the joint space; any other is
named by `baseline` in its configuration, and `network` describes either. The worker trains them like any configuration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bohb_nas import networks
from bohb_nas.baselines._networks import airbench96, resnet18
from bohb_nas.errors import OptionError, UsageError
from bohb_nas.layers import Layer
from bohb_nas.layers.arithmetic import size
from bohb_nas.records import Value

NETWORK = "bohb_nas.baselines:network"
"""The reference of `network`, for the worker's option of that name."""

_DESCRIBED: Mapping[str, Callable[[], Layer]] = {"resnet18": resnet18, "airbench96": airbench96}
"""Networks that no family has."""

USUAL: Mapping[str, Value] = {
    "optimizer": "sgd",
    "sgd_learning_rate": 0.1,
    "sgd_one_minus_momentum": 0.1,
    "sgd_weight_decay": 5e-4,
    "batch_size": 128,
    "label_smoothing": 0.0,
    "schedule": "cosine",
    "warm_up": 0.05,
    "average": "off",
    "flip": "on",
    "crop": "on",
    "crop_padding": 0.125,
    "cutout": "off",
    "mixing": "none",
    "policy": "none",
}
"""SGD with Nesterov's momentum, one cosine, crops of an image padded by 4 of 32 pixels, and flips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A hand-designed network and its recipe."""

    name: str
    title: str
    """With its paper."""
    config: Mapping[str, Value]
    differs: str = ""
    """In what from its publication."""


def _shake_shake(width: int) -> Baseline:
    """Three groups of four blocks of two branches; the paper's learning rate and weight decay."""
    blocks: dict[str, Value] = {f"nr_residual_blocks_{g}": 4 for g in (1, 2, 3)}
    branches: dict[str, Value] = {f"res_branches_{g}": 2 for g in (1, 2, 3)}
    widths: dict[str, Value] = {"initial_filters": 16, "widen_factor_1": width / 16, "widen_factor_2": 2.0, "widen_factor_3": 2.0}
    own: dict[str, Value] = {"sgd_learning_rate": 0.2, "sgd_weight_decay": 1e-4}
    return Baseline(
        name=f"shake_shake_26_2x{width}d",
        title=f"Shake-Shake 26 2x{width}d (Gastaldi 2017)",
        config={"family": "multi_branch", **blocks, **widths, **branches, **USUAL, **own},
        differs="seconds in place of 1800 epochs",
    )


BASELINES: tuple[Baseline, ...] = (
    Baseline(
        name="resnet18",
        title="ResNet-18 for 32x32 images (He et al. 2016)",
        config={"baseline": "resnet18", **USUAL},
        differs="stem of one 3x3 convolution without pooling, as is usual for small images",
    ),
    _shake_shake(32),
    _shake_shake(64),
    _shake_shake(96),
    Baseline(
        name="wrn_28_10",
        title="WRN-28-10 (Zagoruyko and Komodakis 2016)",
        config={"family": "wrn", "wrn_blocks": 4, "wrn_widen_factor": 10.0, "wrn_dropout": 0.0, **USUAL},
        differs="one cosine in place of steps",
    ),
    Baseline(
        name="airbench96",
        title="after airbench96 (Jordan 2024)",
        config={
            "baseline": "airbench96",
            **USUAL,
            "batch_size": 1024,
            "sgd_learning_rate": 0.147,  # 1.174 for batches of 1024: the published 9 over 1 + 1 / (1 - 0.85)
            "sgd_one_minus_momentum": 0.15,
            "sgd_weight_decay": 1.33e-3,  # the published 0.012 over 9: it is decoupled from the rate
            "label_smoothing": 0.2,
            "schedule": "linear",
            "flip": "alternating",
            "cutout": "on",
            "cutout_length": 0.375,
        },
        differs=(
            "a 3x3 convolution learned like the others in place of frozen 2x2 whitening, so groups see 32, 16, 8 rows, not 31, 15, 7; "
            "normalisations have scales; logits are not divided by 9; biases have the common rate; no Lookahead; zeros around crops"
        ),
    ),
)


def find(names: Sequence[str]) -> tuple[Baseline, ...]:
    """The baselines of these names, in the catalogue's order; all where none is named.

    Raises:
        UsageError: there is none of a name.
    """
    known = {b.name: b for b in BASELINES}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no baseline {', '.join(map(repr, unknown))}; accepted are {', '.join(known)}")
    return tuple(b for b in BASELINES if not names or b.name in names)


def network(config: Mapping[str, Value]) -> Layer:
    """The network of a baseline's configuration, or of any other of the search spaces.

    Raises:
        OptionError: `baseline` names none.
    """
    if "baseline" not in config:
        return networks.network(config)
    if (describe := _DESCRIBED.get(str(config["baseline"]))) is None:
        raise OptionError(f"baseline is {config['baseline']!r}; accepted are {', '.join(_DESCRIBED)}")
    return describe()


def table(chosen: Sequence[Baseline]) -> list[dict[str, Any]]:
    """Name, title and size of baselines, for images of 32x32x3 and 10 classes: what `bohb-nas baselines --list --json` prints."""
    sizes = [size(network(b.config)) for b in chosen]
    return [
        {
            "name": b.name,
            "title": b.title,
            "params": int(s["params"]),
            "flops": int(s["flops"]),
            "differs": b.differs,
            "config": dict(b.config),
        }
        for b, s in zip(chosen, sizes, strict=True)
    ]
