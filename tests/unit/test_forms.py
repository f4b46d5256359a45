"""The form of a network's branches: which one is chosen, and that training goes on in it as before."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import training_fakes as fakes
from torch import nn

from bohb_nas.records import Value
from bohb_nas.training import checkpoint, schedules
from bohb_nas.training.compiling import Compiler
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.networks import Form
from bohb_nas.training.outcome import Fit

BRANCHED: dict[str, Value] = {**fakes.TINY, "res_branches_2": 3, "res_branches_3": 2, "average": "on"}


class Starting(Compute):
    """A CPU that is said to gain from fewer kernels."""

    @property
    def gains_from_fewer_kernels(self) -> bool:
        return True


def learner(**config: Value) -> Learner:
    compute = Starting(device=torch.device("cpu"), precision="fp32")
    return start({**BRANCHED, **config}, data=fakes.data(), compute=compute, seed=0)


def trained(trainee: Learner, seconds: Callable[[int], float], *, budget_s: float = 80.0) -> Fit:
    """With a pass that takes so many seconds by the number of its convolutions."""
    time = fakes.Virtual()

    def hook(module: nn.Module, _: object) -> None:
        time.time += seconds(sum(isinstance(part, nn.Conv2d) for part in module.modules()))

    trainee.network.register_forward_pre_hook(hook)
    plan = Plan(budget_s=budget_s, schedule=schedules.cosine)
    return fit(trainee, plan, time.clock(), lambda _: None, compiler=Compiler("off"))


def test_fewer_convolutions_are_chosen_where_they_are_faster() -> None:
    """Stem 1; one branch 2; three branches 6 or 4 or 2; two 4 or 3 or 2; and two skip connections of 2."""
    result = trained(trainee := learner(), lambda n: n / 4)
    assert result.form is not None
    assert result.form.form == "grouped"
    assert result.form.step_s == pytest.approx({"apart": 17 / 4, "merged": 14 / 4, "grouped": 11 / 4})
    assert result.steps == pytest.approx(80 / (11 / 4), abs=1)
    assert trainee.outcome.state_dict().keys() == learner().network.state_dict().keys()


def test_the_separate_form_is_kept_where_it_is_fastest() -> None:
    result = trained(learner(), lambda n: 40 / n)
    assert result.form is not None
    assert (result.form.form, len(result.form.step_s)) == ("apart", 3)


@pytest.mark.parametrize(
    ("config", "budget_s"),
    [({"res_branches_2": 1, "res_branches_3": 1}, 80.0), ({"optimizer": "sgd"}, 59.0)],
    ids=["no branches", "too short to come back"],
)
def test_nothing_is_tried_where_nothing_can_be_won(config: dict[str, Value], budget_s: float) -> None:
    result = trained(learner(**config), lambda n: n / 4, budget_s=budget_s)
    assert result.form is not None
    assert (result.form.form, result.form.step_s) == ("apart", {})


@pytest.mark.parametrize(("optimizer", "tried"), [("sgd", True), ("muon", False)])
def test_branches_that_begin_a_network_stay_apart_under_muon(tmp_path: Path, optimizer: str, *, tried: bool) -> None:
    """Muon leaves the first convolution, one path's, to another optimizer: merged it would be that of every path."""
    source = tmp_path / "branches.py"
    source.write_text(
        "from bohb_nas.layers import Conv, Norm, Shake, chain\n\n\n"
        "def network(config):\n    path = chain(Conv(4, 3), Norm())\n    return Shake((path, path))\n"
    )
    compute = Starting(device=torch.device("cpu"), precision="fp32")
    made = start({"optimizer": optimizer, "batch_size": 16}, data=fakes.data(), compute=compute, seed=0, network=str(source))
    assert bool(trained(made, lambda n: n / 4).form.step_s) == tried  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["merged", "grouped"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_training_goes_on_in_another_form(form: Form, optimizer: str, tmp_path: Path) -> None:
    def steps(trainee: Learner, n: int) -> None:
        for i in range(n):
            trainee.step(torch.arange(16) + i, 0.01)
            trainee.follow(i / 10)

    plain, formed = (learner(optimizer=optimizer) for _ in range(2))
    steps(plain, 3)
    steps(formed, 3)
    formed.reform(form)
    assert any(a.numel() > b.numel() for a, b in zip(formed.network.parameters(), plain.network.parameters(), strict=False))
    for network in (formed.network, formed.outcome):
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in network.parameters() if p.dim() == 4)
    steps(plain, 3)
    steps(formed, 3)
    for a, b in ((plain.network, formed.network), (plain.outcome, formed.outcome)):
        assert a.state_dict().keys() == b.state_dict().keys()
        for name, tensor in b.state_dict().items():
            torch.testing.assert_close(tensor, a.state_dict()[name], rtol=2e-3, atol=2e-5)

    checkpoint.save(tmp_path, formed, checkpoint.Used(train_s=1.0, steps=6), {})
    resumed = learner(optimizer=optimizer)
    checkpoint.load(tmp_path, resumed, {}, below_s=2.0)
    for position, entries in plain.optimizer_state().items():
        for entry, tensor in entries.items():
            torch.testing.assert_close(resumed.optimizer_state()[position][entry], tensor, rtol=2e-2, atol=2e-4)
