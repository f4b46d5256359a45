"""Networks of inverted residuals, as MobileNetV2 (Sandler et al. 2018), with kernel, expansion and depth of each stage."""

from collections.abc import Mapping

from ConfigSpace import ConfigurationSpace, Float, Integer
from ConfigSpace.hyperparameters import OrdinalHyperparameter

from bohb_nas.layers import Activation, Conv, DropPath, Identity, Layer, Norm, Sum, named
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
    layers: dict[str, Layer] = {"mobile/stem": Conv(into), "mobile/stem_norm": Norm(), "mobile/stem_relu": Activation("relu6")}
    for stage, width in enumerate(_WIDTHS, start=1):
        out = multiple_of_8(width * factor)
        kernel, expansion = int(config[f"mobile_kernel_{stage}"]), int(config[f"mobile_expansion_{stage}"])
        stride, blocks = 1 if stage == 1 else 2, range(1, int(config[f"mobile_blocks_{stage}"]) + 1)
        first = inverted_residual(into, out, kernel=kernel, expansion=expansion, stride=stride, drop_path=drop_path)
        further = inverted_residual(out, out, kernel=kernel, expansion=expansion, stride=1, drop_path=drop_path)
        layers |= {f"mobile/stage_{stage}_block_{block}": first if block == 1 else further for block in blocks}
        into = out
    return named({**layers, "mobile/end": Conv(_LAST * into, 1), "mobile/end_norm": Norm(), "mobile/end_relu": Activation("relu6")})


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
    expand: dict[str, Layer] = {"expand": Conv(wide, 1), "expand_norm": Norm(), "expand_relu": Activation("relu6")}
    depthwise: dict[str, Layer] = {"depthwise": Conv(wide, kernel, stride, groups=wide), "depthwise_norm": Norm()}
    project: dict[str, Layer] = {"depthwise_relu": Activation("relu6"), "project": Conv(out, 1), "project_norm": Norm()}
    residual = named({**(expand if expansion > 1 else {}), **depthwise, **project})
    if stride > 1 or into != out:
        return residual
    return Sum((DropPath(residual, drop_path) if drop_path > 0 else residual, Identity()), ("", "skip"))
