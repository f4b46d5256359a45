"""The policies are the published ones, and every image meets them independently of the others."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy, RandAugment, TrivialAugmentWide
from torchvision.transforms.v2 import functional as reference

from bohb_nas.errors import OptionError
from bohb_nas.training import policies
from bohb_nas.training.policies import AUTO_CIFAR10, AUTO_SVHN, GROUPS, LIMITS, OPERATORS, PLAIN, SIGNED, Choice, Layer, Operation, Policy
from bohb_nas.training.policy_files import from_file
from bohb_nas.training.transform import counts, transform

NAMES = {"colour": "Color", "autocontrast": "AutoContrast"} | {
    f"{n}_{a}": f"{n.title()}{a.upper()}" for n in ("shear", "translate") for a in "xy"
}
SIDE = 32


def theirs(operator: str) -> str:
    return NAMES.get(operator, operator.capitalize())


def host(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def apply(policy: Policy, images: Tensor, seed: int = 0) -> Tensor:
    """The images in the order in which they were given."""
    out, came_from, _ = transform(images, torch.arange(len(images)), policy, generator=host(seed), host=host(seed + 1000))
    back = torch.empty_like(out)
    back[came_from] = out
    return back


def single(operator: str, low: float = 0.0, high: float = 0.0, bins: int | None = None) -> Policy:
    return (Layer((Choice(1.0, (Operation(operator, low, high),)),), bins),)


@pytest.mark.parametrize(
    ("table", "name"), [(AUTO_CIFAR10, AutoAugmentPolicy.CIFAR10), (AUTO_SVHN, AutoAugmentPolicy.SVHN)], ids=["cifar10", "svhn"]
)
def test_the_tables_are_those_of_torchvision(table: Any, name: AutoAugmentPolicy) -> None:
    published = AutoAugment(name)._get_policies(name)
    assert [[(theirs(o), p, m) for o, p, m in subs] for subs in table] == [[(o, p, m or 0) for o, p, m in subs] for subs in published]


def check_scale(operation: Operation, magnitudes: Tensor | None, signed: bool, level: Callable[[int], float]) -> None:
    """Compares the magnitude of each bin with torchvision's."""
    assert signed == (operation.operator in SIGNED)
    for i, expected in enumerate([] if magnitudes is None else magnitudes.tolist()):
        ours = operation.low + (operation.high - operation.low) * level(i)
        if operation.operator.startswith("translate"):
            assert math.trunc(ours * SIDE) == int(round(expected, 4))  # torchvision's 16 is 15.9999990
        elif operation.operator == "posterize":
            assert round(ours) == expected
        else:
            assert ours == pytest.approx(expected, abs=1e-5)


def test_trivial_augment_is_torchvisions() -> None:
    (layer,) = policies.trivial()
    space = TrivialAugmentWide()._AUGMENTATION_SPACE
    assert {theirs(c.operations[0].operator) for c in layer.choices} == set(space)
    assert layer.bins == 31
    for choice in layer.choices:
        magnitudes, signed = space[theirs(choice.operations[0].operator)]
        assert choice.probability == 1 / 14
        check_scale(choice.operations[0], magnitudes(31, SIDE, SIDE), signed, lambda i: i / 30)


@pytest.mark.parametrize("m", [0, 9, 17, 30])
def test_rand_augment_is_torchvisions(m: int) -> None:
    policy = policies.rand(2, m)
    space = RandAugment()._AUGMENTATION_SPACE
    assert len(policy) == 2
    for layer in policy:
        assert {theirs(c.operations[0].operator) for c in layer.choices} == set(space)
        for choice in layer.choices:
            magnitudes, signed = space[theirs(choice.operations[0].operator)]
            table = magnitudes(31, SIDE, SIDE)
            assert choice.probability == 1 / 14
            check_scale(choice.operations[0], None if table is None else table[m : m + 1], signed, lambda _: 1.0)


def test_auto_augment_takes_each_operation_with_its_probability() -> None:
    subs = ((("invert", 0.1, 0), ("contrast", 0.2, 6)), (("rotate", 0.7, 2), ("translate_x", 0.0, 9)))
    (layer,) = policies.auto(subs)
    found = {tuple(o.operator for o in c.operations): c.probability for c in layer.choices[:4]}
    expected = {("invert", "contrast"): 0.01, ("invert",): 0.04, ("contrast",): 0.09, (): 0.36}
    assert found == pytest.approx(expected)
    last = {tuple(o.operator for o in c.operations): c.probability for c in layer.choices[4:]}
    assert last == pytest.approx({("rotate",): 0.35, (): 0.15})
    rotate = next(c.operations[0] for c in layer.choices[4:] if c.operations)
    assert (rotate.low, rotate.high) == pytest.approx((30 * 2 / 9, 30 * 2 / 9))


def test_auto_augment_applies_the_two_in_their_order() -> None:
    """Every image is one of the six results that a sub-policy without signs can have, as often as its probabilities say."""
    table = ((("posterize", 0.7, 9), ("equalize", 0.4, 0)), (("equalize", 0.5, 0), ("solarize", 0.8, 5)))
    image = (torch.rand(3, 40, 40, generator=host()) ** 2 * 255).byte()
    posterized, equalized = reference.posterize(image, 4), reference.equalize(image)
    threshold = 255 * (1 - 5 / 9)
    results = [
        (posterized, 0.7 * 0.6 / 2),
        (reference.equalize(posterized), 0.7 * 0.4 / 2),
        (equalized, (0.3 * 0.4 + 0.5 * 0.2) / 2),
        (image, (0.3 * 0.6 + 0.5 * 0.2) / 2),
        (reference.solarize(equalized, threshold), 0.5 * 0.8 / 2),
        (reference.solarize(image, threshold), 0.5 * 0.8 / 2),
    ]
    out = apply(policies.auto(table), image.expand(1000, -1, -1, -1))
    found = [int((out == result).flatten(1).all(1).sum()) for result, _ in results]
    assert sum(found) == 1000
    assert scipy.stats.chisquare(found, [1000 * p for _, p in results]).pvalue > 1e-3


def test_searched_weighs_groups_against_doing_nothing() -> None:
    policy = policies.searched({"geometry": 1.0, "tone": 0.5, "inversion": 0.0, "detail": 1.5}, n=2, low=0.25, high=0.5)
    assert policy[0] == policy[1]
    chances = {c.operations[0].operator if c.operations else None: c.probability for c in policy[0].choices}
    assert chances[None] == pytest.approx(1 / 4)
    assert [chances[o] for o in GROUPS["geometry"]] == pytest.approx([1 / 20] * 5)
    assert [chances[o] for o in GROUPS["tone"]] == pytest.approx([1 / 40] * 5)
    assert [chances[o] for o in (*GROUPS["inversion"], *GROUPS["detail"])] == pytest.approx([0, 0, 3 / 16, 3 / 16])
    ranges = {c.operations[0].operator: (c.operations[0].low, c.operations[0].high) for c in policy[0].choices if c.operations}
    assert ranges["rotate"] == pytest.approx((33.75, 67.5))
    assert ranges["solarize"] == pytest.approx((0.75, 0.5))
    assert ranges["posterize"] == pytest.approx((6.5, 5.0))
    assert ranges["equalize"] == (0, 0)


def test_groups_hold_every_operator_once() -> None:
    assert sorted(o for members in GROUPS.values() for o in members) == sorted(set(OPERATORS) - {"identity"})


CHANCES = (0.05, 0.3, 0.1, 0.25, 0.02, 0.2, 0.08)
MIXED = (Layer(tuple(Choice(p, (Operation("posterize", bits, bits),)) for bits, p in enumerate(CHANCES, 1))),)
"""The level 255 says which of seven choices it met: so many of its bits are left."""


def met(n: int, draws: int) -> Tensor:
    """Which choice each of n images met in each of the draws, int64 [draws, n]."""
    white = torch.full((n, 1, 1, 1), 255, dtype=torch.uint8)
    bits = {256 - 2 ** (8 - k): k - 1 for k in range(1, 8)}
    generator, counter = host(5), host(6)
    out = torch.empty(draws, n, dtype=torch.int64)
    table = torch.tensor([bits.get(level, -1) for level in range(256)])
    for row in out:
        images, came_from, _ = transform(white, torch.arange(n), MIXED, generator=generator, host=counter)
        row[came_from] = table[images.flatten().long()]
    return out


def test_every_image_meets_each_choice_with_its_probability() -> None:
    n, draws = 8, 2500
    found = met(n, draws)
    for place in range(n):
        seen = torch.bincount(found[:, place], minlength=7).tolist()
        assert scipy.stats.chisquare(seen, [draws * p for p in CHANCES]).pvalue > 1e-3


def test_images_of_a_batch_meet_them_independently() -> None:
    n, draws = 8, 2500
    found = met(n, draws)
    pairs = torch.bincount((found[:, 0] * 7 + found[:, 5]), minlength=49).double()
    expected = torch.tensor(CHANCES, dtype=torch.float64).outer(torch.tensor(CHANCES, dtype=torch.float64)).flatten() * draws
    many = expected >= 5  # the approximation of the chi-square law wants that much
    lumped = [*pairs[many].tolist(), float(pairs[~many].sum())], [*expected[many].tolist(), float(expected[~many].sum())]
    assert scipy.stats.chisquare(*lumped).pvalue > 1e-3
    same = (found[:, :, None] == found[:, None, :]).double()
    share = float((same.sum() - draws * n) / (draws * n * (n - 1)))
    assert share == pytest.approx(sum(p * p for p in CHANCES), abs=0.006)


def test_one_draw_says_nothing_about_the_next() -> None:
    found = met(4, 4000)
    table = torch.bincount(found[:-1, 0] * 7 + found[1:, 0], minlength=49).view(7, 7)
    common = [1, 3, 5]
    assert scipy.stats.chi2_contingency(table[common][:, common].numpy()).pvalue > 1e-3


def test_levels_and_signs_are_even() -> None:
    """Brightness of the level 100 says which of 31 levels, and which sign, an image met."""
    n = 6200
    out = apply(single("brightness", 0, 0.955, bins=31), torch.full((n, 1, 1, 1), 100, dtype=torch.uint8))
    places = [math.floor(100 + s * 95.5 * k / 30) for k in range(31) for s in (-1, 1)]
    assert len(set(places)) == 61  # no change has either sign
    seen = torch.bincount(out.flatten().long(), minlength=256)
    assert int(seen[sorted(set(places))].sum()) == n
    observed = [int(seen[p]) for p in sorted(set(places))]
    expected = [n * places.count(p) / 62 for p in sorted(set(places))]
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


def test_without_bins_levels_fill_the_range() -> None:
    out = apply(single("solarize", 0.2, 0.6), torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(3000, -1, -1, -1))
    thresholds = (out == torch.arange(256).view(1, 16, 16)).flatten(1).sum(1).double() / 255
    assert scipy.stats.kstest(thresholds.numpy(), scipy.stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3


def test_operators_without_a_sign_are_never_turned_round() -> None:
    out = apply(single("posterize", 4, 4), torch.full((200, 1, 1, 1), 255, dtype=torch.uint8))
    assert bool((out == 240).all())


@pytest.mark.parametrize("policy", [policies.trivial(), policies.rand(2, 9), policies.auto(AUTO_CIFAR10), policies.auto(AUTO_SVHN)])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
def test_labels_follow_their_images(policy: Policy, shape: tuple[int, int, int]) -> None:
    """Noise is never another's: images that came through unchanged have their own label."""
    images = torch.randint(256, (400, *shape), generator=host(), dtype=torch.uint8)
    images[:, :, 0, 0], images[:, :, 0, 1] = 0, 255  # so that autocontrast changes nothing either
    out, labels, _ = transform(images, torch.arange(400), policy, generator=host(1), host=host(2))
    assert sorted(labels.tolist()) == list(range(400))
    assert labels.tolist() != list(range(400))
    assert (out.dtype, out.shape) == (torch.uint8, images.shape)
    assert sum(torch.equal(image, images[label]) for image, label in zip(out, labels.tolist(), strict=True)) >= 2


def test_the_generators_decide() -> None:
    images = torch.randint(256, (64, 3, 8, 8), generator=host(), dtype=torch.uint8)
    for policy in (policies.trivial(), policies.auto(AUTO_SVHN)):
        assert torch.equal(apply(policy, images), apply(policy, images))
        assert not torch.equal(apply(policy, images), apply(policy, images, seed=1))


MARKS = (
    (Operation("invert"),),
    (),
    (Operation("solarize", 0.5, 0.5), Operation("invert")),
    (Operation("solarize", 0.5, 0.5),),
)
"""In another order than the operators have in a batch, and one with a second operation, for which the images are regrouped."""
LEFT = {(255, 0): 0, (0, 255): 1, (255, 255): 2, (0, 0): 3}
"""What each makes of a black and a white pixel."""


def marked(chances: tuple[float, ...], n: int, seed: int, layers: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Images of a black and a white row under choices that leave a mark, with the labels and what is said to have happened to them."""
    layer = Layer(tuple(Choice(p, operations) for p, operations in zip(chances, MARKS[: len(chances)], strict=True)))
    pair = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(n, 1, 2, 2)
    return transform(pair, torch.arange(n), (layer,) * layers, generator=host(seed), host=host(seed + 1), noted=True)


def test_the_choice_that_is_told_is_the_one_whose_mark_an_image_bears() -> None:
    seen = torch.zeros(4)
    for seed in range(20):
        out, labels, chosen = marked((0.4, 0.3, 0.1, 0.2), 200, seed)
        found = [LEFT[(int(image[0, 0, 0]), int(image[0, 1, 0]))] for image in out]
        assert chosen[:, 0].tolist() == found
        assert chosen.shape == (200, 1)
        assert sorted(labels.tolist()) == list(range(200))
        seen += torch.bincount(chosen[:, 0], minlength=4)
    assert scipy.stats.chisquare(seen.tolist(), [4000 * p for p in (0.4, 0.3, 0.1, 0.2)]).pvalue > 1e-3


def test_the_choices_of_every_layer_follow_their_images() -> None:
    """Three layers of inverting or not: an image bears the parity of what it met, and meets each pair with the chance of both."""
    out, _, chosen = marked((0.4, 0.6), 4000, 1, layers=3)
    times = (chosen == 0).sum(1)
    assert chosen.shape == (4000, 3)
    assert torch.equal(out[:, 0, 0, 0] == 255, times % 2 == 1)
    pairs = torch.bincount(chosen[:, 0] * 2 + chosen[:, 2], minlength=4).tolist()
    assert scipy.stats.chisquare(pairs, [640, 960, 960, 1440]).pvalue > 1e-3


@pytest.mark.parametrize("policy", [policies.NONE, policies.trivial(), policies.rand(2, 9), policies.auto(AUTO_SVHN)])
@pytest.mark.parametrize("n", [0, 1, 64])
def test_telling_the_choices_changes_nothing_else(policy: Policy, n: int) -> None:
    images = torch.randint(256, (n, 3, 8, 8), generator=host(), dtype=torch.uint8)
    mine, theirs = (host(1), host(2)), (host(1), host(2))
    out, labels, _ = transform(images, torch.arange(n), policy, generator=mine[0], host=mine[1])
    again, followed, chosen = transform(images, torch.arange(n), policy, generator=theirs[0], host=theirs[1], noted=True)
    assert torch.equal(out, again)
    assert torch.equal(labels, followed)
    assert all(torch.equal(a.get_state(), b.get_state()) for a, b in zip(mine, theirs, strict=True))
    assert (chosen.shape, chosen.dtype) == ((n, len(policy)), torch.int64)


def test_counts_have_the_multinomial_law() -> None:
    generator = host(3)
    drawn = torch.tensor([counts(MIXED[0], 20, generator) for _ in range(3000)]).double()
    assert bool((drawn.sum(1) == 20).all())
    for k, p in enumerate(CHANCES):
        law = scipy.stats.binom(20, p)
        least = [x for x in range(21) if law.pmf(x) * 3000 >= 5]
        observed = [int((drawn[:, k] == x).sum()) for x in least]
        expected = [3000 * law.pmf(x) for x in least]
        rest = 3000 - sum(expected)
        assert scipy.stats.chisquare([*observed, 3000 - sum(observed)], [*expected, rest]).pvalue > 1e-3


def test_none_changes_nothing_and_draws_nothing() -> None:
    images, generator = torch.randint(256, (5, 3, 4, 4), generator=host(), dtype=torch.uint8), host(1)
    out, labels, _ = transform(images, torch.arange(5), policies.NONE, generator=generator, host=host(2))
    assert torch.equal(out, images)
    assert labels.tolist() == list(range(5))
    assert torch.equal(generator.get_state(), host(1).get_state())


def test_a_batch_of_none_and_of_one() -> None:
    for n in (0, 1):
        images = torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
        for policy in (policies.trivial(), policies.auto(AUTO_CIFAR10)):
            out, labels, _ = transform(images, torch.arange(n), policy, generator=host(), host=host())
            assert (len(out), len(labels)) == (n, n)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_policy_file_is_one_layer(tmp_path: Path) -> None:
    text = """[{"operator": "rotate", "probability": 0.25, "magnitude": [5, 20.5]}, {"operator": "equalize", "probability": 0.125},
               {"operator": "identity", "probability": 0.625}]"""
    rotate, equalize, identity = Operation("rotate", 5, 20.5), Operation("equalize"), Operation("identity")
    choices = (Choice(0.25, (rotate,)), Choice(0.125, (equalize,)), Choice(0.625, (identity,)))
    assert from_file(written(tmp_path / "p.json", text)) == (Layer(choices),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: it is empty; accepted is a list"),
        ("[" * 100_000, "not JSON"),
        ("{}", r"holds \{\}; accepted is a list"),
        ("[]", r"holds \[\]; accepted is a list"),
        ("NaN", "not JSON: NaN is no number"),
        ("[3]", "entry 1 is 3"),
        ('[{"operator": "invert"}]', "entry 1.*probability"),
        ('[{"lr": 0.1}]', "magnitude; configurations to try first are given with --initial"),
        ('[{"operator": "invert", "probability": 1, "strength": 2}]', "strength.*accepted"),
        ('[{"operator": "blur", "probability": 1}]', "operator is 'blur'; accepted are shear_x"),
        ('[{"operator": ["invert"], "probability": 1}]', "operator is .*accepted"),
        ('[{"operator": "invert", "probability": "1"}]', "probability is '1'; accepted"),
        ('[{"operator": "invert", "probability": true}]', "probability is True"),
        ('[{"operator": "invert", "probability": NaN}]', "not JSON: NaN is no number"),
        ('[{"operator": "invert", "probability": -0.5}, {"operator": "identity", "probability": 1.5}]', "probability is -0.5"),
        ('[{"operator": "invert", "probability": 0.5}, {"operator": "identity", "probability": 0.4}]', "sum to 0.9; accepted is 1"),
        ('[{"operator": "rotate", "probability": 1}]', "magnitude of rotate is None; accepted is .*180"),
        ('[{"operator": "rotate", "probability": 1, "magnitude": 20}]', "magnitude of rotate is 20"),
        ('[{"operator": "rotate", "probability": 1, "magnitude": [0, 181]}]', "181"),
        ('[{"operator": "brightness", "probability": 1, "magnitude": [-0.1, 0.5]}]', "-0.1"),
        ('[{"operator": "shear_x", "probability": 1, "magnitude": [0.5, 0.1]}]', r"\[0.5, 0.1\]"),
        ('[{"operator": "solarize", "probability": 1, "magnitude": [0, Infinity]}]', "Infinity is no number"),
        ('[{"operator": "invert", "probability": 0.5, "probability": 1}]', "'probability' stands twice in one object, leave one out"),
        ('[{"operator": "rotate", "probability": 1, "magnitude": [0, 1' + "0" * 400 + "]}]", r"rotate is \[0, 10+\.\.\.0+\]; accepted"),
        ('[{"operator": "invert", "probability": 1, "magnitude": [0, 1]}]', "invert has no magnitude"),
    ],
)
def test_what_a_policy_file_may_not_say(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(OptionError, match=f"policy file .*{reason}"):
        from_file(written(tmp_path / "p.json", text))


def test_a_policy_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        from_file(tmp_path / "none.json")


def test_a_folder_is_no_policy_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read: Is a directory"):
        from_file(tmp_path)


def test_a_policy_file_without_an_end() -> None:
    with pytest.raises(OptionError, match="cannot be read: it is larger than 1048576 bytes"):
        from_file(Path("/dev/zero"))


def test_every_published_magnitude_is_one_that_a_file_may_name() -> None:
    scales: Mapping[str, policies.Scale] = {"narrow": policies.NARROW, "wide": policies.WIDE}
    for scale in scales.values():
        assert set(scale) | set(PLAIN) == set(OPERATORS)
        for operator, ends in scale.items():
            assert LIMITS[operator][0] <= min(ends) <= max(ends) <= LIMITS[operator][1]
