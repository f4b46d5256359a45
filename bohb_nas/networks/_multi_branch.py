"""The residual network of Zela et al. (2018) as layers: groups of Shake-Shake blocks, ShakeDrop where a block has one branch."""

from collections.abc import Callable, Mapping

from bohb_nas.layers import Activation, Chain, Concat, Conv, Identity, Layer, Norm, Shake, ShakeDrop, Shift, Sum, chain, conv_norm, named
from bohb_nas.records import Value

GROUPS = (1, 2, 3)
"""The groups of blocks; each after the first halves the image's sides."""
PLACE = "multi_branch"
"""Before the names of all parts, which are none of another family's."""


def described(config: Mapping[str, Value], whole: Callable[[float], int]) -> Chain:
    """The network of a configuration; `whole` makes a number of channels of the width before times its factor."""
    into, death_rate = whole(int(config["initial_filters"])), float(config["death_rate"])
    layers: dict[str, Layer] = {f"{PLACE}/stem": conv_norm(into)}
    for group in GROUPS:
        out, branches = whole(into * float(config[f"widen_factor_{group}"])), int(config[f"res_branches_{group}"])
        first = _block(into, out, stride=1 if group == 1 else 2, branches=branches, death_rate=death_rate)
        further = _block(out, out, stride=1, branches=branches, death_rate=death_rate)
        blocks = range(1, int(config[f"nr_residual_blocks_{group}"]) + 1)
        layers |= {f"{PLACE}/group_{group}_block_{block}": first if block == 1 else further for block in blocks}
        into = out
    return named({**layers, f"{PLACE}/end": Activation()})


def _block(into: int, out: int, *, stride: int, branches: int, death_rate: float) -> Sum:
    """Parallel branches from the rectified input, and the skip connection; the first branch is the only one's where there is but one."""
    branch = chain(Conv(out, 3, stride), Norm(), Activation(), Conv(out), Norm())
    names = tuple(f"branch_{number}" for number in range(1, branches + 1))
    residual: Layer = branch if branches == 1 else Shake((branch,) * branches, names)
    if branches == 1 and death_rate > 0:
        residual = ShakeDrop(branch, death_rate)
    skip = _shortcut(out, stride) if stride > 1 or into != out else Identity()
    return Sum((named({"relu": Activation(), names[0] if branches == 1 else "": residual}), skip), ("", "skip"))


def _shortcut(out: int, stride: int) -> Chain:
    """The skip connection between unequal shapes: two strided 1x1 convolutions, one of them seeing the image one pixel on."""
    shifted = chain(Shift(), Conv(out - out // 2, 1, stride))
    if out == 1:
        return chain(Concat((shifted,), ("shifted",)), Norm())
    return chain(Concat((chain(Activation(), Conv(out // 2, 1, stride)), shifted), ("straight", "shifted")), Norm())
