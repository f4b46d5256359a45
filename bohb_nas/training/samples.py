"""A picture of what the network is shown: some training images after augmentation."""

import io

import torch
from PIL import Image

from bohb_nas.training.augment import augment
from bohb_nas.training.data import ResidentData
from bohb_nas.training.learner import Streams
from bohb_nas.training.recipe import Recipe

_ROWS, _COLUMNS = 4, 8


def picture(data: ResidentData, recipe: Recipe) -> bytes:
    """A PNG of 4 x 8 augmented images, drawn from random streams of its own."""
    streams = Streams.seeded(0, data.images.device)
    positions = data.train[torch.arange(_ROWS * _COLUMNS, device=data.train.device) % len(data.train)]
    images, _, _ = augment(data, positions, recipe, generator=streams.augmentation, host=streams.host)
    levels = images * data.deviation[:, None, None] + data.mean[:, None, None]
    height, width, channels = data.image_shape
    pixels = levels.round().clamp(0, 255).byte().view(_ROWS, _COLUMNS, channels, height, width)
    grid = pixels.permute(0, 3, 1, 4, 2).reshape(_ROWS * height, _COLUMNS * width, channels).cpu().numpy()
    stream = io.BytesIO()
    Image.fromarray(grid if channels == 3 else grid[:, :, 0]).save(stream, format="PNG")
    return stream.getvalue()
