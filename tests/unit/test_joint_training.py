"""Random configurations of `joint` on tiny images: each builds, trains a step, goes on from a checkpoint, and some are exported."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import training_fakes as fakes

from bohb_nas import networks
from bohb_nas.records import Value
from bohb_nas.search_spaces import joint
from bohb_nas.space.encoding import Encoding
from bohb_nas.training import checkpoint
from bohb_nas.training.augment import normalise
from bohb_nas.training.export import export_model
from bohb_nas.training.learner import Learner, start

DATA = fakes.data(60, 30)
MOST_FLOPS = 2e7
"""Of one image's forward pass: about half of what is sampled, and all kinds of it."""


def sampled(n: int, *, seed: int) -> list[dict[str, Value]]:
    """n configurations of networks that are quickly trained, with batches of 16."""
    encoding = Encoding(joint.space())
    found: list[dict[str, Value]] = []
    while len(found) < n:
        config = encoding.sample(seed)
        seed += 1
        if networks.size(config, image_shape=DATA.image_shape, n_classes=3)["flops"] <= MOST_FLOPS:
            found.append({**config, "batch_size": 16})
    return found


SMALL: Mapping[str, Mapping[str, Value]] = {
    "multi_branch": {"nr_residual_blocks_1": 1, "nr_residual_blocks_2": 1, "nr_residual_blocks_3": 1, "res_branches_1": 1},
    "wrn": {"wrn_blocks": 1, "wrn_widen_factor": 0.5, "wrn_dropout": 0.2},
    "cell": {"cell_repeats": 1, "cell_edge_0_1": "avg_pool_3x3", "cell_edge_1_2": "skip_connect", "cell_edge_0_2": "none"},
    "mobile": {"mobile_blocks_1": 1, "mobile_kernel_2": 7, "mobile_width_factor": 0.5, "mobile_drop_path": 0.2},
}
"""A configuration of every family."""


def learner(config: Mapping[str, Value]) -> Learner:
    return start(config, data=DATA, compute=fakes.CPU, seed=1)


def step(trained: Learner) -> dict[str, torch.Tensor]:
    trained.step(DATA.train[:16], 0.01)
    return trained.network.state_dict()


def trains(config: Mapping[str, Value], folder: Path) -> None:
    """One step, a checkpoint, and a second step that is the same for who goes on from it."""
    first = learner(config)
    before = {name: tensor.clone() for name, tensor in first.network.state_dict().items()}
    after = step(first)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert sum(not torch.equal(before[name], after[name]) for name in before) >= len(before) / 2
    assert sum(p.numel() for p in first.network.parameters()) == networks.size(config, image_shape=DATA.image_shape, n_classes=3)["params"]
    checkpoint.save(folder, first, checkpoint.Used(train_s=1.0, steps=1), {})
    second = learner(config)
    checkpoint.load(folder, second, {}, below_s=2.0)
    for (name, left), right in zip(step(first).items(), step(second).values(), strict=True):
        assert torch.equal(left, right), name


def exports(config: Mapping[str, Value], folder: Path) -> None:
    """The program gives the logits of the network, for batches of any size."""
    trained = learner(config)
    step(trained)
    export_model(trained.network, folder, data=DATA, classes=["a", "b", "c"], config=config, facts={})
    program = torch.export.load(folder / "model.pt2").module()
    for n in (1, 5):
        with torch.no_grad():
            expected = trained.network.eval()(normalise(DATA.images[:n], DATA.mean, DATA.deviation))
            torch.testing.assert_close(program(DATA.images[:n]), expected)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_configuration_trains(seed: int, tmp_path: Path) -> None:
    (config,) = sampled(1, seed=1000 * seed)
    trains(config, tmp_path)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("family", SMALL)
def test_every_family_trains(family: str, optimizer: str, tmp_path: Path) -> None:
    trains({"family": family, "batch_size": 16, "optimizer": optimizer, **SMALL[family]}, tmp_path)


@pytest.mark.parametrize("family", SMALL)
def test_every_family_is_exported(family: str, tmp_path: Path) -> None:
    exports({"family": family, "batch_size": 16, **SMALL[family]}, tmp_path)


@pytest.mark.slow
def test_a_hundred_random_configurations_train_and_a_tenth_of_them_are_exported(tmp_path: Path) -> None:
    configs = sampled(100, seed=100_000)
    assert {config["family"] for config in configs} == set(SMALL)
    for number, config in enumerate(configs):
        trains(config, tmp_path / f"{number}")
        if number % 10 == 0:
            exports(config, tmp_path / f"exported-{number}")
