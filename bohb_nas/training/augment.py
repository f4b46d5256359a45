"""Augmentation of batches on their device, every image with its own random numbers.

The functions with a generator draw; `crop`, `cutout`, `blend` and `paste` only apply what was drawn.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from bohb_nas.training.data import ResidentData
from bohb_nas.training.operators import erase
from bohb_nas.training.recipe import Recipe
from bohb_nas.training.transform import transform

_TRIES = 10
"""Of a rectangle to be erased."""


def crop(images: Tensor, *, padding: int, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """Surrounds the images with zeros, cuts them back to their size and mirrors some, in one gather.

    Args:
        images: [N, C, H, W] of any kind.
        padding: rows and columns added on each side.
        top: first row kept of each padded image, int64 [N] in [0, 2 padding].
        left: first column, likewise.
        mirrored: which images are flipped left to right after the cut, bool [N].

    Returns:
        [N, C, H, W]
    """
    n, channels, height, width = images.shape
    across = torch.arange(width, device=images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.where(mirrored[:, None], across.flip(0), across)
    padded_width = width + 2 * padding
    pixels = (rows[:, :, None] * padded_width + columns[:, None, :]).view(n, 1, -1).expand(n, channels, -1)
    padded = functional.pad(images, (padding,) * 4) if padding else images
    return padded.flatten(2).gather(2, pixels).view(n, channels, height, width)


def cutout(images: Tensor, *, length: int, row: Tensor, column: Tensor) -> Tensor:
    """Sets to zero a square of each image (DeVries and Taylor 2017); what lies beyond the border is lost.

    Args:
        images: [N, C, H, W]
        length: side of the square in pixels.
        row: of the square's centre, int64 [N].
        column: likewise.
    """
    height, width = images.shape[2:]
    inside = _span(row - length // 2, length, height)[:, :, None] & _span(column - length // 2, length, width)[:, None, :]
    return images.masked_fill(inside[:, None], 0)


def blend(images: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """Mixup (Zhang et al. 2018): share x image + (1 - share) x partner, of targets likewise; all [N, ...], share [N]."""
    return torch.lerp(partners, images, share.view(-1, *[1] * (images.ndim - 1)).to(images.dtype))


def paste(images: Tensor, partners: Tensor, *, share: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al. 2019): a box with about 1 - share of the area comes from the partner.

    Args:
        images: [N, C, H, W]
        partners: the same shape.
        share: wanted of the image itself, [N] in [0, 1].
        row: of the box's centre, int64 [N].
        column: likewise.

    Returns:
        The images, and the share that each kept after the border cut its box, [N].
    """
    height, width = images.shape[2:]
    side = (1 - share).sqrt()
    rows, columns = (side * height).round().long(), (side * width).round().long()
    inside = _span(row - rows // 2, rows[:, None], height)[:, :, None] & _span(column - columns // 2, columns[:, None], width)[:, None, :]
    return torch.where(inside[:, None], partners, images), 1 - inside.float().mean((1, 2))


def normalise(images: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """uint8 images [N, C, H, W] as float32 of zero mean and unit deviation; mean and deviation [C] in levels of 0..255."""
    return (images.float() - mean[:, None, None]) / deviation[:, None, None]


def beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """N draws from Beta(alpha, alpha), in the logarithm so that no alpha is too small.

    log Gamma(a) = log Gamma(a + 1) + log(U) / a (Marsaglia and Tsang 2000, section 6).
    """
    gamma = torch._standard_gamma(torch.full((2, n), alpha + 1, device=generator.device), generator=generator)
    uniform = torch.rand(2, n, generator=generator, device=generator.device)
    logarithms = gamma.log() + uniform.clamp_min(torch.finfo(torch.float32).tiny).log() / alpha
    return (logarithms[0] - logarithms[1]).sigmoid()


def augment(
    data: ResidentData,
    positions: Tensor,
    recipe: Recipe,
    *,
    generator: torch.Generator,
    host: torch.Generator,
    mirrored: Tensor | None = None,
    noted: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """One training batch: crop and flip, policy, normalise, cutout and erasing, mixing; a policy leaves it in another order.

    Args:
        data: has the images.
        positions: of those of the batch, int64 [N].
        recipe: what to apply.
        generator: on the images' device.
        host: on the CPU.
        mirrored: which images a flip is to mirror, bool [N]; None draws them.
        noted: whether it is told what images met.

    Returns:
        float32 images [N, C, H, W]; targets [N, n_classes], the probability of each class; and which choice of each layer of the policy
        every image met, int64 [N, layers], or [N, 0] if that is not noted: of mixed images the image itself, not its partner.
    """
    images, labels = data.images[positions], data.labels[positions]
    images = crop_and_flip(images, recipe, generator=generator, mirrored=mirrored)
    images, labels, chosen = transform(images, labels, recipe.policy, generator=generator, host=host, noted=noted)
    out = _hidden(normalise(images, data.mean, data.deviation), recipe, generator)
    targets = (labels[:, None] == torch.arange(data.n_classes, device=labels.device)).float()
    if recipe.mixing != "none":
        out, targets = _mixed(out, targets, recipe, generator)
    return out, targets, chosen


def crop_and_flip(images: Tensor, recipe: Recipe, *, generator: torch.Generator, mirrored: Tensor | None = None) -> Tensor:
    """What `augment` does first; its arguments."""
    n, height = len(images), images.shape[2]
    if padding := round(recipe.crop_padding * height):
        top, left = _integers(2 * padding + 1, n, generator), _integers(2 * padding + 1, n, generator)
    else:
        top = left = torch.zeros(n, dtype=torch.int64, device=images.device)
    if recipe.flip == "off":
        mirrored = torch.zeros(n, dtype=torch.bool, device=images.device)
    elif mirrored is None:
        mirrored = _integers(2, n, generator).bool()
    return crop(images, padding=padding, top=top, left=left, mirrored=mirrored) if padding or recipe.flip != "off" else images


def _hidden(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Without what cutout and erasing take."""
    n, _, height, width = images.shape
    if length := round(recipe.cutout_length * height):
        images = cutout(images, length=length, row=_integers(height, n, generator), column=_integers(width, n, generator))
    if recipe.erasing_probability:
        rectangle = rectangles(n, height, width, probability=recipe.erasing_probability, generator=generator)
        images = erase(images, top=rectangle[0], left=rectangle[1], height=rectangle[2], width=rectangle[3])
    return images


def _mixed(images: Tensor, targets: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Every image and its target with those of another."""
    n, _, height, width = images.shape
    share = beta(recipe.mixing_alpha, n, generator)
    partner = torch.randperm(n, generator=generator, device=generator.device)
    if recipe.mixing == "mixup":
        images = blend(images, images[partner], share)
    else:
        row, column = _integers(height, n, generator), _integers(width, n, generator)
        images, share = paste(images, images[partner], share=share, row=row, column=column)
    return images, blend(targets, targets[partner], share)


def rectangles(n: int, height: int, width: int, *, probability: float, generator: torch.Generator) -> Tensor:
    """What random erasing takes of each image (Zhong et al. 2020, with torchvision's ranges).

    An area of 2 % to 33 % and a ratio of height to width of 0.3 to 3.3, even in its logarithm; the first of ten tries that
    is smaller than the image both ways counts, and nothing is taken where none is.

    Returns:
        Top, left, height and width, int64 [4, n]; the last two are 0 where nothing is taken.
    """
    area, aspect = torch.rand(2, _TRIES, n, generator=generator, device=generator.device)
    area = height * width * torch.lerp(torch.full_like(area, 0.02), torch.full_like(area, 0.33), area)
    aspect = torch.exp(math.log(0.3) + (math.log(3.3) - math.log(0.3)) * aspect)
    rows, columns = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (rows < height) & (columns < width)
    first = fits.byte().argmax(0, keepdim=True)
    down, across, lot = torch.rand(3, n, generator=generator, device=generator.device)
    taken = fits.gather(0, first)[0] & (lot < probability)
    rows, columns = rows.gather(0, first)[0], columns.gather(0, first)[0]
    top, left = (down * (height - rows + 1)).long(), (across * (width - columns + 1)).long()
    return torch.stack([top, left, rows, columns]).mul(taken)


def alternating(seen: Tensor, positions: Tensor) -> Tensor:
    """Which images of a batch are mirrored when each is every other time that it is seen (Jordan 2024); counts them as seen.

    Args:
        seen: how often each image of the data set was seen, from a random 0 or 1 on, integers [M]; changed.
        positions: of the batch's images in the data set, int64 [N]; one may be there more than once.

    Returns:
        bool [N]
    """
    ordered, order = positions.sort(stable=True)
    places = torch.arange(len(positions), device=positions.device)
    opens = torch.cat([torch.ones_like(ordered[:1], dtype=torch.bool), ordered[1:] != ordered[:-1]])
    earlier = torch.empty_like(places)
    earlier[order] = places - torch.where(opens, places, 0).cummax(0).values
    odd = torch.remainder(seen[positions] + earlier, 2)
    seen.index_add_(0, positions, torch.ones_like(positions, dtype=seen.dtype))
    return odd.bool()


def before_alternating(seen: Tensor, positions: Tensor) -> Tensor:
    """How often each image was seen before `alternating` counted a batch: uint8 [M], of its arguments."""
    return seen.index_add(0, positions, torch.full_like(positions, 255, dtype=torch.uint8))


def _span(first: Tensor, length: Tensor | int, size: int) -> Tensor:
    """Which of `size` positions lie in [first, first + length): bool [N, size]."""
    offset = torch.arange(size, device=first.device) - first[:, None]
    return (offset >= 0) & (offset < length)


def _integers(high: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(high, (n,), generator=generator, device=generator.device)
