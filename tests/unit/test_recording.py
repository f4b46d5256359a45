"""Recorded steps: what is replayed, when, and that it is the same training."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import training_fakes as fakes
from torch import Tensor

from bohb_nas import spoilt
from bohb_nas.records import Value
from bohb_nas.training.data import Batches
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Learner, start
from bohb_nas.training.recording import Recorder, Recording, Work, record


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


def test_a_recording_that_has_ended_holds_nothing_and_still_says_that_it_was_replayed() -> None:
    seen, tape = list[float](), Tape()
    recording = Recording(tape)
    places: list[weakref.ref[Tensor]] = []

    def work(x: Tensor) -> None:
        seen.append(x.item())
        places.append(weakref.ref(x))

    for i in range(5):
        recording(work, torch.tensor(float(i)))
    assert places[-1]() is not None, "where a replay finds its inputs"
    recording.end()
    assert places[-1]() is None
    for i in range(5, 10):
        recording(work, torch.tensor(float(i)))
    assert seen == list(range(10))
    assert (tape.n_recorded, tape.n_replayed, recording.replays, recording.refused) == (1, 2, True, None)


class Large(torch.Tensor):
    """Of which there is no room for two."""

    def clone(self, **_: object) -> "Large":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def recorded_in_vain(work: Work, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """A recorder whose replay finds no room."""
    del work, inputs

    def replay() -> None:
        raise RuntimeError("CUDA error: out of memory\nmore")

    return replay


@pytest.mark.parametrize(
    ("x", "recorder", "refused"),
    [
        (torch.ones(2).as_subclass(Large), Tape(), "CUDA out of memory. Tried to allocate 2 GiB"),
        (torch.ones(2), recorded_in_vain, "CUDA error: out of memory"),
    ],
)
def test_a_recording_for_which_memory_does_not_suffice_goes_on_as_usual(x: Tensor, recorder: Recorder, refused: str) -> None:
    """The places of its inputs, or its first replay, may need more than there is; none of its work is left out, or done twice."""
    recording, seen = Recording(recorder), list[Tensor]()
    for i in range(1, 7):
        recording(seen.append, x)
        assert len(seen) == i
    assert (recording.replays, recording.refused) == (False, refused)


@pytest.mark.parametrize("fails", ["before it begins", "while it records", "at its end"])
def test_a_graph_that_failed_once_begun_spoils_the_process_and_leaves_no_stream_behind(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """A processor stands for the GPU: torch changes to another stream, and back only from a graph that ended well."""
    streams = ["own"]

    @contextmanager
    def on(stream: str) -> Iterator[None]:
        before, streams[0] = streams[0], stream
        try:
            yield
        finally:
            streams[0] = before

    class Graph:
        def __init__(self, graph: object, capture_error_mode: str) -> None:
            pass

        def __enter__(self) -> None:
            if fails == "before it begins":
                raise RuntimeError("CUDA error: out of memory")
            streams[0] = "capturing"

        def __exit__(self, *_: object) -> None:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def work() -> None:
        if fails == "while it records":
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    monkeypatch.setattr(spoilt, "_why", None)
    for name, fake in {"CUDAGraph": object, "graph": Graph, "stream": on, "current_stream": lambda: streams[0]}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    with pytest.raises(RuntimeError, match="CUDA error"):
        record(work, ())
    assert streams == ["own"]
    assert (spoilt.why() is None) == (fails == "before it begins")


def test_a_recording_begins_without_gradients() -> None:
    """It makes its own, in memory of its own: what those before it held can be given back."""
    learner, alive = fakes.learner(), list[bool]()

    def recorder(work: Work, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
        alive.extend(p.grad is not None for p in learner.network.parameters())
        return lambda: work(*inputs)

    learner.recording = Recording(recorder)
    trained(learner, 4)
    assert alive
    assert not any(alive)


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
    [
        {"optimizer": "sgd"},
        {"optimizer": "adamw"},
        {"optimizer": "muon"},
        {"death_rate": 0.5},
        {"policy": "rand"},
        {"family": "wrn"},
        {"family": "mobile"},
    ],
)
def test_a_cuda_graph_trains_as_the_same_steps_do(config: dict[str, Value], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)  # other kernels of cuDNN's add gradients up in no fixed order
    device = torch.device("cuda")
    data = fakes.data(device=device)
    made = [start({**fakes.TINY, **config}, data=data, compute=Compute(device=device, precision="fp32"), seed=0) for _ in range(2)]
    made[0].recording.recorder = None
    plain, replayed = (trained(learner, rate=0.01) for learner in made)
    assert made[1].recording.replays, made[1].recording.refused
    for a, b in zip(plain, replayed, strict=True):
        assert torch.equal(a, b)


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
