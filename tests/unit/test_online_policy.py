"""The policy learns by the gradient of the expected reward, stays open, and can be said in the joint space."""

import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ConfigSpace import Configuration, ConfigurationSpace
from numpy.typing import NDArray

from bohb_nas.one_shot_settings import Objective
from bohb_nas.oneshot.online_policy import OnlinePolicy, as_config, bounded_rewards, default_pool, probabilities, score_gradient
from bohb_nas.search_spaces._augmentation import add_augmentation
from bohb_nas.training import policies, policy_recipe
from bohb_nas.training.policies import GROUPS, Choice, Layer, Operation
from bohb_nas.training.transform import transform

Array = NDArray[np.float64]
INVERTED = Operation("invert")
DESTRUCTIVE, HARDER = 9, 5
"""Of the default pool, in the simulation."""


def small(objective: Objective = "adversarial", rate: float = 0.01) -> OnlinePolicy:
    return OnlinePolicy([Choice(0.5, ()), Choice(0.5, (INVERTED,))], objective=objective, rate=rate, rho=1.25)


def trained(objective: Objective, *, steps: int, seed: int = 0, each: Callable[[OnlinePolicy], None] = lambda _: None) -> OnlinePolicy:
    """Under losses that fall from 2.3 to 0.1 except with one operator that leaves nothing to be learned; with another they are higher."""
    policy = OnlinePolicy(default_pool(), objective=objective, rate=0.01, rho=1.25)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        means = np.full(15, 0.1 + 2.2 * math.exp(-step / 400))
        means[HARDER] *= 1.25
        means[DESTRUCTIVE] = 2.3
        chosen = rng.choice(15, 64, p=policy.probabilities)
        losses = means[chosen] * np.where(chosen == DESTRUCTIVE, 1, rng.lognormal(-0.02, 0.2, 64))
        policy.update(chosen, losses)
        each(policy)
    return policy


def test_the_released_objective_ends_at_what_destroys_images() -> None:
    policy = trained("adversarial", steps=3000)
    assert policy.probabilities.argmax() == DESTRUCTIVE
    assert policy.probabilities[DESTRUCTIVE] > 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_the_bounded_one_leaves_it_and_stays_open(seed: int) -> None:
    entropies: list[float] = []
    policy = trained("bounded", steps=3000, seed=seed, each=lambda p: entropies.append(p.entropy))
    assert policy.probabilities[DESTRUCTIVE] < 0.5 / 15
    assert policy.probabilities[HARDER] > 1 / 15
    assert min(entropies) > 0.5


@pytest.mark.parametrize(("unchanged", "learns"), [(0.56, False), (0.55, True)])
def test_the_bounded_one_waits_until_a_destroyed_image_is_worse_than_the_easiest(unchanged: float, learns: bool) -> None:
    """Of three classes: exp(log 3 - aim) - 1 > 1 - exp(-aim) from aim < log 2 = 0.693 on, so from unchanged losses of 0.5545 on."""
    policy = OnlinePolicy([Choice(0.5, ()), Choice(0.5, (INVERTED,))], objective="bounded", rate=0.01, rho=1.25, n_classes=3)
    policy.update(np.array([0, 0, 1]), np.array([unchanged, unchanged, math.log(3)]))
    assert (policy.probabilities[1] < 0.5) == learns
    assert (policy.probabilities[1] == 0.5) != learns


def test_every_choice_stays_within_reach() -> None:
    policy = small(rate=1.0)
    for _ in range(200):
        policy.update(np.array([0, 1]), np.array([0.0, 9.0]))
    assert policy.probabilities[0] >= 0.1
    assert policy.probabilities[1] > 0.8 * math.exp(2) / (1 + math.exp(2))


def test_nothing_moves_a_fixed_policy() -> None:
    policy = trained("fixed", steps=20)
    assert policy.probabilities.tolist() == pytest.approx([1 / 15] * 15)
    assert policy.entropy == pytest.approx(1)


def test_alike_choices_stay_alike() -> None:
    """Noise alone takes the logits sqrt(rate / (2 pull)) = 0.1 away, however long it goes on: the entropy stays near 1."""
    policy, rng = OnlinePolicy(default_pool(), objective="adversarial", rate=0.01, rho=1.25), np.random.default_rng(0)
    for _ in range(4000):
        policy.update(rng.choice(15, 64, p=policy.probabilities), rng.exponential(size=64))
    assert policy.entropy > 0.99


@pytest.mark.parametrize("logits", [[0.3, -0.4], [0.0, 1.0, -2.0]])
@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_the_score_gradient_is_on_average_that_of_the_expected_reward(logits: list[float], floor: float) -> None:
    """Over all that three images can meet, each with its chance, beside finite differences of the expectation."""
    tau, n = np.array(logits), len(logits)
    rewards = np.random.default_rng(0).normal(size=(3, n))

    def expected(at: Array) -> float:
        return float((rewards @ probabilities(at, floor)).mean())

    mean, p = np.zeros(n), probabilities(tau, floor)
    for outcome in itertools.product(range(n), repeat=3):
        chosen = np.array(outcome)
        mean += p[chosen].prod() * score_gradient(tau, floor, chosen, rewards[np.arange(3), chosen])
    differences = [(expected(tau + step) - expected(tau - step)) / 2e-6 for step in 1e-6 * np.eye(n)]
    np.testing.assert_allclose(mean, differences, atol=1e-9)


def test_one_image_teaches_nothing() -> None:
    policy = small()
    policy.update(np.array([1]), np.array([5.0]))
    assert policy.probabilities.tolist() == [0.5, 0.5]


def test_probabilities_are_the_mixture() -> None:
    np.testing.assert_allclose(probabilities(np.log([1.0, 3.0]), 0.2), [0.8 / 4 + 0.1, 0.8 * 3 / 4 + 0.1])
    assert probabilities(np.array([1e4, 0.0]), 0.2).tolist() == pytest.approx([0.9, 0.1])


def test_the_bounded_reward_is_best_at_the_aim() -> None:
    found = bounded_rewards(np.array([1.0, 1.0 + math.log(2), 1.0 - math.log(2), 1.0 + math.log(4), 1e9]), 1.0)
    assert found.tolist() == pytest.approx([0, -1, -0.5, -3, -3])


def test_the_loss_of_unchanged_images_runs_with_the_training() -> None:
    policy = small("bounded")
    policy.update(np.array([1, 1]), np.array([4.0, 1.0]))
    assert policy.unchanged_loss is None
    assert policy.probabilities.tolist() == [0.5, 0.5]
    policy.update(np.array([0, 0, 1]), np.array([1.0, 3.0, 9.0]))
    assert policy.unchanged_loss == pytest.approx(2)
    policy.update(np.array([0, 1]), np.array([1.0, 9.0]))
    assert policy.unchanged_loss == pytest.approx((0.95 * 4 + 1) / (0.95 * 2 + 1))


def test_the_next_batch_meets_the_policy_of_now() -> None:
    """Inverted zeros are white: how many are follows the probability from one step to the next."""
    policy, black = small(rate=0.5), torch.zeros(4000, 1, 2, 2, dtype=torch.uint8)
    generator, host = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    for _ in range(2):
        chance = policy.probabilities[1]
        out, _, chosen = transform(black, torch.arange(4000), policy.policy(), generator=generator, host=host, noted=True)
        white = float((out[:, 0, 0, 0] == 255).double().mean())
        assert abs(white - chance) < 4 * (0.25 / 4000) ** 0.5
        policy.update(chosen[:, 0].numpy(), out[:, 0, 0, 0].numpy().astype(np.float64))
        assert policy.probabilities[1] > chance + 0.05


def test_a_loss_that_is_no_number_changes_nothing_and_is_counted() -> None:
    for objective in ("adversarial", "bounded"):
        policy = small(objective)
        before = policy.state()
        policy.update(np.array([0, 1]), np.array([1.0, math.nan]))
        assert policy.state() == {**before, "skipped": 1}


def test_it_goes_on_from_its_state() -> None:
    a, b = trained("bounded", steps=50), OnlinePolicy(default_pool(), objective="bounded", rate=0.01, rho=1.25)
    b.restore(json.loads(json.dumps(a.state())))
    for policy in (a, b):
        policy.update(np.array([0, 3, 9]), np.array([1.0, 2.0, 3.0]))
    assert a.state() == b.state()
    assert a.policy() == b.policy()


@pytest.mark.parametrize("pool", [[Choice(1, ())], [Choice(0.5, (INVERTED,)), Choice(0.5, ())], [Choice(1, ()), Choice(0, (INVERTED,))]])
def test_a_pool_that_is_none_is_refused(pool: list[Choice]) -> None:
    with pytest.raises(ValueError, match="accepted are two or more"):
        OnlinePolicy(pool, objective="bounded", rate=0.01, rho=1.25)


def test_the_default_pool_has_every_operator_of_the_joint_space() -> None:
    pool = default_pool()
    (layer,) = policies.searched({group: len(members) for group, members in GROUPS.items()}, n=1, low=0.0, high=0.5)
    assert pool[0].operations == ()
    assert [c.operations for c in pool[1:]] == [c.operations for c in layer.choices[:-1]]
    assert [c.probability for c in pool] == pytest.approx([1 / 15] * 15)


def test_a_searched_policy_says_itself() -> None:
    odds = {"geometry": 2.0, "tone": 0.5, "inversion": 0.1, "detail": 1.25}
    config = as_config(policies.searched(odds, n=1, low=0.15, high=0.6))
    numbers = {name: value for name, value in config.items() if name not in ("policy", "searched_n")}
    assert (config["policy"], config["searched_n"]) == ("searched", 1)
    expected = {f"searched_{group}": value for group, value in odds.items()} | {"searched_low": 0.25, "searched_high": 0.6}
    assert numbers == pytest.approx(expected)
    found, wanted = policy_recipe.policy("searched", config), policies.searched(odds, n=1, low=0.15, high=0.6)
    for a, b in zip(found[0].choices, wanted[0].choices, strict=True):
        assert a.probability == pytest.approx(b.probability)
        assert [v for o in a.operations for v in (o.low, o.high)] == pytest.approx([v for o in b.operations for v in (o.low, o.high)])


@pytest.mark.parametrize("chance", [1e-12, 0.3, 1 - 1e-12])
def test_what_is_said_is_legal_in_the_joint_space(chance: float) -> None:
    space = ConfigurationSpace()
    add_augmentation(space)
    active = {"crop": "off", "cutout": "off", "mixing": "none", "flip": "off"}
    for operation in (INVERTED, Operation("rotate", 0, 180), Operation("solarize", 1, 1)):
        said = as_config((Layer((Choice(chance, ()), Choice(1 - chance, (operation,)))),))
        Configuration(space, values={**active, **said}).check_valid_configuration()
        odds = min(max((1 - chance) / chance, 0.02), 2.0)
        if operation is INVERTED:
            assert said["searched_inversion"] == pytest.approx(odds)
