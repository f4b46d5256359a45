"""Every operator beside torchvision's, image by image."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import AutoAugment
from torchvision.transforms.v2 import functional as reference

from bohb_nas.training.operators import GEOMETRIC, POINTWISE, affine, erase

SHAPES = [(3, 32, 32), (1, 8, 8), (3, 9, 14)]


def images(n: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Noise, a gradient, every constant kind, few levels, a narrow range, one bright pixel, in turn."""
    height, width = shape[1:]
    g = torch.Generator().manual_seed(seed)
    noise = torch.randint(256, (n, *shape), generator=g, dtype=torch.uint8)
    gradient = torch.linspace(0, 255, height * width).view(1, height, width).expand(shape).byte()
    special = [noise[0], gradient, *(torch.full(shape, v, dtype=torch.uint8) for v in (0, 1, 128, 255)), noise[1] // 64 * 64]
    special += [noise[2] // 16 + 100, torch.zeros(shape, dtype=torch.uint8)]
    special[-1][:, height // 2, width // 2] = 255
    return torch.stack([special[i] if i < len(special) else noise[i] for i in range(n)])


def auto_augment(name: str, image: Tensor, magnitude: float) -> Tensor:
    """What torchvision's automatic augmentation does with an operator's magnitude."""
    return AutoAugment()._apply_image_or_video_transform(image, name, magnitude, InterpolationMode.NEAREST, {})  # type: ignore[no-any-return]


def truth(operator: str, image: Tensor, magnitude: float) -> Tensor:
    height, width = image.shape[1:]
    match operator:
        case "translate_x":
            return auto_augment("TranslateX", image, magnitude * width)
        case "translate_y":
            return auto_augment("TranslateY", image, magnitude * height)
        case "colour":
            return auto_augment("Color", image, magnitude)
        case "autocontrast":
            return auto_augment("AutoContrast", image, magnitude)
        case "shear_x" | "shear_y":
            return auto_augment(f"Shear{operator[-1].upper()}", image, magnitude)
        case _:
            return auto_augment(operator.capitalize(), image, magnitude)


MAGNITUDES: dict[str, list[float]] = {
    "shear_x": [0, 0.3, -0.3, 0.99, -0.99, 0.123, -0.456, 0.011],
    "shear_y": [0, 0.3, -0.3, 0.99, -0.99, 0.123, -0.456, 0.011],
    "translate_x": [0, 1, -1, 150 / 331, -150 / 331, 0.01, -0.26, 2],
    "translate_y": [0, 1, -1, 150 / 331, -150 / 331, 0.01, -0.26, 2],
    "rotate": [0, 30, -30, 135, -135, 3.3, -71, 359],
    "brightness": [0, 0.9, -0.9, 0.99, -0.99, -1, 0.123, 3],
    "colour": [0, 0.9, -0.9, 0.99, -0.99, -1, 0.123, 3],
    "contrast": [0, 0.9, -0.9, 0.99, -0.99, -1, 0.123, 3],
    "sharpness": [0, 0.9, -0.9, 0.99, -0.99, -1, 0.123, 3],
    "posterize": [8, 7, 6, 5, 4, 3, 2, 1, 0],
    "solarize": [0, 1, 0.5, 0.99, 0.01, 1 / 3, 128 / 255],
    "autocontrast": [0],
    "equalize": [0],
    "invert": [0],
    "identity": [0],
}


def ours(operator: str, batch: Tensor, magnitude: Tensor) -> Tensor:
    if operator in GEOMETRIC:
        return affine(batch, GEOMETRIC[operator](magnitude, *batch.shape[2:]))
    return POINTWISE[operator](batch, magnitude)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
def test_every_image_is_torchvisions_at_its_own_magnitude(operator: str, shape: tuple[int, int, int]) -> None:
    values = MAGNITUDES[operator]
    batch = images(9 * len(values), shape)
    magnitude = torch.tensor(values).repeat(9)
    out = ours(operator, batch, magnitude)
    assert (out.dtype, out.shape) == (torch.uint8, batch.shape)
    for image, m, got in zip(batch, magnitude.tolist(), out, strict=True):
        expected = truth(operator, image, m)
        apart = (got.int() - expected.int()).abs().amax(0)
        assert int(apart[~in_between(operator, m, *shape[1:])].amax()) <= 1, (operator, m)


def in_between(operator: str, magnitude: float, height: int, width: int) -> Tensor:
    """Places [H, W] that come from the middle between two pixels, where either is nearest."""
    x = torch.arange(width, dtype=torch.float64) + 0.5
    y = torch.arange(height, dtype=torch.float64)[:, None] + 0.5
    match operator:
        case "shear_x":
            places = [x + magnitude * y]
        case "shear_y":
            places = [y + magnitude * x]
        case "rotate":
            angle = math.radians(magnitude)
            across, down = x - width / 2, y - height / 2
            places = [across * math.cos(angle) - down * math.sin(angle) + width / 2]
            places.append(across * math.sin(angle) + down * math.cos(angle) + height / 2)
        case _:
            return torch.zeros(height, width, dtype=torch.bool)
    return torch.stack([((p - p.round()).abs() < 1e-4).expand(height, width) for p in places]).any(0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("operator", "seed"), [(o, s) for s, o in enumerate([*GEOMETRIC, "brightness", "colour", "contrast", "sharpness"])]
)
def test_random_magnitudes(operator: str, seed: int, shape: tuple[int, int, int]) -> None:
    batch = images(60, shape, seed)
    widest = max(abs(m) for m in MAGNITUDES[operator][:5])
    magnitude = (torch.rand(60, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * widest
    out = ours(operator, batch, magnitude)
    for image, m, got in zip(batch, magnitude.tolist(), out, strict=True):
        apart = (got.int() - truth(operator, image, m).int()).abs().amax(0)
        assert int(apart[~in_between(operator, m, *shape[1:])].amax()) <= 1, m


def test_quarter_turns_are_exact() -> None:
    batch = images(8, (3, 16, 16))
    for quarters in (-2, -1, 1, 2):
        assert torch.equal(ours("rotate", batch, torch.full((8,), 90.0 * quarters)), batch.rot90(quarters, (2, 3)))


def test_most_magnitudes_leave_nothing_in_between() -> None:
    """So that the comparison of geometry compares something."""
    for operator in ("shear_x", "shear_y", "rotate"):
        places = [in_between(operator, m, 32, 32).double().mean() for m in MAGNITUDES[operator]]
        assert sum(p == 0 for p in places) >= 5, operator


@pytest.mark.parametrize("name", ["equalize", "posterize", "invert"])
def test_whole_numbers_are_equal(name: str) -> None:
    batch = images(40, (3, 16, 16))
    bits = torch.arange(40).float() % 9
    for image, m, got in zip(batch, bits.tolist(), POINTWISE[name](batch, bits), strict=True):
        assert torch.equal(got, truth(name, image, m))


@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels(operator: str, channels: int) -> None:
    """Channel by channel what torchvision does to a grey image, except for what looks at all channels."""
    batch = images(20, (channels, 8, 8))
    magnitude = torch.full((20,), {"posterize": 3.0, "rotate": 20.0}.get(operator, 0.3))
    out = ours(operator, batch, magnitude)
    if operator == "colour":
        assert torch.equal(out, batch)
    elif operator == "contrast":
        means = batch.float().mean((1, 2, 3), keepdim=True)
        expected = (1.3 * batch - 0.3 * means).clamp(0, 255)
        assert float((out - expected).abs().max()) <= 1
    else:
        for c in range(channels):
            for image, m, got in zip(batch[:, c : c + 1], magnitude.tolist(), out[:, c : c + 1], strict=True):
                assert int((got.int() - truth(operator, image, m).int()).abs().amax()) <= 1


@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
def test_no_images_at_all(operator: str) -> None:
    assert ours(operator, torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 2, 5)], ids=str)
@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
def test_images_of_next_to_nothing(operator: str, shape: tuple[int, int, int]) -> None:
    batch = torch.randint(256, (6, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    magnitude = torch.full((6,), {"posterize": 3.0, "rotate": 20.0}.get(operator, 0.3))
    for image, m, got in zip(batch, magnitude.tolist(), ours(operator, batch, magnitude), strict=True):
        assert int((got.int() - truth(operator, image, m).int()).abs().amax()) <= 1


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 7, 11), (1, 11, 7)], ids=str)
def test_a_rectangle_is_erased(shape: tuple[int, int, int]) -> None:
    batch = images(9, shape)
    top, left = torch.arange(9) % 5, torch.arange(9) % 4
    height, width = torch.arange(9) % 4, torch.arange(9) // 2
    out = erase(batch, top=top, left=left, height=height, width=width)
    for i, image in enumerate(batch):
        expected = reference.erase(image, int(top[i]), int(left[i]), int(height[i]), int(width[i]), torch.zeros(1, dtype=torch.uint8))
        assert torch.equal(out[i], expected)


@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
def test_the_images_given_are_left_alone(operator: str) -> None:
    batch = images(12, (3, 8, 8))
    kept = batch.clone()
    ours(operator, batch, torch.full((12,), 0.5))
    assert torch.equal(batch, kept)


@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
def test_nothing_depends_on_what_the_pixels_are(operator: str) -> None:
    """On a device without data: whatever had to be brought to the host, or had a shape that data decide, would fail."""
    out = ours(operator, torch.empty(12, 3, 8, 8, dtype=torch.uint8, device="meta"), torch.empty(12, device="meta"))
    assert (out.device.type, out.dtype, out.shape) == ("meta", torch.uint8, (12, 3, 8, 8))


@pytest.mark.gpu
@pytest.mark.parametrize("operator", [*GEOMETRIC, *POINTWISE])
def test_a_gpu_computes_the_same(operator: str) -> None:
    values = MAGNITUDES[operator]
    batch, magnitude = images(9 * len(values), (3, 32, 32)), torch.tensor(values).repeat(9)
    expected, got = ours(operator, batch, magnitude), ours(operator, batch.cuda(), magnitude.cuda()).cpu()
    for m, a, b in zip(magnitude.tolist(), expected, got, strict=True):
        apart = (a.int() - b.int()).abs().amax(0)
        assert int(apart[~in_between(operator, m, 32, 32)].amax()) <= 1
