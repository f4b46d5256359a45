"""DHA's search: the slopes it goes by, what it hands out, what it guards against, and that it goes on from its state."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import training_fakes as fakes
from ConfigSpace import Configuration, Constant, Float
from dha_fakes import CHANNELS, N_CELLS, SPACE, bare, material, run, search, shown, skeleton
from numpy.typing import NDArray
from oneshot_fakes import at_rest
from torch import Tensor, nn
from torch.func import functional_call

from bohb_nas import networks
from bohb_nas.errors import OptionError
from bohb_nas.layers import Chain
from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot import hypergradients, steps
from bohb_nas.oneshot.dha import DhaSearch
from bohb_nas.oneshot.supply import Material, Supply
from bohb_nas.search_spaces import zela2018
from bohb_nas.training.data import ResidentData, resident
from bohb_nas.training.export import export_model
from bohb_nas.training.networks import Network
from bohb_nas.training.policies import Choice, Policy, operation
from bohb_nas.training.recipe import Recipe, read

SPATIAL = {"nor_conv_1x1": 1, "nor_conv_3x3": 9, "skip_connect": 0, "avg_pool_3x3": 0}
"""Weights of an operator, in squares of the channels."""


def logits_of(network: Network, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network.eval()(images)  # type: ignore[no-any-return]


def unfolded(found: DhaSearch, images: Tensor) -> Tensor:
    """The logits if the operators' weights were not in the normalisations, but applied to what comes out of them."""
    network, final = found.model(), found._final()
    modules = dict(network.named_modules())
    for target, column, weight in found._cell.kept(found._cell.nodes):
        for name in final._norms[target, column]:
            norm = modules[name.removesuffix(".weight")]
            assert isinstance(norm, nn.BatchNorm2d)
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
            norm.register_forward_hook(lambda _module, _inputs, out, weight=weight: weight * out)
    return logits_of(network, images)


def test_an_operators_weight_is_the_scale_of_its_normalisation() -> None:
    found = search(seed=1)
    run(found, 6, of=20)
    images = shown(found)
    assert not found._cell.all_frozen
    assert torch.allclose(logits_of(found.model(), images), unfolded(found, images), atol=1e-5)


@pytest.mark.parametrize("n_steps", [6, 20])
def test_the_model_is_what_the_search_computes(n_steps: int) -> None:
    """Before and after the nodes are frozen."""
    found = search(seed=2)
    run(found, n_steps, of=20)
    final, images = found._final(), shown(found)
    weights, statistics = found._final_weights(), final.candidate.statistics()
    own = at_rest(final.candidate.network, weights, statistics, images)
    ready = logits_of(found.model(), images)
    assert torch.allclose(ready, own, atol=1e-5)
    wrong = (ready.argmax(1) != found._data.labels[found._data.valid]).float().mean()
    assert found.judge(1.0).error == pytest.approx(float(wrong))


def test_the_exported_model_is_the_search_s(tmp_path: Path) -> None:
    found = search(seed=3)
    run(found, 12, of=12)
    data = found._data
    export_model(
        found.model(),
        tmp_path,
        data=data,
        classes=("top", "middle", "bottom"),
        config=found.found(),
        facts={},
    )
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.allclose(program(data.images[data.valid]), logits_of(found.model(), shown(found)), atol=1e-5)


def test_operators_that_were_left_out_are_not_in_the_model() -> None:
    """It has the parameters of the network of the configuration that was found, and normalisations behind skips and pools."""
    found = DhaSearch(Dha(), material(seed=4))
    config = found.found()
    ordinary = Network(networks.network(config), image_shape=(8, 8, 1), n_classes=3, generator=torch.Generator())
    own, plain = ({name: p.numel() for name, p in network.named_parameters()} for network in (found.model(), ordinary))
    graph = cells.cell({edge: str(config[cells.name(edge)]) for edge in cells.EDGES}, 8)
    weightless = sum(config[f"cell_{name}"] in ("skip_connect", "avg_pool_3x3") for name in graph.names)  # type: ignore[union-attr]
    assert weightless > 0
    channels = sum(2 * width for width in (16, 32, 64))  # of two cells in each of three stages
    assert sum(own.values()) == sum(plain.values()) + 2 * channels * weightless


def test_the_model_has_as_many_weights_as_its_operators_say() -> None:
    found = search(seed=5)
    operators = found.told()["operators"]
    live = [operators[f"cell_{name}"] for name in cells.cell(found._networks.operators(found._cell.nodes), 8).names]  # type: ignore[union-attr]
    in_cells = sum(SPATIAL[operator] * CHANNELS**2 + 2 * CHANNELS for operator in live)
    around = (9 * CHANNELS + 2 * CHANNELS) + 2 * CHANNELS + (3 * CHANNELS + 3)
    assert sum(p.numel() for p in found.model().parameters()) == N_CELLS * in_cells + around


class Differences:
    """The training loss of a batch in float64 as a function of codes and of operators' weights."""

    def __init__(self, found: DhaSearch) -> None:
        self.found, self.final, self.nodes = found, found._final(), found._cell.nodes
        self.images, self.targets, _ = found._supply.training(0, found._recipe)
        self.kept = list(found._cell.kept(self.nodes))

    def slopes(self) -> dict[int, list[float]]:
        candidate, scales = self.final.candidate, self.final.scales(self.kept)
        weights = {**candidate.weights(), **scales}
        _, _, gradients, _ = steps.gradients(
            candidate.network, weights, candidate.statistics(), self.images, self.targets, None, fakes.CPU, label_smoothing=0.0
        )
        return self.final.slopes(self.kept, gradients)

    def loss(self, kept: list[tuple[int, int, float]]) -> float:
        candidate = self.final.candidate
        tensors = {**candidate.weights(), **self.final.scales(kept), **candidate.statistics()}
        doubled = {name: tensor.double() for name, tensor in tensors.items()}
        candidate.network.train()
        out = functional_call(candidate.network, doubled, (self.images.double(), None))
        return float(nn.functional.cross_entropy(out, self.targets.double()))

    def by_code(self, target: int, code: NDArray[np.float64]) -> float:
        nodes = {**self.nodes, target: self.nodes[target].with_code(code)}
        return self.loss(list(self.found._cell.kept(nodes)))


def test_slopes_of_operators_are_finite_differences_of_the_loss() -> None:
    found = search(seed=6)
    run(found, 4, of=40)
    task, step = Differences(found), 1e-3
    slopes = task.slopes()
    flat = [slope for own in slopes.values() for slope in own]
    live = [one for one in task.kept if one[0] in slopes]
    assert max(map(abs, flat)) > 1e-3
    for number, (slope, moved) in enumerate(zip(flat, live, strict=True)):
        target, column, weight = moved
        around = [
            task.loss([(t, c, weight + s * step) if (t, c) == (target, column) else (t, c, w) for t, c, w in task.kept]) for s in (1, -1)
        ]
        assert slope == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-2, abs=1e-4), number


def test_gradients_of_codes_are_finite_differences_of_the_loss() -> None:
    found = search(seed=6)
    run(found, 4, of=40)
    task, step = Differences(found), 1e-3
    for target, own in task.slopes().items():
        node = task.nodes[target]
        gradient = node.code_gradient(np.array(own))
        for number, slope in enumerate(gradient):
            change = step * np.eye(len(gradient))[number]
            around = [task.by_code(target, node.code + sign * change) for sign in (1, -1)]
            assert slope == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-2, abs=1e-4)


def test_an_overlapping_split_is_refused() -> None:
    pixels, labels = fakes.images(300)
    order = np.arange(300)
    both = resident(pixels, labels, train=order[:220], valid=order[200:], n_classes=3, device=fakes.CPU.device)
    with pytest.raises(OptionError, match="20 of the 100 validation images are trained on too"):
        search(data=both)


def test_too_few_images_held_out_are_refused() -> None:
    with pytest.raises(OptionError, match="31 validation images; accepted are 32 or more"):
        search(data=fakes.data(n_valid=31))
    assert search(data=fakes.data(n_valid=31), hyper_rate=0.0).steps == 0


def test_a_space_without_cells_is_refused() -> None:
    with pytest.raises(OptionError, match=r"no cell_edge_0_1, cell_edge_0_2.*accepted is --space cell"):
        DhaSearch.check(zela2018.space())
    assert any("cell_channels stays at 16" in line for line in DhaSearch.check(SPACE))


class Watched(Supply):
    """Remembers the policies of the batches that were asked for."""

    def training(self, number: int, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
        self.policies: list[Policy]
        self.policies.append(recipe.policy)
        return super().training(number, recipe)


def test_a_change_of_the_policy_holds_in_the_next_step() -> None:
    found = search(seed=7, policy="adversarial", policy_rate=0.1)
    watched = Watched(material(seed=7), found._chance, batch_size=32)
    watched.policies, found._supply = [], watched
    before = []
    for _ in range(5):
        before.append(found._policy.policy())
        run(found, 1, of=20)
    assert watched.policies == before
    assert len({policy[0].choices[0].probability for policy in before[1:]}) == 4


def collapsed(objective: str) -> float:
    """The probability in the end of an operator that shifts the whole image out of sight."""
    pool = (Choice(0.5, ()), Choice(0.5, (operation("translate_y", {"translate_y": (0.0, 1.0)}, 1.0, 1.0),)))
    settings = Dha(policy=objective, policy_rate=0.1, hyper_rate=0.0, explore=0.0, rate=0.3)  # type: ignore[arg-type]
    found = DhaSearch(settings, material(seed=8), skeleton=skeleton, pool=pool)
    run(found, 75, of=75)
    return float(found._policy.probabilities[1])


def test_an_adversarial_policy_collapses_to_what_destroys_images_and_a_bounded_one_does_not() -> None:
    assert collapsed("adversarial") > 0.8
    assert collapsed("bounded") < 0.25


def test_the_learning_rate_keeps_its_floor_and_says_how_often_it_sat_there() -> None:
    found = search(seed=9, rate=0.05, rate_low=0.045, rate_high=0.055, hyper_rate=0.5, hyper_every=1, search_share=0.99)
    at_low = at_high = 0
    for _ in range(20):
        run(found, 1, of=100)
        if found.steps / 100 >= 0.05:  # while the rate warms up, it stays
            assert 0.045 <= found._rate.value <= 0.055
            at_low += found._rate.value == 0.045
            at_high += found._rate.value == 0.055
    told = found.told()["rate"]
    assert (told["at_low"], told["at_high"]) == (at_low, at_high)
    assert at_low + at_high > 0


def noting(function: Callable[..., Any], rates: list[float]) -> Callable[..., Any]:
    """The function, which notes its rate first."""

    def noted(*tensors: Any, **numbers: Any) -> Any:
        rates.append(numbers["rate"])
        return function(*tensors, **numbers)

    return noted


@pytest.mark.parametrize(("batch_size", "rate"), [(32, 0.02), (128, 0.08)])
def test_steps_are_of_the_rate_that_is_handed_out_for_the_size_of_the_batch(
    batch_size: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under SGD it is that of batches of 128, times n / 128."""
    stepped, tuned = list[float](), list[float]()
    for module, name, rates in ((steps, "sgd", stepped), (hypergradients, "held_out", tuned)):
        monkeypatch.setattr(module, name, noting(getattr(module, name), rates))
    space = bare(Constant("batch_size", batch_size), Float("sgd_learning_rate", (0.01, 1.0), log=True))
    settings = Dha(rate=0.08, hyper_every=1, hyper_rate=1e-12)
    found = DhaSearch(settings, Material(data=fakes.data(), compute=fakes.CPU, space=space, seed=0), skeleton=skeleton)
    run(found, 2, of=10)
    assert [*stepped, *tuned] == pytest.approx([rate] * 4)
    assert found.found()["sgd_learning_rate"] == pytest.approx(0.08)
    assert read(found.found())[1].learning_rate == pytest.approx(rate)


def test_a_search_whose_nodes_are_frozen_in_its_last_step_ends() -> None:
    """The share of the budget that is left for the rest of the schedule is none then."""
    found = search(seed=11, search_share=0.95)
    run(found, 12, of=12)
    assert found._shape(1.0) == 0.0


def test_images_held_out_do_not_move_running_statistics() -> None:
    """The first step with hyperparameters' own and without leaves the same statistics."""
    with_own, without = search(seed=10, hyper_every=1), search(seed=10, hyper_rate=0.0)
    for found in (with_own, without):
        run(found, 1, of=20)
    own, other = ({name: t for name, t in found.tensors().items() if name.startswith("statistic")} for found in (with_own, without))
    assert own.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in own.items())
    assert with_own._decay.state()["steps"] == 1


def test_when_the_search_ends_weights_of_operators_become_weights_like_others() -> None:
    found = search(seed=11, search_share=0.5)
    run(found, 9, of=20)
    assert found.point()["frozen"] == 0
    codes = {(target, column): weight for target, column, weight in found._cell.kept(found._cell.nodes)}
    final = found._final()
    before = {name: tensor.clone() for name, tensor in final.candidate.weights().items()}
    found._freeze(list(found._cell.nodes), 0.5)
    named_norms = [(weight, name) for key, weight in codes.items() for name in final._norms[key]]
    held = final.candidate.weights()
    for weight, name in named_norms:
        assert torch.allclose(held[name], torch.full((CHANNELS,), weight))
        assert torch.equal(before[name], torch.ones(CHANNELS))
    run(found, 3, of=20)
    assert found._cell.all_frozen
    for weight, name in named_norms:
        assert not torch.allclose(held[name], torch.full((CHANNELS,), weight), atol=1e-6)
    assert found.told()["frozen_at"] == {"node_1": 0.5, "node_2": 0.5, "node_3": 0.5}


def test_every_node_is_frozen_from_the_search_s_share_on() -> None:
    found = search(seed=12, search_share=0.25)
    run(found, 4, of=20)
    assert not found._cell.all_frozen
    run(found, 1, of=20)
    assert found._cell.all_frozen


def test_of_what_a_space_does_not_say_of_cells_the_family_s_default_is_trained_and_handed_out() -> None:
    for space, channels in ((bare(), 16.0), (bare(Constant("cell_channels", 8)), 8)):
        assert DhaSearch.check(space)[:2] == [
            "cell_repeats stays at 2: DHA searches the operators of a cell",
            f"cell_channels stays at {channels}: DHA searches the operators of a cell",
        ]
        found = DhaSearch(Dha(), Material(data=fakes.data(), compute=fakes.CPU, space=space, seed=0))
        run(found, 1, of=10)
        trained = {name: tensor for name, tensor in found.tensors().items() if name.startswith("weight/")}
        assert {tensor.shape[0] for name, tensor in trained.items() if "cell/stem" in name} == {channels}
        assert {cell[0] for name in trained if (cell := re.findall(r"stage_\d_cell_(\d)", name))} == {"1", "2"}


def test_what_was_found_is_legal_and_its_operators_are_the_model_s() -> None:
    for seed in range(4):
        found = search(seed=seed)
        run(found, 3, of=3)
        config = found.found()
        Configuration(SPACE, values=config).check_valid_configuration()
        graph = cells.cell({edge: str(config[cells.name(edge)]) for edge in cells.EDGES}, CHANNELS, normalised=True)
        model = found.model().layers
        assert isinstance(model, Chain)
        assert model.layers.count(graph) == N_CELLS


def through_files(found: DhaSearch, folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    safetensors.torch.save_file(found.tensors(), folder / "tensors")
    return safetensors.torch.load_file(folder / "tensors"), json.loads(json.dumps(found.state()))


def equal(one: DhaSearch, other: DhaSearch) -> bool:
    tensors = other.tensors()
    return one.state() == other.state() and all(torch.equal(t, tensors[name]) for name, t in one.tensors().items() if name in tensors)


@pytest.mark.parametrize(("kept_at", "n_more"), [(3, 4), (8, 5), (13, 3)])
def test_a_search_goes_on_from_its_state_as_if_never_interrupted(kept_at: int, n_more: int, tmp_path: Path) -> None:
    """Before, across and after the freezing, which is at step 10."""
    whole = search(seed=13, recover_every=4)
    run(whole, kept_at, of=20)
    tensors, state = through_files(whole, tmp_path)
    other = search(seed=13, recover_every=4)
    other.restore(tensors, state)
    assert run(other, n_more, of=20) == run(whole, n_more, of=20)
    assert equal(whole, other)
    assert other.found() == whole.found()
    assert whole._cell.all_frozen == (kept_at + n_more >= 10)


def test_to_restore_a_state_before_the_freezing_undoes_it(tmp_path: Path) -> None:
    found = search(seed=14, recover_every=4)
    run(found, 8, of=20)
    tensors, state = through_files(found, tmp_path)
    losses = run(found, 6, of=20)
    assert found._cell.all_frozen
    images, ready = shown(found), logits_of(found.model(), shown(found))
    found.restore(tensors, state)
    assert not found._cell.frozen
    assert run(found, 6, of=20) == losses
    assert torch.equal(logits_of(found.model(), images), ready)


def spoilt(data: ResidentData) -> ResidentData:
    return ResidentData(**{name: getattr(data, name) for name in data.__slots__} | {"deviation": torch.full((1,), math.nan)})


def test_a_loss_that_is_no_number_leaves_no_trace() -> None:
    found = search(seed=15)
    run(found, 2, of=20)
    tensors, state = {name: t.clone() for name, t in found.tensors().items()}, found.state()
    found._supply = Supply(material(seed=15, data=spoilt(fakes.data())), found._chance, batch_size=128)
    assert math.isnan(run(found, 1, of=20)[0])
    assert found.state() == state
    assert all(torch.equal(found.tensors()[name], t) for name, t in tensors.items())


def test_a_disturbed_search_takes_another_way() -> None:
    one, other = search(seed=16), search(seed=16)
    other.disturb(1)
    assert other._rate.value == pytest.approx(0.05 / 2)
    assert run(one, 2, of=20) != run(other, 2, of=20)


def test_the_learning_rate_rises_is_level_and_falls_from_where_the_last_node_was_frozen() -> None:
    found = search()
    assert [found._shape(u) for u in (0.0245, 0.05, 0.3, 0.9)] == pytest.approx([0.5, 1.0, 1.0, 1.0])
    found._cell.frozen |= {1: 0.2, 3: 0.4}
    assert found._shape(0.9) == 1.0, "one is not frozen yet"
    found._cell.frozen[2] = 0.3
    shares = [found._shape(u) for u in (0.4, 0.55, 0.7, 1.0)]
    assert shares == pytest.approx([1.0, 0.5 + math.sqrt(0.125), 0.5, 0.0]), "a quarter of the way down the cosine is that of 45 degrees"
    found._rate.value = 0.2
    assert found._step_rate(0.7) == pytest.approx(0.2 * found._recipe.batch_size / 128 * 0.5)


def test_slopes_that_are_no_numbers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the loss is one."""
    found, real = search(), steps.gradients
    before = found.state()

    def spoilt(*arguments: Any, **named: Any) -> Any:
        loss, losses, gradients, statistics = real(*arguments, **named)
        return loss, losses, {name: torch.full_like(gradient, math.inf) for name, gradient in gradients.items()}, statistics

    monkeypatch.setattr(steps, "gradients", spoilt)
    assert math.isnan(found.step(0.1, 10.0))
    assert found.state() == before
