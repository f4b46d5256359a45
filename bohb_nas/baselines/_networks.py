"""Networks of publications that no family of the search spaces has."""

from bohb_nas.layers import Activation, Conv, Identity, Layer, Norm, Pool, Sum, chain, conv_norm


def resnet18() -> Layer:
    """ResNet-18 (He et al. 2016, table 1) with a stem for small images: four stages of two blocks, 64 to 512 channels."""
    layers: list[Layer] = [conv_norm(64), Activation()]
    into = 64
    for stage, out in enumerate((64, 128, 256, 512)):
        layers += [_basic(into, out, stride=1 if stage == 0 else 2), _basic(out, out, stride=1)]
        into = out
    return chain(*layers)


def _basic(into: int, out: int, *, stride: int) -> Layer:
    """Two convolutions beside the skip connection, rectified behind the sum."""
    residual = chain(Conv(out, 3, stride), Norm(), Activation(), Conv(out), Norm())
    skip = Identity() if stride == 1 and into == out else conv_norm(out, 1, stride=stride)
    return chain(Sum((residual, skip)), Activation())


def airbench96() -> Layer:
    """Three groups of three convolutions, the last two of each beside a skip connection (Jordan 2024, arXiv:2404.00498)."""
    layers: list[Layer] = [Conv(24), Activation("gelu")]
    for out in (128, 384, 512):
        residual = chain(*conv_norm(out).layers, Activation("gelu"), *conv_norm(out).layers)
        layers += [Conv(out), Pool("max", 2, 2), Norm(), Activation("gelu"), Sum((residual, Identity())), Activation("gelu")]
    return chain(*layers, Pool("max", 4, 4))
