"""AutoHAS: what a step of the controller leaves alone, what it may find, and its gradient beside finite differences."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ConfigSpace import Categorical, Configuration, ConfigurationSpace, Constant, Float
from oneshot_fakes import copied, same
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from training_fakes import CPU, TINY, data

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.layers.arithmetic import size
from bohb_nas.one_shot_settings import COOL_DOWN_FROM, AutoHas
from bohb_nas.oneshot import autohas, steps, temporary
from bohb_nas.oneshot.autohas import AutoHasSearch
from bohb_nas.oneshot.decisions import Draw
from bohb_nas.oneshot.supply import Material
from bohb_nas.search_spaces import joint
from bohb_nas.training.device import Compute
from bohb_nas.training.recipe import Recipe, read
from bohb_nas.training.schedules import trapezoid

CONTROLLERS = ("robust", "paper", "differentiable", "uniform", "random")
LEARNING = CONTROLLERS[:3]
_SAID = {name: value for name, value in TINY.items() if name not in ("flip", "sgd_learning_rate", "nr_residual_blocks_1")}


def space(*more: Any, said: Mapping[str, Any] = _SAID) -> ConfigurationSpace:
    """A rate, an augmentation and a depth."""
    small = ConfigurationSpace()
    small.add(*(Constant(name, value) for name, value in said.items()))
    small.add(Float("sgd_learning_rate", (0.01, 1.0), log=True), Categorical("flip", ("on", "off")))
    small.add(Categorical("nr_residual_blocks_1", (1, 2)), *more)
    return small


def numbers_only() -> ConfigurationSpace:
    """What acts in a step of SGD, for a network without dropout."""
    numbers = ConfigurationSpace()
    numbers.add(*(Constant(name, value) for name, value in {**_SAID, "nr_residual_blocks_1": 1, "flip": "off"}.items()))
    numbers.add(Float("sgd_learning_rate", (0.05, 2.0), log=True), Float("sgd_weight_decay", (0.0, 0.5)))
    numbers.add(Float("sgd_one_minus_momentum", (0.05, 1.0), log=True))
    return numbers


def search(settings: AutoHas | None = None, *, of: ConfigurationSpace | None = None, seed: int = 0) -> AutoHasSearch:
    return AutoHasSearch(
        settings or AutoHas(warm_up=0.0, horizon=2, rollouts=2, every=1),
        Material(data=data(64, 40), compute=CPU, space=of or space(), seed=seed),
    )


def settings(controller: Any, **more: Any) -> AutoHas:
    own = {"warm_up": 0.0, "every": 1} if controller in LEARNING else {"tried": 3} if controller == "uniform" else {}
    return AutoHas(controller=controller, **{**own, **more})


def walk(one: AutoHasSearch, n: int) -> list[float]:
    return [one.step(0.5, 2.0) for _ in range(n)]


@pytest.mark.parametrize("controller", LEARNING)
def test_a_step_of_the_controller_leaves_the_shared_weights_bit_identical(controller: str) -> None:
    one = search(settings(controller))
    walk(one, 3)
    for draw in _all(one):
        one._bank.candidate(read(one._decisions.config(draw))[0])  # the bank has grown to what is asked for below
    before, logits = copied(one.tensors()), one._controller.logits
    one._learn(0.02)
    assert same(before, one.tensors())
    assert any(not np.array_equal(logits[name], now) for name, now in one._controller.logits.items())


def _all(one: AutoHasSearch) -> list[Draw]:
    names = list(one._decisions.sizes)
    return [dict(zip(names, indices, strict=True)) for indices in itertools.product(*(range(n) for n in one._decisions.sizes.values()))]


def test_a_step_moves_the_shared_weights_as_torch_does() -> None:
    fixed = numbers_only()
    one = search(AutoHas(controller="differentiable", warm_up=0.79), of=fixed)
    layers, recipe = read(one._decisions.blended(_all(one)[0], one._controller.probabilities()))
    candidate = one._bank.candidate(layers)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in candidate.weights().items()}
    optimizer = torch.optim.SGD(
        leaves.values(), lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    for step in range(3):
        images, targets, _ = one._supply.training(step, recipe)
        noise = one._supply.noise(candidate.network, len(images), step)
        out = torch.func.functional_call(candidate.network, {**leaves, **candidate.statistics()}, (images, noise))
        optimizer.zero_grad()
        loss = functional.cross_entropy(out, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert one.step(0.5, 2.0) == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, tensor in candidate.weights().items():
        torch.testing.assert_close(tensor, leaves[name].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("controller", "u", "drawn"),
    [("robust", 0.5, True), ("robust", 0.9, False), ("paper", 0.9, True), ("uniform", 0.1, True), ("differentiable", 0.5, False)],
)
def test_shared_weights_are_trained_by_the_numbers_drawn_and_at_last_by_their_mean(controller: str, u: float, *, drawn: bool) -> None:
    one = search(settings(controller))
    _set(one, {"sgd_learning_rate": np.log([0.1, 0.2, 0.3, 0.2, 0.2])})
    draw = {"sgd_learning_rate": 4, "flip": 1, "nr_residual_blocks_1": 0}
    trained = one._trained(draw, u)
    assert (trained["flip"], trained["nr_residual_blocks_1"]) == ("off", 1)
    assert trained["sgd_learning_rate"] == pytest.approx(1.0 if drawn else 10**-0.9)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_goes_on_from_its_files_as_if_never_interrupted(controller: str, tmp_path: Path) -> None:
    undisturbed, first = search(settings(controller)), search(settings(controller))
    whole = walk(undisturbed, 6)
    begun = walk(first, 3)
    save_file({name: tensor.clone() for name, tensor in first.tensors().items()}, tmp_path / "search.safetensors")
    told = json.loads(json.dumps(first.state(), allow_nan=False))
    second = search(settings(controller))
    walk(second, 1)  # wherever it was
    second.restore(load_file(tmp_path / "search.safetensors"), told)
    assert begun + walk(second, 3) == whole
    assert same(second.tensors(), undisturbed.tensors())
    assert second.state() == undisturbed.state()
    assert second.told() == undisturbed.told()
    assert second.found() == undisturbed.found()


def test_no_algorithms_are_tried_for_networks_that_come_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    tried: set[bool] = set()

    def looked(*arguments: Any, **named: Any) -> Any:
        tried.add(torch.backends.cudnn.benchmark)
        return torch.func.functional_call(*arguments, **named)

    monkeypatch.setattr(steps, "functional_call", looked)
    for controller in ("robust", "uniform"):
        one = search(settings(controller))
        walk(one, 2)
        one.found()
        one.judge(math.inf)
    assert tried == {False}
    assert torch.backends.cudnn.benchmark


def test_images_held_out_for_which_memory_does_not_suffice_at_once_are_judged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 images are held out; memory holds 25."""
    one, tried = search(), list[int]()
    real = steps.logits

    def cramped(network: Any, weights: Any, statistics: Any, images: Tensor, *rest: Any) -> tuple[Tensor, dict[str, Tensor]]:
        tried.append(len(images))
        if len(images) > 25:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return real(network, weights, statistics, images, *rest)

    monkeypatch.setattr(steps, "logits", cramped)
    assert 0 <= one.judge(math.inf).error <= 1
    assert tried == [40, 20, 20]


def test_goes_another_way_once_disturbed() -> None:
    one, other = search(), search()
    assert walk(one, 2) == walk(other, 2)
    other.disturb(1)
    assert walk(one, 2) != walk(other, 2)
    assert other.state()["disturbed"] == 1


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_finds_a_legal_configuration(controller: str) -> None:
    whole = space()
    one = search(settings(controller), of=whole)
    walk(one, 4)
    found = one.found()
    Configuration(whole, values=found).check_valid_configuration()
    assert found == one.found()
    assert 0 <= one.judge(1.0).error <= 1
    assert one.judge(1.0).n == 40
    assert json.loads(json.dumps(one.told(), allow_nan=False)) == one.told()
    assert one.model() is None


def test_finds_the_mean_of_a_number_and_the_likeliest_of_the_rest() -> None:
    one = search()
    logs = {"sgd_learning_rate": [0.1, 0.2, 0.3, 0.2, 0.2], "flip": [0.3, 0.7], "nr_residual_blocks_1": [0.6, 0.4]}
    _set(one, {name: np.log(p) for name, p in logs.items()})
    found = one.found()
    assert (found["flip"], found["nr_residual_blocks_1"]) == ("off", 1)
    exponent = -2 * 0.1 - 1.5 * 0.2 - 1 * 0.3 - 0.5 * 0.2  # bases are 10 ** (-2, -1.5, -1, -0.5, 0)
    assert found["sgd_learning_rate"] == pytest.approx(10**exponent)


def _set(one: AutoHasSearch, logits: Mapping[str, Any]) -> None:
    """Gives the controller other logits."""
    state = one._controller.state()
    one._controller.restore({**state, "logits": state["logits"] | {name: list(values) for name, values in logits.items()}})


def test_the_best_of_those_tried_is_of_the_best_reward() -> None:
    one = search(AutoHas(controller="uniform", tried=6, horizon=3))
    walk(one, 5)
    valid = one._valid()
    rewards = {}
    for k in range(6):
        config = one._decisions.config(one._draw("found", part=k))
        rewards[json.dumps(config)] = one._temporary.reward(config, valid, number=5)
    assert len(set(rewards.values())) > 1
    assert json.dumps(one.found()) == max(rewards, key=lambda config: rewards[config])


def test_controllers_that_never_learn_stay_uniform() -> None:
    for controller in ("uniform", "random"):
        one = search(settings(controller))
        walk(one, 3)
        assert all(np.ptp(p) == 0 for p in one._controller.probabilities().values())
        assert one.point() == {"controller_steps": 0.0, "entropy": 1.0}


@pytest.mark.parametrize(("controller", "learnt"), [("robust", [0, 1, 1, 2, 2, 3, 3, 3]), ("paper", [0, 1, 1, 2, 2, 3, 3, 4])])
def test_the_controller_waits_for_its_warm_up_and_its_turn_and_stops_in_time(controller: Any, learnt: list[int]) -> None:
    one = search(AutoHas(controller=controller, warm_up=0.25, every=2, horizon=1))
    for k, expected in enumerate(learnt):
        one.step((k + 1) / 8, 8.0 - k)
        assert one.told()["controller_steps"] == expected


@pytest.mark.parametrize("n", [400, 4000])
def test_a_logit_can_come_as_far_in_a_long_search_as_in_a_short_one(n: int) -> None:
    one = search(AutoHas())
    rates = [one._rate((k + 1) / n, n - k) for k in range(n) if (k + 1) % 2 == 0 and 0.25 <= (k + 1) / n <= 0.8]
    assert sum(rates) == pytest.approx(6, rel=0.02)
    assert max(rates) == pytest.approx(min(rates))


def test_a_short_search_moves_no_faster_than_is_good() -> None:
    assert search(AutoHas())._rate(0.5, 3.0) == 0.1
    assert search(AutoHas(rate=0.3))._rate(0.5, 3.0) == 0.3
    assert search(AutoHas(controller="paper"))._rate(0.5, 3.0) == 0.02


def test_the_controller_stops_where_the_rate_of_shared_weights_begins_to_fall() -> None:
    assert trapezoid(COOL_DOWN_FROM) == pytest.approx(1.0)
    assert trapezoid(COOL_DOWN_FROM + 0.01) < 0.99
    with pytest.raises(OptionError, match=r"warm_up is 0.8; accepted is a number from 0 and below 0.8, where the controller stops"):
        AutoHas(warm_up=0.8)


@dataclasses.dataclass
class _Step:
    """A temporary step of numbers alone, in float64: what the search does in float32, once more."""

    weights: dict[str, Tensor]
    momenta: dict[str, Tensor]
    gradients: dict[str, Tensor]


def _loss_after(
    one: AutoHasSearch, logits: Mapping[str, Any], recipe: Recipe, step: _Step, valid: temporary.HeldOut, statistics: Any
) -> float:
    """The validation loss after a step of Nesterov's SGD written out, with everything in float64."""
    bases = {d.name: np.asarray(d.values, dtype=np.float64) for d in one._decisions.decisions}
    p = {name: np.exp(values) / np.exp(values).sum() for name, values in logits.items()}
    rate = math.exp(p["sgd_learning_rate"] @ np.log(bases["sgd_learning_rate"])) * recipe.batch_size / 128
    mu = 1 - math.exp(p["sgd_one_minus_momentum"] @ np.log(bases["sgd_one_minus_momentum"]))
    decay = float(p["sgd_weight_decay"] @ bases["sgd_weight_decay"])
    after = {}
    for name, weight in step.weights.items():
        direction = step.gradients[name] + decay * weight
        after[name] = weight - rate * (direction + mu * (mu * step.momenta[name] + direction))
    network = one._bank.candidate(read(one._decisions.config(_all(one)[0]))[0]).network
    network.train()
    doubled = {name: tensor.double() for name, tensor in statistics.items()}
    out = torch.func.functional_call(network, {**after, **doubled}, (valid[0].double(), None))
    return float(functional.cross_entropy(out, valid[1]))


def test_the_differentiable_gradient_is_that_of_finite_differences() -> None:
    one = search(AutoHas(controller="differentiable", warm_up=0.79), of=numbers_only())
    walk(one, 3)  # so that momenta are not zero
    rng = np.random.default_rng(1)
    _set(one, {name: rng.normal(0, 0.5, n) for name, n in one._decisions.sizes.items()})
    draw, valid, number = _all(one)[0], one._valid(), one.steps
    followed = one._temporary.follow(draw, valid, decisions=one._decisions, controller=one._controller, number=number)

    recipe = read(one._decisions.blended(draw, one._controller.probabilities()))[1]
    candidate = one._bank.candidate(read(one._decisions.config(draw))[0])
    weights, momenta = candidate.weights(), candidate.momenta()
    _, gradients, statistics = one._temporary.gradients(candidate, weights, candidate.statistics(), recipe, number=number, ahead=1)
    step = _Step(*({name: tensor.double() for name, tensor in each.items()} for each in (weights, momenta, gradients)))
    logits = one._controller.logits
    assert followed.loss == pytest.approx(_loss_after(one, logits, recipe, step, valid, statistics), rel=1e-5)
    assert followed.gradients.keys() == logits.keys()
    epsilon = 1e-5
    for name, gradient in followed.gradients.items():
        differences = np.zeros(len(gradient))
        for i in range(len(gradient)):
            for sign in (1, -1):
                moved = {**logits, name: logits[name] + sign * epsilon * np.eye(len(gradient))[i]}
                differences[i] += sign * _loss_after(one, moved, recipe, step, valid, statistics) / (2 * epsilon)
        assert np.linalg.norm(gradient - differences) <= 1e-3 * np.linalg.norm(differences)


def test_the_differentiable_controller_moves_numbers_along_the_path_and_the_rest_by_rewards() -> None:
    one = search(settings("differentiable"))
    walk(one, 3)
    assert one._controller.updates == {"sgd_learning_rate": 3, "flip": 3, "nr_residual_blocks_1": 3}


def _smoothed() -> ConfigurationSpace:
    """A number that acts in the step, and one that a reward alone can judge."""
    both = ConfigurationSpace()
    said = {name: value for name, value in TINY.items() if name not in ("sgd_learning_rate", "label_smoothing")}
    both.add(*(Constant(name, value) for name, value in said.items()))
    both.add(Float("sgd_learning_rate", (0.01, 1.0), log=True), Float("label_smoothing", (0.0, 0.8)))
    return both


def test_what_the_differentiable_controller_rewards_is_the_number_drawn() -> None:
    one = search(settings("differentiable"), of=_smoothed())
    walk(one, 3)
    draws = [{"sgd_learning_rate": rate, "label_smoothing": i} for rate in (0, 4) for i in range(5)]
    rewards, _ = one._temporary.differentiate(draws, one._valid(), decisions=one._decisions, controller=one._controller, number=3)
    assert rewards[:5] == rewards[5:], "the rate is at its mean, whichever was drawn"
    assert len(set(rewards)) == 5
    _set(one, {"label_smoothing": np.zeros(5)})
    trained = [[one._trained(draws[i], u)["label_smoothing"] for i in range(5)] for u in (0.5, 0.9)]
    assert trained == [pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8]), pytest.approx([0.4] * 5)]


def test_the_differentiable_controller_climbs_the_mean_reward() -> None:
    """Rewards are losses with the sign turned, so their gradient is that of the losses likewise."""
    one = search(settings("differentiable"), of=_smoothed())
    walk(one, 3)
    draws, valid = [{"sgd_learning_rate": 2, "label_smoothing": i} for i in (0, 4)], one._valid()
    followed = [
        one._temporary.follow(draw, valid, decisions=one._decisions, controller=one._controller, number=3).gradients["sgd_learning_rate"]
        for draw in draws
    ]
    _, gradients = one._temporary.differentiate(draws, valid, decisions=one._decisions, controller=one._controller, number=3)
    assert gradients.keys() == {"sgd_learning_rate"}
    assert np.abs(followed[0] - followed[1]).max() > 0
    assert gradients["sgd_learning_rate"] == pytest.approx(-(followed[0] + followed[1]) / 2)


@pytest.mark.parametrize(("reward", "expected"), [("accuracy", 0.75), ("cross_entropy", (math.log(0.5) + 3 * math.log(0.6)) / 4)])
def test_a_reward_by_hand(reward: Any, expected: float) -> None:
    """The right classes have three times 0.6 and once 0.5, where another has as much and comes first."""
    one = search(AutoHas(controller="uniform", tried=3, reward=reward))
    shares = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.0, 0.5, 0.5]])
    assert one._temporary._judged(shares.log(), torch.tensor([0, 1, 2, 2])) == pytest.approx(expected)


def test_the_rate_of_temporary_steps_falls_to_zero_over_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches of 16 a rate of 0.8 is 0.1; each of four steps has a batch of its own, none that of the shared weights' next step."""
    one, rates, numbers = search(AutoHas(warm_up=0.0, horizon=4, rollouts=2, every=1)), list[float](), list[int]()
    sgd, training = steps.sgd, one._supply.training
    monkeypatch.setattr(steps, "sgd", lambda *tensors, rate, **more: rates.append(rate) or sgd(*tensors, rate=rate, **more))  # type: ignore[func-returns-value]
    monkeypatch.setattr(one._supply, "training", lambda number, recipe: numbers.append(number) or training(number, recipe))  # type: ignore[func-returns-value]
    one._temporary.reward(dict(TINY), one._valid(), number=7)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert numbers == [8, 9, 10, 11]


def test_entropy_acts_on_numbers_of_the_differentiable_controller_too() -> None:
    with_it, without = (search(settings("differentiable", entropy=weight), of=numbers_only()) for weight in (1e6, 0.0))
    peaked = {"sgd_learning_rate": [2.0, 0, 0, 0, 0], "sgd_weight_decay": [2.0, 0, 0, 0, 0], "sgd_one_minus_momentum": [2.0, 0, 0, 0, 0]}
    for one in (with_it, without):
        _set(one, peaked)
        one._learn(0.02)
    assert all(logits[0] == pytest.approx(2 - 0.02) for logits in with_it._controller.logits.values())
    assert any(without._controller.logits[name][0] != pytest.approx(2 - 0.02) for name in peaked)


def test_says_what_is_held_and_why() -> None:
    more = (Float("average_span", (0.01, 0.1), default=0.03), Categorical("schedule", ("cosine", "linear"), default="linear"))
    of = space(Categorical("optimizer", ("sgd", "adamw"), default="sgd"), *more)
    said = AutoHasSearch.check(AutoHas(), of)
    assert "optimizer stays at sgd: shared weights are trained by SGD" in said
    assert "schedule stays at linear: it acts over a whole training" in said
    one = search(of=of)
    walk(one, 2)
    assert one.told()["held"]["average_span"] == {"value": 0.03, "reason": "it acts over a whole training"}
    found = one.found()
    assert (found["optimizer"], found["schedule"], found["average_span"]) == ("sgd", "linear", 0.03)


def test_refuses_a_space_with_nothing_to_search() -> None:
    bare = ConfigurationSpace()
    bare.add(*(Constant(name, value) for name, value in _SAID.items() if name != "batch_size"), Categorical("batch_size", (16, 32)))
    with pytest.raises(
        OptionError, match=r"nothing to decide.*batch_size = 16 .a reward after a few steps cannot rank it.*needs one of two"
    ):
        AutoHasSearch.check(AutoHas(), bare)
    with pytest.raises(OptionError, match="nothing to decide"):
        search(of=bare)


def test_refuses_another_optimizer_by_default() -> None:
    with pytest.raises(OptionError, match=r"the default of optimizer is 'adamw'; .*accepted is 'sgd'"):
        AutoHasSearch.check(AutoHas(), space(Categorical("optimizer", ("sgd", "adamw"), default="adamw")))


def test_refuses_a_number_beyond_every_float() -> None:
    with pytest.raises(OptionError, match=r"entropy is 10+; accepted is a number from 0"):
        AutoHas(entropy=10**400)


def test_refuses_to_follow_more_than_a_step() -> None:
    with pytest.raises(OptionError, match="horizon is 5; accepted is 1 of the differentiable controller"):
        AutoHas(controller="differentiable", horizon=5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"controller": "random", "rollouts": 8}, "rollouts is 8, which has no effect .* heeded: robust, paper, differentiable$"),
        ({"controller": "random", "horizon": 2}, "horizon is 2, .* heeded: robust, paper, differentiable, uniform"),
        ({"controller": "random", "reward": "accuracy"}, "reward is 'accuracy', .* uniform"),
        ({"controller": "uniform", "every": 3}, "every is 3, .* with controller uniform; leave it out, .*heeded: robust, paper"),
        ({"controller": "uniform", "rate": 0.1}, "rate is 0.1"),
        ({"controller": "uniform", "entropy": 0.1}, "entropy is 0.1"),
        ({"controller": "uniform", "warm_up": 0.0}, "warm_up is 0.0"),
        ({"controller": "uniform", "compare": "rewards"}, "compare is 'rewards'"),
        ({"controller": "robust", "tried": 3}, "tried is 3, .* with controller robust; .*heeded: uniform"),
        ({"controller": "paper", "rollouts": 4}, "rollouts is 4; accepted is 1 of the paper controller"),
        ({"controller": "paper", "compare": "rewards"}, "compare is 'rewards'; accepted is ranks where there is one rollout"),
        (
            {"controller": "robust", "rollouts": 1, "compare": "rewards"},
            "compare is 'rewards'; accepted is ranks where there is one rollout",
        ),
    ],
)
def test_refuses_what_would_have_no_effect(said: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        AutoHas(**said)


def test_takes_what_has_an_effect() -> None:
    learning: dict[str, Any] = {"every": 3, "rate": 0.1, "entropy": 0.1, "warm_up": 0.0}
    for controller in LEARNING:
        AutoHas(**{"controller": controller, **learning})
    assert AutoHas(rollouts=1).n_rollouts == AutoHas(controller="paper", rollouts=1, horizon=3).n_rollouts == 1
    assert AutoHas(controller="uniform", tried=3, horizon=3, reward="accuracy").rewarded == "accuracy"
    assert AutoHas(controller="random", max_params=1e6).controller == "random"


def test_refuses_to_follow_what_has_no_slope() -> None:
    with pytest.raises(OptionError, match=r"reward is 'accuracy'; accepted is cross_entropy of the differentiable controller"):
        AutoHas(controller="differentiable", reward="accuracy")


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_draws_and_finds_nothing_larger_than_allowed(controller: str) -> None:
    shape = {"image_shape": (8, 8, 1), "n_classes": 3}
    one_block, two = (size(networks.network({**_SAID, "nr_residual_blocks_1": n}), **shape)["flops"] for n in (1, 2))  # type: ignore[arg-type]
    assert one_block < two
    one = search(settings(controller, max_flops=(one_block + two) / 2))
    _set(one, {"nr_residual_blocks_1": [0.0, 3.0]})  # would be 2 in nineteen of twenty draws
    built = [one._decisions.config(one._draw("draw", part=k)) for k in range(5)]
    walk(one, 2)
    assert {config["nr_residual_blocks_1"] for config in [*built, one.found()]} == {1}
    assert not any("block_2" in key and "group_1" in key for key in one._bank.weights)


def test_of_what_is_small_enough_the_likeliest_is_found() -> None:
    shape = {"image_shape": (8, 8, 1), "n_classes": 3}
    bound = size(networks.network({**_SAID, "nr_residual_blocks_1": 1}), **shape)["flops"]  # type: ignore[arg-type]
    for flip, other in (("on", "off"), ("off", "on")):
        one = search(settings("robust", max_flops=bound))
        logits = {"on": 2.0, "off": 2.0, other: 0.0}
        values = next(decision.values for decision in one._decisions.decisions if decision.name == "flip")
        _set(one, {"nr_residual_blocks_1": [0.0, 0.5], "flip": [logits[str(value)] for value in values]})
        found = one.found()
        assert (found["nr_residual_blocks_1"], found["flip"]) == (1, flip)


def test_says_when_nothing_is_small_enough() -> None:
    with pytest.raises(OptionError, match=r"of 1000 configurations none has at most 10 FLOPs.*larger bounds"):
        search(settings("robust", max_flops=10.0)).step(0.5, 2.0)


@pytest.mark.parametrize(("controller", "worst"), [("robust", -3 * math.log(3)), ("paper", 0.0), ("differentiable", -3 * math.log(3))])
def test_candidates_that_explode_are_capped_and_counted(controller: str, worst: float) -> None:
    wild = space(Float("sgd_weight_decay", (1e18, 1e30), log=True), said={**_SAID, "sgd_one_minus_momentum": 1.0})
    one = search(settings(controller), of=wild)
    one._learn(0.02)
    assert one.told()["capped"] == one._settings.n_rollouts
    assert one.point()["reward"] == pytest.approx(worst)
    assert all(np.isfinite(logits).all() for logits in one._controller.logits.values())
    assert one.state()["capped"] == one.told()["capped"]


def test_the_rate_of_shared_steps_follows_the_trapezoid() -> None:
    one = search(AutoHas(controller="uniform"), of=numbers_only())
    one.step(0.5, 2.0)
    before = copied(one.tensors())
    assert trapezoid(1.0) == 0
    one.step(1.0, 1.0)
    after = one.tensors()
    assert same(*({n: t for n, t in each.items() if n.startswith("weight/")} for each in (before, after)))
    assert not same(before, after)


def test_mean_entropy_is_of_decisions_that_are_made() -> None:
    one = search(of=space(Categorical("optimizer", ("sgd", "adamw"), default="sgd"), Float("adamw_weight_decay", (0.01, 0.1))))
    walk(one, 2)
    told = one.told()["decisions"]
    assert one.point()["entropy"] == pytest.approx(np.mean([told[name]["entropy"] for name in told]))
    assert {told[name]["updates"] for name in told} == {2}


def test_held_hyperparameters_are_those_the_module_names() -> None:
    assert set(autohas.HELD) == {"optimizer", "batch_size", "schedule", "warm_up", "average", "average_span"}


class Small(Compute):
    """A processor with little memory."""

    def total_bytes(self) -> int:
        return 40 * 2**20


def test_candidates_that_memory_would_not_hold_are_not_drawn_and_counted() -> None:
    large = joint.space()
    small = Small(device=CPU.device, precision="fp32")
    one = AutoHasSearch(settings("uniform"), Material(data=data(64, 40), compute=small, space=large, seed=0))
    drawn = [one._decisions.config(one._draw("candidates", part=k)) for k in range(60)]
    sizes = [size(networks.network(config), image_shape=(8, 8, 1), n_classes=3) for config in drawn]
    # 128 images a step in fp32: more than the whole memory would be needed by none
    assert max(4 * s["params"] + 4 * 128 * s["activations"] for s in sizes) < 40 * 2**20
    assert one.told()["too_large"] > 0


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_candidate_that_memory_would_not_hold_for_its_backward_passes_does_not_fit(
    controller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held is every tensor that torch saves, counted once."""
    held: list[int] = []
    own = steps.logits

    def counted(*parts: Any) -> Any:
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = own(*parts)
        held.append(sum(saved.values()))
        return out

    monkeypatch.setattr(steps, "logits", counted)
    one = AutoHasSearch(settings(controller), Material(data=data(120, 120), compute=CPU, space=numbers_only(), seed=0))
    walk(one, 2)
    config = one._decisions.config(_all(one)[0])
    one._room = max(held) - 1
    assert not one._fits(config)
    one._room = 4 * max(held)
    assert one._fits(config)
