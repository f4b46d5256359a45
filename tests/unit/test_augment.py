import collections
import dataclasses
import io
import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import training_fakes as fakes
from ConfigSpace import ConfigurationSpace
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import RandomErasing
from torchvision.transforms.v2 import functional as reference

from bohb_nas.search_spaces._augmentation import add_augmentation
from bohb_nas.training import policies
from bohb_nas.training.augment import alternating, augment, beta, blend, crop, cutout, normalise, paste, rectangles
from bohb_nas.training.data import Batches, ResidentData
from bohb_nas.training.recipe import Recipe, read
from bohb_nas.training.samples import picture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 32, channels: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randint(256, (n, channels, height, width), generator=generator(), dtype=torch.uint8)


def plain(**changes: object) -> Recipe:
    off = read({"crop": "off", "flip": "off"})[1]
    return dataclasses.replace(off, **changes)  # type: ignore[arg-type]


def unscaled(images: torch.Tensor) -> ResidentData:
    """Images of four classes in turn, whose levels stay as they are."""
    positions, channels = torch.arange(len(images), device=images.device), torch.ones(images.shape[1], device=images.device)
    parts = {"train": positions, "valid": positions[:0], "mean": 0 * channels, "deviation": channels}
    return ResidentData(images=images, labels=positions % 4, n_classes=4, **parts)


def apply(recipe: Recipe, images: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    data = unscaled(images)
    return augment(data, data.train, recipe, generator=generator(seed), host=generator(seed))[:2]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 9)])
def test_crop_equals_slicing_each_image(height: int, width: int) -> None:
    images = batch(height=height, width=width)
    top, left = torch.randint(5, (2, 32), generator=generator(1))
    mirrored = torch.rand(32, generator=generator(2)) < 0.5
    out = crop(images, padding=2, top=top, left=left, mirrored=mirrored)
    for i, image in enumerate(images):
        padded = np.pad(image.numpy(), ((0, 0), (2, 2), (2, 2)))
        expected = padded[:, top[i] : top[i] + height, left[i] : left[i] + width]
        np.testing.assert_array_equal(out[i].numpy(), expected[:, :, ::-1] if mirrored[i] else expected)


def test_crop_equals_torchvision() -> None:
    images = batch(n=8)
    top, left = torch.randint(9, (2, 8), generator=generator(1))
    mirrored = torch.arange(8) % 2 == 0
    out = crop(images, padding=4, top=top, left=left, mirrored=mirrored)
    for i, image in enumerate(images):
        expected = reference.crop(reference.pad(image, [4]), int(top[i]), int(left[i]), 8, 8)
        assert torch.equal(out[i], reference.horizontal_flip(expected) if mirrored[i] else expected)


@pytest.mark.parametrize("length", [1, 4, 5])
def test_cutout_equals_erasing_each_image(length: int) -> None:
    images = batch().float() + 1
    row, column = torch.randint(8, (2, 32), generator=generator(1))
    out = cutout(images, length=length, row=row, column=column)
    for i, image in enumerate(images):
        expected = image.clone()
        y, x = int(row[i]) - length // 2, int(column[i]) - length // 2
        expected[:, max(y, 0) : max(y + length, 0), max(x, 0) : max(x + length, 0)] = 0
        assert torch.equal(out[i], expected)


def test_blend_weighs_each_pair_by_its_own_share() -> None:
    images, partners, share = batch().float(), batch().float().flip(0), torch.rand(32, generator=generator())
    expected = torch.stack([s * a + (1 - s) * b for s, a, b in zip(share, images, partners, strict=True)])
    torch.testing.assert_close(blend(images, partners, share), expected)


def test_paste_reports_the_share_that_is_left() -> None:
    own, other = torch.zeros(200, 1, 8, 8), torch.ones(200, 1, 8, 8)
    row, column = torch.randint(8, (2, 200), generator=generator(1))
    wanted = torch.rand(200, generator=generator())
    out, share = paste(own, other, share=wanted, row=row, column=column)
    torch.testing.assert_close(share, 1 - out.mean((1, 2, 3)))
    side = ((1 - wanted).sqrt() * 8).round()
    inside = (row >= side / 2) & (row + side / 2 <= 8) & (column >= side / 2) & (column + side / 2 <= 8)
    torch.testing.assert_close(1 - share[inside], (side**2 / 64)[inside])
    assert inside.sum() > 20


def test_normalise_equals_torchvision() -> None:
    images, mean, deviation = batch(), torch.tensor([10.0, 100.0, 200.0]), torch.tensor([5.0, 50.0, 70.0])
    torch.testing.assert_close(normalise(images, mean, deviation), reference.normalize(images.float(), mean.tolist(), deviation.tolist()))


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    draws = beta(alpha, 4000, generator())
    assert bool(draws.isfinite().all())
    # the ends of float32 are coarser than those of the law, so the test is of what lies inside them
    draws = draws.double().clamp(1e-6, 1 - 1e-6)
    law = scipy.stats.beta(alpha, alpha)
    for x in (1e-5, 0.01, 0.1, 0.5, 0.9, 0.99, 1 - 1e-5):
        expected = law.cdf(x)
        assert abs(float((draws <= x).double().mean()) - expected) < 4.5 * (expected * (1 - expected) / 4000) ** 0.5 + 1e-3


def test_nothing_chosen_leaves_images_and_labels() -> None:
    images = batch()
    out, targets = apply(plain(), images)
    assert torch.equal(out, images.float())
    assert torch.equal(targets.argmax(1), torch.arange(32) % 4)


def test_every_image_has_its_own_numbers_and_labels_follow() -> None:
    same = batch(n=1).expand(64, 3, 8, 8)
    assert len(set(map(tuple, apply(plain(crop_padding=0.25, flip="on"), same)[0].flatten(1).tolist()))) > 25
    assert len(set(map(tuple, apply(plain(cutout_length=0.5), same)[0].flatten(1).tolist()))) > 25
    values = torch.arange(4, dtype=torch.uint8)[torch.arange(64) % 4][:, None, None, None].expand(64, 1, 8, 8)
    for mixing in ("mixup", "cutmix"):
        out, targets = apply(plain(mixing=mixing, mixing_alpha=1.0), values)
        torch.testing.assert_close(out.mean((1, 2, 3)), targets @ torch.arange(4.0))
        torch.testing.assert_close(targets.sum(1), torch.ones(64))


def even(places: Sequence[tuple[int, ...]], expected: set[tuple[int, ...]]) -> None:
    """Each of the places expected is as likely as every other, and there is none beside them."""
    counts = collections.Counter(places)
    assert counts.keys() == expected
    assert scipy.stats.chisquare([counts[place] for place in sorted(expected)]).pvalue > 1e-4


def test_every_cut_is_equally_likely() -> None:
    """Of 4 x 10 pixels with a border of one, as torchvision's `RandomCrop` has them: the first row and column are 0, 1 or 2."""
    image = torch.arange(40, dtype=torch.uint8).view(1, 1, 4, 10)
    out, _ = apply(plain(crop_padding=0.25), image.expand(3000, 1, 4, 10))
    inner = [divmod(int(level), 10) for level in out[:, 0, 1, 1]]  # without the border, what stands in row 1 and column 1 of a cut
    even(inner, set(itertools.product(range(3), range(3))))


def test_a_square_may_be_cut_out_around_every_pixel() -> None:
    out, _ = apply(plain(cutout_length=0.25), torch.ones(4000, 1, 4, 10, dtype=torch.uint8))
    places = [divmod(int(pixel), 10) for pixel in out.flatten(1).argmin(1)]
    assert out.sum((1, 2, 3)).tolist() == [39.0] * 4000
    even(places, set(itertools.product(range(4), range(10))))


def test_a_box_may_be_pasted_around_every_pixel() -> None:
    """With shares of one half a box of 4 x 10 pixels has 0.71 of both sides, 3 x 7, and what the border leaves of it."""
    images = torch.arange(200, dtype=torch.uint8).view(-1, 1, 1, 1).expand(200, 1, 4, 10)
    places = list[tuple[int, ...]]()
    for seed in range(20):
        for i, image in enumerate(apply(plain(mixing="cutmix", mixing_alpha=1e6), images, seed)[0][:, 0]):
            if (of_another := (image != i).nonzero()).numel():
                (top, left), (bottom, right) = of_another.amin(0).tolist(), of_another.amax(0).tolist()
                places.append((top, bottom, left, right))
    rows = [(max(0, row - 1), min(3, row + 1)) for row in range(4)]
    columns = [(max(0, column - 3), min(9, column + 3)) for column in range(10)]
    even(places, {(*down, *across) for down in rows for across in columns})


def test_the_generator_decides() -> None:
    recipe = plain(crop_padding=0.125, flip="on", cutout_length=0.5, mixing="cutmix", mixing_alpha=1.0)
    assert torch.equal(apply(recipe, batch())[0], apply(recipe, batch())[0])
    assert not torch.equal(apply(recipe, batch())[0], apply(recipe, batch(), seed=1)[0])


def test_labels_follow_the_policy() -> None:
    """Constant images, which translation darkens and nothing else here changes, are told apart by their level."""
    levels = torch.arange(60, 220, 40, dtype=torch.uint8)[torch.arange(64) % 4]
    policy = (policies.Layer((policies.Choice(0.5, (policies.Operation("translate_x", 0.3, 0.3),)), policies.Choice(0.5, ()))),)
    out, targets = apply(plain(policy=policy), levels[:, None, None, None].expand(64, 1, 8, 8))
    assert torch.equal((out.amax((1, 2, 3)) - 60) / 40, targets.argmax(1).float())
    assert 10 < int((out.amin((1, 2, 3)) == 0).sum()) < 54


@pytest.mark.parametrize("mixing", ["none", "mixup", "cutmix"])
def test_telling_what_images_met_changes_nothing_else(mixing: str) -> None:
    recipe = plain(crop_padding=0.125, flip="on", cutout_length=0.25, mixing=mixing, mixing_alpha=1.0, policy=policies.trivial())
    data = unscaled(batch())
    out, targets, chosen = augment(data, data.train, recipe, generator=generator(), host=generator(), noted=True)
    expected, wanted = apply(recipe, data.images)
    assert torch.equal(out, expected)
    assert torch.equal(targets, wanted)
    assert chosen.shape == (32, 1)


def test_what_is_told_is_what_an_image_met() -> None:
    policy = (policies.Layer((policies.Choice(0.5, (policies.Operation("invert"),)), policies.Choice(0.5, ()))),)
    dark = unscaled(torch.full((64, 1, 8, 8), 20, dtype=torch.uint8))
    out, _, chosen = augment(dark, dark.train, plain(policy=policy), generator=generator(), host=generator(1), noted=True)
    assert torch.equal(out[:, 0, 0, 0], torch.where(chosen[:, 0] == 0, 235.0, 20.0))
    assert 10 < int(chosen.sum()) < 54


def test_every_image_has_its_own_operator_and_magnitude() -> None:
    same = batch(n=1, height=16, width=16).expand(64, 3, 16, 16)
    assert len(set(map(tuple, apply(plain(policy=policies.trivial()), same)[0].flatten(1).tolist()))) > 40


def test_alternating_mirrors_every_other_time() -> None:
    """In whatever batches the epochs fall, an image's own 1st, 3rd, 5th … time is unlike its 2nd, 4th, 6th …"""
    positions = torch.tensor([2, 3, 5, 7, 11, 13, 17])
    for batch_size in (1, 3, 7, 10, 23):
        seen = torch.randint(2, (20,), generator=generator(3), dtype=torch.uint8)
        untouched = seen.clone()
        history: dict[int, list[bool]] = {int(p): [] for p in positions}
        order = Batches(positions, batch_size, generator(1))
        for _ in range(700 // batch_size + 1):
            chosen = next(order)
            for p, mirrored in zip(chosen.tolist(), alternating(seen, chosen).tolist(), strict=True):
                history[p].append(mirrored)
        for p, flips in history.items():
            assert len(flips) >= 99
            assert flips == [bool((int(untouched[p]) + i) % 2) for i in range(len(flips))]
        assert seen.dtype == torch.uint8
        assert torch.equal(seen[:2], untouched[:2])


def test_alternating_takes_several_of_an_image_in_a_batch_in_turn() -> None:
    seen = torch.zeros(3, dtype=torch.uint8)
    assert alternating(seen, torch.tensor([1, 2, 1, 1])).tolist() == [False, False, True, False]
    assert seen.tolist() == [0, 3, 1]


@pytest.mark.parametrize("flip", ["on", "alternating"])
def test_what_is_to_be_mirrored_is(flip: str) -> None:
    data, mirrored = unscaled(batch()), torch.arange(32) % 3 == 0
    out, _, _ = augment(data, data.train, plain(flip=flip), generator=generator(), host=generator(), mirrored=mirrored)
    for image, turned, got in zip(data.images, mirrored.tolist(), out, strict=True):
        assert torch.equal(got, (reference.horizontal_flip(image) if turned else image).float())


def test_rectangles_have_the_law_of_random_erasing() -> None:
    """Beside torchvision's own draws: whether one is taken, its area, its shape, its place."""
    n = 4000
    top, left, rows, columns = rectangles(n, 32, 24, probability=0.6, generator=generator())
    taken = rows > 0
    assert abs(float(taken.double().mean()) - 0.6) < 4 * (0.24 / n) ** 0.5
    assert bool((top + rows <= 32).all() & (left + columns <= 24).all())
    torch.manual_seed(0)
    image = torch.zeros(3, 32, 24)
    drawn = torch.tensor([RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(n)]).T
    ours = torch.stack([top, left, rows, columns])[:, taken]
    for a, b in zip(ours, drawn, strict=True):
        assert scipy.stats.ks_2samp(a.numpy(), b.numpy()).pvalue > 1e-3


def test_rectangles_are_smaller_than_the_image_and_reach_every_edge_of_it() -> None:
    """Of 4 x 6 pixels 3 rows have two places, and so have 5 columns; 4 rows or 6 columns would be the image's own."""
    top, left, rows, columns = rectangles(20_000, 4, 6, probability=1.0, generator=generator())
    assert (int(rows.max()), int(columns.max())) == (3, 5)
    even([(place,) for place in top[rows == 3].tolist()], {(0,), (1,)})
    even([(place,) for place in left[columns == 5].tolist()], {(0,), (1,)})


def test_erasing_takes_a_rectangle_of_some_images() -> None:
    out, _ = apply(plain(erasing_probability=0.5), torch.full((200, 1, 16, 16), 9, dtype=torch.uint8))
    erased = (out == 0).flatten(1).sum(1)
    assert 70 < int((erased > 0).sum()) < 130
    assert float((out[erased > 0] == 9).double().mean()) > 0.6


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 7)], ids=str)
def test_whatever_the_joint_space_says_gives_images_and_targets(shape: tuple[int, int, int]) -> None:
    space = ConfigurationSpace(seed=4)
    add_augmentation(space)
    configs = [dict(c) for c in space.sample_configuration(60)]
    assert {c["policy"] for c in configs} == {"none", "trivial", "rand", "searched"}
    images = torch.randint(256, (17, *shape), generator=generator(), dtype=torch.uint8)
    for config in configs:
        out, targets = apply(read(config)[1], images)
        assert (out.shape, out.dtype) == (images.shape, torch.float32)
        assert 0 <= float(out.min()) <= float(out.max()) <= 255.001
        torch.testing.assert_close(targets.sum(1), torch.ones(17))
        counts = targets.sum(0)
        if config["mixing"] == "none":
            assert counts.tolist() == [5, 4, 4, 4], "every label is still there"


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what makes a host wait for its device: values brought over, shapes that values decide."""

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default", "is_nonzero")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not any(name in str(func) for name in self.REFUSED), func
        if str(func).startswith("aten.index.Tensor"):
            assert not any(index is not None and index.dtype == torch.bool for index in args[1]), func
        return func(*args, **(kwargs or {}))


EVERYTHING: dict[str, Any] = {
    "crop_padding": 0.125,
    "flip": "on",
    "cutout_length": 0.5,
    "erasing_probability": 0.5,
    "mixing": "cutmix",
    "mixing_alpha": 1.0,
}
POLICIES = {
    "trivial": policies.trivial(),
    "rand": policies.rand(2, 9),
    "auto_svhn": policies.auto(policies.AUTO_SVHN),
    "searched": policies.searched(dict.fromkeys(policies.GROUPS, 1.0), n=2, low=0.1, high=0.9),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_waits_for_the_device(policy: str) -> None:
    with Waits():  # type: ignore[no-untyped-call]
        apply(plain(**EVERYTHING, policy=POLICIES[policy]), batch())
        alternating(torch.zeros(9, dtype=torch.uint8), torch.arange(9))
    with pytest.raises(AssertionError, match=r"nonzero|index"), Waits():  # type: ignore[no-untyped-call]
        batch()[torch.arange(32) > 3].sum()


@pytest.mark.gpu
@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_waits_for_a_gpu(policy: str) -> None:
    data, device = unscaled(batch().cuda()), torch.Generator("cuda").manual_seed(0)
    seen, recipe = torch.zeros(32, dtype=torch.uint8, device="cuda"), plain(**EVERYTHING, policy=POLICIES[policy])
    for watch in (nullcontext, fakes.unwaited):  # the first time also sets up what may wait
        with watch():
            mirrored = alternating(seen, data.train)
            out, _, _ = augment(data, data.train, recipe, generator=device, host=generator(), mirrored=mirrored)
    assert out.shape == data.images.shape
    assert seen.tolist() == [2] * 32


@pytest.mark.parametrize("policy", [*POLICIES, "auto_cifar10"])
def test_the_picture_shows_the_policy(policy: str) -> None:
    learners = [fakes.learner(policy=name) for name in ("none", policy, policy)]
    none, shown, again = (picture(learner.data, learner.recipe) for learner in learners)
    assert none != shown
    assert shown == again
    assert Image.open(io.BytesIO(shown)).size == (64, 32)
