"""Recorded steps: what is replayed, when, and that it is the same training."""

from collections.abc import Callable

import pytest
import torch
import training_fakes as fakes
from torch import Tensor

from bohb_nas.records import Value
from bohb_nas.training.data import Batches
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.recording import Recording, Work


class Tape:
    """A recorder that runs the work again, on the places that it was given."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.n_recorded = 0
        self.n_replayed = 0

    def __call__(self, work: Work, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
        self.n_recorded += 1
        if self.error is not None:
            raise RuntimeError(self.error)

        def replay() -> None:
            self.n_replayed += 1
            work(*inputs)

        return replay


def test_the_fourth_time_is_recorded_and_replays_see_new_inputs() -> None:
    seen: list[float] = []
    tape = Tape()
    recording = Recording(tape)
    for i in range(6):
        recording(lambda x: seen.append(x.item()), torch.tensor(float(i)))
    assert seen == [0, 1, 2, 3, 4, 5]
    assert (tape.n_recorded, tape.n_replayed, recording.replays) == (1, 3, True)


def test_other_shapes_are_done_as_usual_and_do_not_count() -> None:
    seen: list[int] = []
    tape = Tape()
    recording = Recording(tape)
    for n in (2, 2, 3, 3, 3, 3, 2, 3):
        recording(lambda x: seen.append(len(x)), torch.zeros(n))
    assert seen == [2, 2, 3, 3, 3, 3, 2, 3]
    assert tape.n_replayed == 2, "the fourth batch of three, and the one after that of two"


def test_what_cannot_be_recorded_goes_on_as_usual_and_says_so() -> None:
    seen: list[float] = []
    tape = Tape("operation not permitted when stream is capturing\nmore")
    recording = Recording(tape)
    for i in range(6):
        recording(lambda x: seen.append(x.item()), torch.tensor(float(i)))
    assert seen == [0, 1, 2, 3, 4, 5]
    assert (tape.n_recorded, recording.replays) == (1, False)
    assert recording.refused == "operation not permitted when stream is capturing"


def start_with(config: dict[str, Value]) -> Learner:
    return start({**fakes.TINY, **config}, data=fakes.data(), compute=fakes.CPU, seed=0)


def trained(learner: Learner, n_steps: int = 8, *, rate: float = 0.1) -> list[Tensor]:
    positions = Batches(learner.data.train, 32, learner.streams.order)
    for i in range(n_steps):
        learner.step(next(positions), rate / (i + 1))
    return [*learner.network.state_dict().values(), learner.totals]


@pytest.mark.parametrize("micro_batch", [32, 16])
@pytest.mark.parametrize(
    "config", [{"optimizer": "adamw"}, {"optimizer": "muon"}, {"policy": "trivial", "mixing": "cutmix"}, {"death_rate": 0.5}]
)
def test_a_replayed_training_is_the_same_training(config: dict[str, Value], micro_batch: int) -> None:
    plain, replayed = start_with(config), start_with(config)
    plain.micro_batch = replayed.micro_batch = micro_batch
    replayed.recording.recorder = tape = Tape()
    for a, b in zip(trained(plain), trained(replayed), strict=True):
        assert torch.equal(a, b)
    assert tape.n_replayed == 5


@pytest.mark.gpu
@pytest.mark.parametrize(
    "config",
    [{"optimizer": "sgd"}, {"optimizer": "adamw"}, {"optimizer": "muon"}, {"death_rate": 0.5}, {"policy": "rand"}, {"family": "wrn"}],
)
def test_a_cuda_graph_trains_as_the_same_steps_do(config: dict[str, Value]) -> None:
    device = torch.device("cuda")
    data = fakes.data(device=device)
    made = [start({**fakes.TINY, **config}, data=data, compute=Compute(device=device, precision="fp32"), seed=0) for _ in range(2)]
    made[0].recording.recorder = None
    plain, replayed = (trained(learner, rate=0.01) for learner in made)
    assert made[1].recording.replays, made[1].recording.refused
    for a, b in zip(plain, replayed, strict=True):
        torch.testing.assert_close(a, b, rtol=5e-2, atol=5e-3)  # cuDNN adds gradients up in no fixed order


@pytest.mark.gpu
@pytest.mark.parametrize("policy", ["none", "trivial", "rand", "auto_cifar10", "searched"])
def test_no_step_waits_for_the_device(policy: str) -> None:
    device = torch.device("cuda")
    config = {**fakes.TINY, "policy": policy, "mixing": "mixup", "cutout": "on", "flip": "alternating", "average": "on"}
    learner = start(config, data=fakes.data(device=device), compute=Compute(device=device, precision="bf16"), seed=0)
    trained(learner, 4)
    positions = [torch.arange(32, device=device) + i for i in range(8)]
    torch.cuda.synchronize()
    with fakes.unwaited():
        for i, batch in enumerate(learner.prepare(positions)):
            learner.learn(batch, 0.1)
            learner.follow(i / 8)
