"""The controller against enumeration, torch's Adam, and planted problems."""

import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bohb_nas.errors import RecordError
from bohb_nas.oneshot.controller import Baseline, Controller, entropy_gradient, leave_one_out, ranked, reinforce
from bohb_nas.oneshot.decisions import Draw

Floats = NDArray[np.float64]

REWARDS = {(0, 0): 1.0, (0, 1): 0.2, (1, 0): -0.5, (1, 1): 0.3}
LOGITS = {"a": np.array([0.3, -0.4]), "b": np.array([-0.2, 0.5])}


def softmax(z: Floats) -> Floats:
    return np.asarray(np.exp(z) / np.exp(z).sum())


def expected_gradient(of: Callable[[dict[str, Floats]], float], logits: dict[str, Floats]) -> dict[str, Floats]:
    """By central differences."""
    found = {}
    for name, z in logits.items():
        steps = 1e-5 * np.eye(len(z))
        found[name] = np.array([(of({**logits, name: z + h}) - of({**logits, name: z - h})) / 2e-5 for h in steps])
    return found


def expected_reward(logits: dict[str, Floats]) -> float:
    a, b = softmax(logits["a"]), softmax(logits["b"])
    return float(sum(a[i] * b[j] * reward for (i, j), reward in REWARDS.items()))


def pair(i: int, j: int) -> Draw:
    return {"a": i, "b": j}


def test_the_estimated_gradient_points_along_the_enumerated_one() -> None:
    rng = np.random.default_rng(0)
    p = {name: softmax(z) for name, z in LOGITS.items()}
    outcomes = np.stack([rng.choice(2, size=20_000, p=p[name]) for name in ("a", "b")], axis=1).tolist()
    advantages = leave_one_out([REWARDS[i, j] for i, j in outcomes])
    estimate = reinforce([pair(i, j) for i, j in outcomes], advantages, p)
    exact = expected_gradient(expected_reward, LOGITS)
    u, v = (np.concatenate([gradient[name] for name in ("a", "b")]) for gradient in (estimate, exact))
    assert u @ v / np.linalg.norm(u) / np.linalg.norm(v) > 0.99
    assert u == pytest.approx(v, abs=0.02)


def test_leave_one_out_is_unbiased() -> None:
    """The mean over all 16 pairs of draws, each with its probability, is the enumerated gradient to the last digits."""
    p = {name: softmax(z) for name, z in LOGITS.items()}
    mean = {name: np.zeros(2) for name in p}
    for first, second in itertools.product(REWARDS, repeat=2):
        probability = math.prod(p["a"][i] * p["b"][j] for i, j in (first, second))
        gradient = reinforce([pair(*first), pair(*second)], leave_one_out([REWARDS[first], REWARDS[second]]), p)
        mean = {name: mean[name] + probability * gradient[name] for name in p}
    exact = expected_gradient(expected_reward, LOGITS)
    for name in p:
        assert mean[name] == pytest.approx(exact[name], abs=1e-9)


def test_advantages_over_the_others() -> None:
    assert leave_one_out([1.0, 2.0, 6.0]) == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])


def test_ranks_climb_the_probability_of_being_better_than_another_draw() -> None:
    p = {name: softmax(z) for name, z in LOGITS.items()}
    mean = {name: np.zeros(2) for name in p}
    for first, second in itertools.product(REWARDS, repeat=2):
        probability = math.prod(p["a"][i] * p["b"][j] for i, j in (first, second))
        gradient = reinforce([pair(*first), pair(*second)], ranked([REWARDS[first], REWARDS[second]]), p)
        mean = {name: mean[name] + probability * gradient[name] for name in p}

    def beats(logits: dict[str, Floats]) -> float:
        """P(a draw by these logits is better than one from p) - P(it is worse)."""
        q = {name: softmax(z) for name, z in logits.items()}
        pairs = itertools.product(REWARDS, repeat=2)
        signs = (q["a"][i] * q["b"][j] * p["a"][k] * p["b"][m] * np.sign(REWARDS[i, j] - REWARDS[k, m]) for (i, j), (k, m) in pairs)
        return float(sum(signs))

    exact = expected_gradient(beats, LOGITS)
    for name in p:
        assert mean[name] == pytest.approx(exact[name], abs=1e-9)


def test_advantages_by_rank() -> None:
    assert ranked([1.0, -900.0, 6.0, 1.0]) == pytest.approx([0, -1, 1, 0])


def test_the_gradient_of_the_entropy() -> None:
    z = np.array([0.5, -1.0, 2.0, 0.0])

    def entropy(logits: dict[str, Floats]) -> float:
        p = softmax(logits["z"])
        return float(-(p * np.log(p)).sum())

    assert entropy_gradient(softmax(z)) == pytest.approx(expected_gradient(entropy, {"z": z})["z"], abs=1e-9)
    assert entropy_gradient(np.array([1.0, 0.0])) == pytest.approx([0.0, 0.0])


def fresh(sizes: dict[str, int], *, entropy: float = 0.0, baseline: Baseline = "rewards") -> Controller:
    return Controller(sizes, entropy=entropy, baseline=baseline)


def test_steps_are_those_of_torchs_adam() -> None:
    """A decision is skipped in every third step, as torch skips a parameter without a gradient."""
    rng = np.random.default_rng(4)
    controller = fresh({"a": 3, "b": 2})
    theirs = {"a": torch.zeros(3, dtype=torch.float64), "b": torch.zeros(2, dtype=torch.float64)}
    optimizer = torch.optim.Adam([*theirs.values()], lr=0.03, betas=(0.0, 0.999), eps=1e-8, maximize=True)
    for step in range(50):
        gradients = {"a": rng.normal(size=3), "b": 1e-7 * rng.normal(size=2)}
        if step % 3 == 0:
            del gradients["b"]
        for name, parameter in theirs.items():
            parameter.grad = torch.from_numpy(gradients[name]) if name in gradients else None
        optimizer.step()
        controller.nudge(gradients, rate=0.03)
    for name, p in controller.probabilities().items():
        assert p == pytest.approx(torch.softmax(theirs[name], 0).numpy(), abs=1e-12)
        assert np.abs(np.log(p) - np.log(p).mean()).max() > 1e-3  # it has moved


def test_the_first_update_by_hand() -> None:
    """Adam's first step is the rate along the gradient's signs: up for what was better than the other, down for the other."""
    controller = fresh({"a": 2, "b": 2})
    controller.update([pair(0, 1), pair(1, 1)], [1.0, 0.0], rate=0.1)
    p = controller.probabilities()
    assert p["a"] == pytest.approx(softmax(np.array([0.1, -0.1])), abs=1e-7)
    assert p["b"] == pytest.approx([0.5, 0.5])  # both drew the same: the advantages cancel


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_entropy_pulls_back_to_uniform(weight: float) -> None:
    controller = fresh({"a": 2}, entropy=weight)
    controller.nudge({"a": np.array([1.0, -1.0])}, rate=0.05)
    before = controller.entropies()["a"]
    controller.update([{"a": 0}, {"a": 0}], [1.0, 1.0], rate=0.05)
    assert (controller.entropies()["a"] > before) == (weight > 0)


def test_entropies_are_normalised() -> None:
    controller = fresh({"a": 4, "b": 2})
    assert controller.entropies() == {"a": pytest.approx(1.0), "b": pytest.approx(1.0)}
    controller.nudge({"b": np.array([1.0, -1.0])}, rate=40.0)
    assert controller.entropies()["b"] == pytest.approx(0.0, abs=1e-12)
    controller.nudge({"a": np.array([1.0, 1.0, 0.0, 0.0])}, rate=40.0)
    assert controller.entropies()["a"] == pytest.approx(0.5)  # two of four


def test_the_moving_baseline() -> None:
    """The first reward moves nothing; after 1 and 3 the mean is .95 + .15 = 1.1, so that 1.1 moves nothing either."""
    controller = fresh({"a": 2}, baseline="moving")
    controller.update([{"a": 0}], [1.0], rate=0.1)
    assert controller.probabilities()["a"] == pytest.approx([0.5, 0.5], abs=0)
    controller.update([{"a": 0}], [3.0], rate=0.1)
    after = controller.probabilities()["a"]
    assert after[0] > 0.5
    controller.update([{"a": 1}], [1.1], rate=0.1)
    assert controller.probabilities()["a"] == pytest.approx(after, abs=1e-8)
    controller.update([{"a": 1}], [1.0], rate=0.1)
    assert controller.probabilities()["a"][1] < after[1]


def play(seed: int, gains: Floats, *, updates: int, baseline: Baseline = "rewards", n: int = 4) -> Floats:
    """The probabilities of arms (m,) after updates with rewards of mean `gains` and standard deviation 1."""
    rng = np.random.default_rng(seed)
    controller = fresh({"arm": len(gains)}, baseline=baseline)
    for _ in range(updates):
        arms = rng.choice(len(gains), size=n, p=controller.probabilities()["arm"])
        controller.update([{"arm": int(arm)} for arm in arms], (gains[arms] + rng.normal(size=n)).tolist(), rate=0.02)
    return controller.probabilities()["arm"]


@pytest.mark.parametrize("baseline", ["ranks", "rewards"])
@pytest.mark.parametrize("seed", range(6))
def test_of_identical_arms_none_wins(seed: int, baseline: Baseline) -> None:
    assert play(seed, np.zeros(5), updates=500, baseline=baseline).max() < 0.5


@pytest.mark.parametrize(("baseline", "n"), [("ranks", 4), ("rewards", 4), ("moving", 1)])
def test_a_better_arm_wins(baseline: Baseline, n: int) -> None:
    gains = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    ends = [play(seed, gains, updates=500, baseline=baseline, n=n) for seed in range(10)]
    assert sum(int(p.argmax()) == 3 and p[3] > 0.5 for p in ends) >= 9


@pytest.mark.parametrize("baseline", ["ranks", "rewards", "moving"])
def test_a_restored_controller_goes_on_to_the_bit(baseline: Baseline) -> None:
    rng = np.random.default_rng(1)
    rounds = [([pair(*map(int, rng.integers(2, size=2))) for _ in range(3)], rng.normal(size=3).tolist()) for _ in range(20)]
    first = fresh({"a": 2, "b": 2}, entropy=0.01, baseline=baseline)
    for draws, rewards in rounds[:10]:
        first.update(draws, rewards, rate=0.05)
    second = fresh({"a": 2, "b": 2}, entropy=0.01, baseline=baseline)
    second.restore(json.loads(json.dumps(first.state())))
    for draws, rewards in rounds[10:]:
        first.update(draws, rewards, rate=0.05)
        second.update(draws, rewards, rate=0.05)
    assert first.state() == second.state()
    assert first.state()["logits"]["a"] != [0.0, 0.0]


def test_the_state_of_other_decisions_is_refused() -> None:
    with pytest.raises(RecordError, match="of other decisions: b, c; accepted"):
        fresh({"a": 2, "b": 3}).restore(fresh({"a": 2, "c": 3}).state())
    with pytest.raises(RecordError, match="of other decisions: b"):
        fresh({"a": 2, "b": 3}).restore(fresh({"a": 2, "b": 4}).state())


def test_what_no_draw_decided_stays_as_it_is() -> None:
    controller = fresh({"a": 2, "b": 2}, entropy=0.1)
    controller.update([pair(0, 0), pair(1, 1)], [1.0, 0.0], rate=0.1)
    before = controller.state()
    controller.update([{"a": 0}, {"a": 1}], [0.0, 2.0], rate=0.1)
    after = controller.state()
    for kept in ("logits", "squares", "steps"):
        assert after[kept]["b"] == before[kept]["b"]
        assert after[kept]["a"] != before[kept]["a"]


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ([1.0], "2 draws and 1 rewards"),
        ([1.0, float("nan")], "rewards are .*nan.*; accepted are finite numbers"),
        ([1.0, -math.inf], "accepted are finite numbers"),
    ],
)
def test_rewards_that_are_not_accepted(rewards: list[float], said: str) -> None:
    controller = fresh({"a": 2, "b": 2}, baseline="moving")
    before = controller.state()
    with pytest.raises(ValueError, match=said):
        controller.update([pair(0, 0), pair(1, 1)], rewards, rate=0.1)
    assert controller.state() == before


def test_a_single_draw_has_no_others_to_be_compared_with() -> None:
    with pytest.raises(ValueError, match="accepted are two or more, or the moving baseline"):
        fresh({"a": 2, "b": 2}).update([pair(0, 0)], [1.0], rate=0.1)
    with pytest.raises(ValueError, match="0 draws and 0 rewards"):
        fresh({"a": 2, "b": 2}).update([], [], rate=0.1)


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    controller = fresh({"a": 2, "b": 2})
    before = controller.state()
    with pytest.raises(ValueError, match="gradients of b are not finite"):
        controller.nudge({"a": np.array([1.0, 0.0]), "b": np.array([math.nan, 0.0])}, rate=0.1)
    assert controller.state() == before
