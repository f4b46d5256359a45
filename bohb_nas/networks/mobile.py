"""Networks of inverted residuals, as MobileNetV2 (Sandler et al. 2018), with kernel, expansion and depth of each stage."""

from collections.abc import Mapping

from ConfigSpace import ConfigurationSpace, Float, Integer
from ConfigSpace.hyperparameters import OrdinalHyperparameter

from bohb_nas.layers import Activation, Conv, DropPath, Identity, Layer, Norm, Sum, chain, conv_norm
from bohb_nas.networks._widths import multiple_of_8
from bohb_nas.records import Value

_STEM = 16
_WIDTHS = (24, 48, 96)
"""Channels of each stage, times the width factor; each stage after the first halves the image's sides."""
_LAST = 4
"""Channels of the last convolution in those of the last stage, as 1280 in 320."""


def space() -> ConfigurationSpace:
    """Width and depths, each even in its logarithm; kernels and expansions; stochastic depth."""
    stages = ConfigurationSpace()
    stages.add(Float("mobile_width_factor", (0.25, 4.0), default=1.0, log=True), Float("mobile_drop_path", (0.0, 0.3), default=0.0))
    for stage in range(1, len(_WIDTHS) + 1):
        stages.add(
            Integer(f"mobile_blocks_{stage}", (1, 6), default=2, log=True),
            OrdinalHyperparameter(f"mobile_kernel_{stage}", [3, 5, 7], default_value=3),
            OrdinalHyperparameter(f"mobile_expansion_{stage}", [3, 6], default_value=3),
        )
    return stages


def network(config: Mapping[str, Value]) -> Layer:
    """The network: a convolution, three stages, a 1x1 convolution; every width the nearest multiple of 8."""
    factor, drop_path = float(config["mobile_width_factor"]), float(config["mobile_drop_path"])
    into = multiple_of_8(_STEM * factor)
    layers: list[Layer] = [*conv_norm(into).layers, Activation("relu6")]
    for stage, width in enumerate(_WIDTHS, start=1):
        out = multiple_of_8(width * factor)
        kernel, expansion = int(config[f"mobile_kernel_{stage}"]), int(config[f"mobile_expansion_{stage}"])
        stride, n_blocks = 1 if stage == 1 else 2, int(config[f"mobile_blocks_{stage}"])
        layers.append(inverted_residual(into, out, kernel=kernel, expansion=expansion, stride=stride, drop_path=drop_path))
        layers += [inverted_residual(out, out, kernel=kernel, expansion=expansion, stride=1, drop_path=drop_path)] * (n_blocks - 1)
        into = out
    return chain(*layers, Conv(_LAST * into, 1), Norm(), Activation("relu6"))


def inverted_residual(into: int, out: int, *, kernel: int, expansion: int, stride: int, drop_path: float = 0.0) -> Layer:
    """A 1x1 convolution to more channels, a depthwise one, a 1x1 convolution back, and a skip connection between equal shapes.

    Args:
        into: channels that come in.
        out: channels.
        kernel: of the depthwise convolution.
        expansion: channels in between, in those that come in; with 1 the first convolution is left out.
        stride: of the depthwise convolution.
        drop_path: rate at which the residual is dropped, where there is a skip connection.
    """
    wide = into * expansion
    expand = (Conv(wide, 1), Norm(), Activation("relu6")) if expansion > 1 else ()
    residual = chain(*expand, Conv(wide, kernel, stride, groups=wide), Norm(), Activation("relu6"), Conv(out, 1), Norm())
    if stride > 1 or into != out:
        return residual
    return Sum((DropPath(residual, drop_path) if drop_path > 0 else residual, Identity()))
