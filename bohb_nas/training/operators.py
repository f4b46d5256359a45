"""Operators that change images, every image by a magnitude of its own, as torchvision's automatic augmentation defines them.

Images are uint8 [N, C, H, W], magnitudes float32 [N], both on one device; nothing here draws, and nothing waits for the
device. Any C does, where torchvision takes 1 and 3: `colour` then changes images of three channels alone, and the grey of
`contrast` is the mean of the channels. What comes in from outside an image is 0.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Operator = Callable[[Tensor, Tensor], Tensor]
"""(images, magnitudes) -> images"""


def affine(images: Tensor, matrices: Tensor) -> Tensor:
    """The nearest pixel to where each matrix sends a position; in the middle between two, whichever rounding favours.

    Args:
        images: uint8 [N, C, H, W]
        matrices: [N, 2, 3], from (x, y, 1) in the result to (x, y) in the image, in pixels from the image's centre.
    """
    n, channels, height, width = images.shape
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    across, down, shift = matrices[:, :, :1, None], matrices[:, :, 1:2, None], matrices[:, :, 2:, None]
    half = torch.stack([x[-1], y[-1]])[:, None, None]
    places = across * x + (down * y[:, None] + (shift + half))
    columns, rows = places.round_().unbind(1)
    # one border of zeros on each side is what every place outside is led to
    pixels = (rows.clamp_(-1, height).long() + 1) * (width + 2) + (columns.clamp_(-1, width).long() + 1)
    padded = functional.pad(images, (1, 1, 1, 1)).flatten(2)
    return padded.gather(2, pixels.flatten(1)[:, None].expand(n, channels, height * width)).view_as(images)


def shear_x_matrix(tangent: Tensor, height: int, width: int) -> Tensor:
    """Moves each row by the tangent times its distance from the upper edge, as torchvision does with its centre (0, 0)."""
    one, zero = torch.ones_like(tangent), torch.zeros_like(tangent)
    return _matrices(one, tangent, tangent * (height / 2), zero, one, zero)


def shear_y_matrix(tangent: Tensor, height: int, width: int) -> Tensor:
    """Moves each column by the tangent times its distance from the left edge."""
    one, zero = torch.ones_like(tangent), torch.zeros_like(tangent)
    return _matrices(one, zero, zero, tangent, one, tangent * (width / 2))


def translate_x_matrix(fraction: Tensor, height: int, width: int) -> Tensor:
    """Moves the image right by the whole pixels in that fraction of its width."""
    one, zero = torch.ones_like(fraction), torch.zeros_like(fraction)
    return _matrices(one, zero, -(fraction * width).trunc(), zero, one, zero)


def translate_y_matrix(fraction: Tensor, height: int, width: int) -> Tensor:
    """Moves the image down by the whole pixels in that fraction of its height."""
    one, zero = torch.ones_like(fraction), torch.zeros_like(fraction)
    return _matrices(one, zero, zero, zero, one, -(fraction * height).trunc())


def rotate_matrix(degrees: Tensor, height: int, width: int) -> Tensor:
    """Turns the image anticlockwise about its centre."""
    angle, zero = torch.deg2rad(degrees), torch.zeros_like(degrees)
    cosine, sine = angle.cos(), angle.sin()
    return _matrices(cosine, -sine, zero, sine, cosine, zero)


GEOMETRIC: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "shear_x": shear_x_matrix,
    "shear_y": shear_y_matrix,
    "translate_x": translate_x_matrix,
    "translate_y": translate_y_matrix,
    "rotate": rotate_matrix,
}
"""Name -> (magnitudes [N], height, width) -> matrices for `affine`, which takes those of several operators in one call."""


def brightness(images: Tensor, magnitude: Tensor) -> Tensor:
    """(1 + magnitude) x."""
    return _levels(images * (1 + magnitude)[:, None, None, None])


def colour(images: Tensor, magnitude: Tensor) -> Tensor:
    """Away from the grey image by the factor 1 + magnitude; leaves what has other than three channels as it is."""
    return _away(images, _grey(images), magnitude) if images.shape[1] == 3 else images


def contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Away from the mean of the grey image by the factor 1 + magnitude."""
    return _away(images, _grey(images).mean((1, 2, 3), keepdim=True), magnitude)


def sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Away from the smoothed image by the factor 1 + magnitude; the border stays.

    Smooth is the mean of 3 x 3 pixels in which the middle one counts 5 times, rounded.
    """
    if min(images.shape[2:]) <= 2:
        return images
    wide = images.short()
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    middle = wide[:, :, 1:-1, 1:-1]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * middle
    out = images.clone()
    out[:, :, 1:-1, 1:-1] = _away(middle, (sums / 13).round_(), magnitude)
    return out


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest bits, a number in [0, 8] rounded half to even."""
    mask = (256 - 2 ** (8 - bits.round())).to(torch.uint8)
    return images & mask[:, None, None, None]


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts what is at least the threshold, a fraction in [0, 1] of 255."""
    least = (threshold * 255).ceil().to(torch.uint8)
    bright = (images >= least[:, None, None, None]).to(torch.uint8)
    return images ^ bright.mul_(255)


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches each channel to 0..255; a constant one stays."""
    low, high = images.amin((2, 3), keepdim=True).float(), images.amax((2, 3), keepdim=True).float()
    flat = low == high
    return _levels((images - torch.where(flat, 0.0, low)) / torch.where(flat, 1.0, (high - low) * (1 / 255)))


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Evens each channel's histogram out, as PIL does; a channel without enough pixels besides its brightest level stays."""
    n, channels, height, width = images.shape
    pixels = images.flatten(2).long()
    histogram = torch.zeros(n, channels, 256, dtype=torch.int32, device=images.device)
    histogram.scatter_add_(2, pixels, torch.ones((), dtype=torch.int32, device=images.device).expand_as(pixels))
    brightest = histogram.gather(2, pixels.amax(2, keepdim=True))
    step = (height * width - brightest) // 255
    below = histogram.cumsum(2, dtype=torch.int32) - histogram
    table = ((below + step // 2) // step.clamp_min(1)).clamp_max_(255).to(torch.uint8)
    return torch.where(step[..., None] > 0, table.gather(2, pixels).view_as(images), images)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """255 - x."""
    return ~images


def identity(images: Tensor, _: Tensor) -> Tensor:
    """Nothing."""
    return images


POINTWISE: Mapping[str, Operator] = {
    "brightness": brightness,
    "colour": colour,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "invert": invert,
    "identity": identity,
}
"""Name -> operator, of all that move no pixel."""


def erase(images: Tensor, *, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Sets a rectangle of each image to zero (random erasing, Zhong et al. 2020).

    Args:
        images: [N, C, H, W] of any kind.
        top: first row of the rectangle, int64 [N].
        left: first column, likewise.
        height: rows, likewise; 0 erases nothing.
        width: columns, likewise.
    """
    rows = torch.arange(images.shape[2], device=images.device) - top[:, None]
    columns = torch.arange(images.shape[3], device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < height[:, None]))[:, :, None] & ((columns >= 0) & (columns < width[:, None]))[:, None, :]
    return images.masked_fill(inside[:, None], 0)


def _matrices(*entries: Tensor) -> Tensor:
    """[N, 2, 3] from its six entries [N], row by row."""
    return torch.stack(entries, 1).view(-1, 2, 3)


def _grey(images: Tensor) -> Tensor:
    """Whole levels as float32 [N, 1, H, W]: ITU-R 601-2 of three channels, else the mean of the channels."""
    if images.shape[1] != 3:
        return images.float().mean(1, keepdim=True)
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()[:, None]


def _away(images: Tensor, other: Tensor, magnitude: Tensor) -> Tensor:
    """uint8 of (1 + magnitude) images - magnitude other."""
    return _levels(torch.lerp(other.expand(images.shape), images.float(), (1 + magnitude)[:, None, None, None]))


def _levels(values: Tensor) -> Tensor:
    """Cut off to 0..255 and rounded towards zero; may use the memory of `values`."""
    return values.clamp_(0, 255).to(torch.uint8)
