"""Wide residual networks (Zagoruyko and Komodakis 2016) with pre-activation and dropout: WRN-(6n + 4)-k."""

from collections.abc import Mapping

from ConfigSpace import ConfigurationSpace, Float, Integer

from bohb_nas.layers import Activation, Conv, Dropout, Identity, Layer, Norm, Sum, named
from bohb_nas.networks._widths import multiple_of_8
from bohb_nas.records import Value


def space() -> ConfigurationSpace:
    """Depth and width, each even in its logarithm, and dropout; WRN-28-10 is inside."""
    wide = ConfigurationSpace()
    wide.add(
        Integer("wrn_blocks", (1, 6), default=2, log=True),
        Float("wrn_widen_factor", (0.5, 10.0), default=1.0, log=True),
        Float("wrn_dropout", (0.0, 0.4), default=0.0),
    )
    return wide


def network(config: Mapping[str, Value]) -> Layer:
    """The network: 16 channels, then three groups of n blocks of 16k, 32k and 64k, each to the nearest multiple of 8."""
    layers: dict[str, Layer] = {"wrn/stem": Conv(16)}
    into, dropout = 16, float(config["wrn_dropout"])
    for group in range(1, 4):
        out = multiple_of_8(8 * 2**group * float(config["wrn_widen_factor"]))
        first = _block(into, out, stride=1 if group == 1 else 2, dropout=dropout)
        further = _block(out, out, stride=1, dropout=dropout)
        blocks = range(1, int(config["wrn_blocks"]) + 1)
        layers |= {f"wrn/group_{group}_block_{block}": first if block == 1 else further for block in blocks}
        into = out
    return named({**layers, "wrn/end_norm": Norm(), "wrn/end": Activation()})


def _block(into: int, out: int, *, stride: int, dropout: float) -> Layer:
    """Two convolutions, each behind normalisation and ReLU, which the skip connection shares where it is a convolution."""
    before: dict[str, Layer] = {"norm_1": Norm(), "relu_1": Activation()}
    drop: dict[str, Layer] = {"dropout": Dropout(dropout)} if dropout > 0 else {}
    residual: dict[str, Layer] = {"conv_1": Conv(out, 3, stride), "norm_2": Norm(), "relu_2": Activation(), **drop, "conv_2": Conv(out)}
    if stride == 1 and into == out:
        return Sum((named({**before, **residual}), Identity()), ("", "skip"))
    return named({**before, "": Sum((named(residual), Conv(out, 1, stride)), ("", "skip"))})
