import copy
import gc
import itertools
import random
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import training_fakes as fakes

from bohb_nas.errors import OptionError
from bohb_nas.records import Status
from bohb_nas.training import augment, loop, schedules
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.data import Batches, ResidentData, resident, resident_split
from bohb_nas.training.device import Compute
from bohb_nas.training.feed import Feed
from bohb_nas.training.learner import Batch, Learner, Streams, start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.networks.normalisation import Norm
from bohb_nas.training.outcome import Fit
from bohb_nas.training.position import Leave, Position
from bohb_nas.training.recording import Recording, Work
from bohb_nas.training.validation import Score, evaluate


def train(learner: Learner, time: fakes.Virtual, *, budget_s: float, **plan: Any) -> Fit:
    return fit(learner, Plan(budget_s=budget_s, schedule=schedules.cosine, **plan), time.clock(), lambda _: None)


@pytest.mark.parametrize(("budget_s", "step_s", "jitter"), [(10.0, 0.1, 0.0), (10.0, 0.1, 0.3), (3.0, 0.29, 0.2), (2.0, 0.25, 0.0)])
def test_training_ends_with_the_budget_and_the_schedule_with_it(budget_s: float, step_s: float, jitter: float) -> None:
    time, learner, rng = fakes.Virtual(), fakes.learner(), random.Random(0)
    time.watch(learner.network, lambda _: step_s * rng.uniform(1 - jitter, 1 + jitter))
    result = train(learner, time, budget_s=budget_s, min_steps=6)
    assert result.status is Status.OK
    assert abs(result.train_s - budget_s) <= max(result.step_max_s, 0.005 * budget_s)
    assert result.lr_last <= 0.01 * learner.recipe.learning_rate
    assert max(point["lr"] for point in result.curve) > 0.8 * learner.recipe.learning_rate
    assert abs(result.steps - budget_s / step_s) <= 1 + jitter * budget_s / step_s


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_a_device_with_a_queue_is_waited_for_rarely_and_ends_as_well(jitter: float) -> None:
    time, rng, learner = fakes.Virtual(), random.Random(0), queueing()
    time.watch(learner.network, lambda _: 0.01 * rng.uniform(1 - jitter, 1 + jitter))
    result = train(learner, time, budget_s=3.0)
    assert abs(result.train_s - 3.0) <= 0.01 * (1 + jitter)
    assert result.lr_last == 0
    assert abs(result.steps - 300) <= 2 + 40 * jitter
    assert time.readings < result.steps / 2


@pytest.mark.parametrize(("floor_s", "tried"), [(7.9, True), (8.1, False)])
def test_what_is_far_too_slow_at_the_peak_is_not_tried(floor_s: float, *, tried: bool) -> None:
    """8 steps of 1 s are what 8 s allow; eight times that is beyond any doubt about the peak."""
    time, learner = fakes.Virtual(), fakes.learner()
    time.watch(learner.network, lambda _: 0.1)
    result = train(learner, time, budget_s=8.0, floor_s=floor_s)
    assert result.status is (Status.OK if tried else Status.TIMED_OUT)
    assert (time.time > 0) == tried
    assert tried or result.message == (
        "a step takes at least 8.1 s at the peak of the device: fewer than 8 fit into 8 s; "
        "accepted are smaller networks, smaller batches or larger budgets"
    )


def test_validation_and_warm_up_are_not_on_the_training_clock() -> None:
    time, learner = fakes.Virtual(), fakes.learner()
    time.watch(learner.network, lambda n: 0.1 * n / 16)
    result = train(learner, time, budget_s=15.0)
    assert result.steps == 150
    assert result.train_s == pytest.approx(15)
    # 2 + 2 + 4 images to try, then two whole batches. 90 images are expected to take 90 / (3 * 16) steps = 0.1875 s and do
    # take 0.5625 s, of 3 % of 15 s = 0.45 s: validated once along the curve, and at the end.
    assert result.warmup_s == pytest.approx(0.1 * (8 / 16 + 2))
    assert result.valid_s == pytest.approx(2 * 0.1 * 90 / 16)
    assert time.time == pytest.approx(result.train_s + result.warmup_s + result.valid_s)
    validated = [point["u"] for point in result.curve if "valid_error" in point]
    assert validated == pytest.approx([1 / 27, 1], abs=0.01)


def test_the_curve_is_validated_at_the_fractions_of_rungs_and_at_two_thirds() -> None:
    time, learner = fakes.Virtual(), fakes.learner()
    time.watch(learner.network, lambda n: 0.01 if n > 16 else 0.1 * n / 16)
    result = train(learner, time, budget_s=8.0)
    validated = [point["u"] for point in result.curve if "valid_error" in point]
    assert validated == pytest.approx([1 / 27, 1 / 9, 1 / 3, 2 / 3, 1], abs=0.013)
    assert len(result.curve) == 19 + 4 + 1, "every twentieth, those, and the end"


def test_seconds_of_saving_are_told_and_are_not_on_the_training_clock() -> None:
    time, learner = fakes.Virtual(), fakes.learner()
    time.watch(learner.network, lambda _: 0.1)

    def save(_: Position) -> None:
        time.time += 0.25

    leave = Leave(save=save, every_s=0.99)
    result = fit(learner, Plan(budget_s=3.5, schedule=schedules.cosine), time.clock(), lambda _: None, leave=leave)
    assert (result.save_s, result.train_s, result.steps) == pytest.approx((0.75, 3.5, 35))


def test_algorithms_are_tried_for_whole_batches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying takes seconds for every shape: it pays for the one that comes again and again."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    time, learner = fakes.Virtual(), fakes.learner()
    tried: dict[tuple[int, bool], set[bool]] = {}

    def hook(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        tried.setdefault((len(arguments[0]), module.training), set()).add(torch.backends.cudnn.benchmark)

    learner.network.register_forward_pre_hook(hook)
    time.watch(learner.network, lambda _: 0.1)
    train(learner, time, budget_s=1e9, max_steps=3)
    assert tried == {(2, True): {False}, (4, True): {False}, (16, True): {True}, (90, False): {False}}
    assert torch.backends.cudnn.benchmark


class Preparing(Compute):
    """A CPU whose library gets ready for every new number of images."""

    @property
    def prepares_for_shapes(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("compute", "floor_s", "seen"),
    [
        (Preparing, 0.99e-4, [16, 16]),  # a step of ten thousand times that is of use: 8 s are 8 steps of 1 s
        (Preparing, 1.01e-4, [2, 2, 4, 16, 16]),
        (Preparing, None, [2, 2, 4, 16, 16]),
        (Compute, 0.99e-4, [2, 2, 4, 16, 16]),
    ],
)
def test_no_few_images_are_tried_where_each_number_of_them_costs_seconds(
    compute: type[Compute], floor_s: float | None, seen: list[int]
) -> None:
    learner = start(fakes.TINY, data=fakes.data(), compute=compute(device=torch.device("cpu"), precision="fp32"), seed=0)
    time, tried = fakes.Virtual(), list[int]()
    time.watch(learner.network, lambda n: tried.append(n) or 0.1)  # type: ignore[func-returns-value]
    train(learner, time, budget_s=8.0, floor_s=floor_s)
    assert tried[: len(seen)] == seen


def test_a_device_with_a_queue_has_the_next_images_before_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    time, learner, told = fakes.Virtual(), queueing(), list[str]()
    prepare, read = learner.prepare, TrainingClock.now

    def passed(n: int) -> float:
        told.append(f"pass {n}")
        return 0.006  # 16 steps from one reading of the clock to the next, of 64 that are prepared together

    def prepared(positions: Sequence[torch.Tensor]) -> list[Batch]:
        told.append("prepare")
        return prepare(positions)

    def looked(clock: TrainingClock) -> float:
        told.append("wait")
        return read(clock)

    time.watch(learner.network, passed)
    monkeypatch.setattr(learner, "prepare", prepared)
    monkeypatch.setattr(TrainingClock, "now", looked)
    train(learner, time, budget_s=3.0)
    after_the_first = told[told.index("prepare") + 1 :]
    assert after_the_first.count("prepare") > 2
    assert ("wait", "prepare") not in itertools.pairwise(after_the_first)


def test_the_curve_is_monotone_and_told_as_it_grows() -> None:
    time, learner = fakes.Virtual(), fakes.learner()
    time.watch(learner.network, lambda _: 0.1)
    told: list[dict[str, Any]] = []
    result = fit(learner, Plan(budget_s=6.0, schedule=schedules.cosine), time.clock(), told.append)
    assert told == result.curve
    assert [p["u"] for p in told] == sorted({p["u"] for p in told})
    assert [p["step"] for p in told] == sorted({p["step"] for p in told})
    assert told[-1]["u"] == 1
    assert told[-1]["images_per_s"] == pytest.approx(160)


def test_the_last_validation_stays_within_its_share_but_sees_enough_images() -> None:
    time = fakes.Virtual()
    learner = start(fakes.TINY, data=fakes.data(n_train=60, n_valid=1200), compute=fakes.CPU, seed=0)
    time.watch(learner.network, lambda n: 0.8 * n / 256 if n > 16 else 1.0)
    dear, cheap = train(learner, time, budget_s=10.0), train(learner, time, budget_s=50.0)
    assert dear.valid is not None
    assert cheap.valid is not None
    # 256 images take 0.8 s, more than 5 % of 10 s; 5 % of 50 s is enough for 2.4 s and 768 images, not for 3.2 s and 1024
    assert (dear.valid.n, cheap.valid.n) == (256, 768)


def test_a_training_for_a_number_of_steps_is_validated_on_all_images_however_slow_the_machine() -> None:
    """1200 images take 3.75 s, of which 5 % of 10 s are a small part."""
    time = fakes.Virtual()
    learner = start(fakes.TINY, data=fakes.data(n_train=60, n_valid=1200), compute=fakes.CPU, seed=0)
    time.watch(learner.network, lambda n: 0.8 * n / 256 if n > 16 else 0.1)
    counted = train(learner, time, budget_s=10.0, max_steps=2)
    assert counted.valid is not None
    assert (counted.steps, counted.valid.n) == (2, 1200)


def test_what_is_too_slow_is_turned_away_before_it_costs_the_budget() -> None:
    time, learner = fakes.Virtual(), fakes.learner(batch_size=512)
    time.watch(learner.network, lambda n: 0.1 * n)
    result = train(learner, time, budget_s=40.0)
    assert result.status is Status.TIMED_OUT
    assert "51.2 s" in str(result.message)
    assert time.time == pytest.approx(0.1 * (2 + 2 + 64 + 64)), "a third of the budget"
    assert result.steps == 0


@pytest.mark.parametrize(
    "config", [{"optimizer": "sgd"}, {"optimizer": "adamw", "average": "on", "flip": "alternating"}, {"optimizer": "muon"}]
)
def test_a_training_keeps_nothing_once_it_is_over(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    learner, twin = fakes.learner(**config), Learner.twin
    networks = [weakref.ref(learner.network), weakref.ref(learner.outcome)]

    def watched(self: Learner, streams: Streams) -> Learner:
        made = twin(self, streams)
        networks.append(weakref.ref(made.network))
        return made

    monkeypatch.setattr(Learner, "twin", watched)
    gc.disable()  # it would find cycles, but nobody knows when; until then their memory is missing in the next training
    try:
        fit(learner, Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=5), TrainingClock(fakes.CPU.device), lambda _: None)
        assert networks[2]() is None, "the copy that warmed up"
        del learner
        assert [network() for network in networks] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("held_up", range(5))
def test_what_something_else_holds_up_once_is_trained_all_the_same(held_up: int) -> None:
    time, learner = fakes.Virtual(), fakes.learner()
    passes = itertools.count()
    time.watch(learner.network, lambda _: 0.1 + 5.0 * (next(passes) == held_up))
    result = train(learner, time, budget_s=6.0)
    assert result.status is Status.OK
    assert result.steps == 60


def test_divergence_is_a_status() -> None:
    time, learner = fakes.Virtual(), fakes.learner(sgd_learning_rate=1e30)
    time.watch(learner.network, lambda _: 0.1)
    result = train(learner, time, budget_s=10.0)
    assert result.status is Status.DIVERGED
    assert "learning rate" in str(result.message)
    assert result.steps < 20
    assert result.valid is None


@pytest.mark.parametrize("name", ["head.bias", "body.0.1.running_var"])
@pytest.mark.parametrize("average", ["off", "on"])
def test_what_is_not_finite_at_the_end_has_diverged_though_the_loss_tells_nothing(name: str, average: str) -> None:
    learner, time, updates = fakes.learner(average=average), fakes.Virtual(), itertools.count(1)
    time.watch(learner.network, lambda _: 0.1)

    def spoil(*_: object) -> None:
        if next(updates) == 3:
            learner.network.state_dict()[name].fill_(torch.inf)

    learner.optimizer.register_step_post_hook(spoil)
    result = train(learner, time, budget_s=1e9, max_steps=3)
    assert (result.status, result.valid) == (Status.DIVERGED, None)
    assert result.message == "a weight or a running statistic is not finite after 3 steps"


def test_what_is_not_finite_in_the_averaged_weights_alone_has_diverged() -> None:
    learner, time = fakes.learner(average="on"), fakes.Virtual()
    assert learner.average is not None
    outcome = learner.average.network
    time.watch(learner.network, lambda _: 0.1)
    learner.optimizer.register_step_post_hook(lambda *_: outcome.state_dict()["head.bias"].fill_(torch.nan))
    assert train(learner, time, budget_s=1e9, max_steps=3).status is Status.DIVERGED


def test_warm_up_leaves_no_trace() -> None:
    learner, other = fakes.learner(), fakes.learner()
    time = fakes.Virtual()
    time.watch(learner.network, lambda _: 0.1)
    fit(learner, Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=3), time.clock(), lambda _: None)
    positions = Batches(other.data.train, 16, other.streams.order)
    for u in (1 / 3, 2 / 3, 1.0):
        other.step(next(positions), schedules.cosine(u) * other.recipe.learning_rate)
    for name, tensor in other.network.state_dict().items():
        assert torch.equal(tensor, learner.network.state_dict()[name]), name


def test_validation_repeats_and_leaves_the_network_alone() -> None:
    learner, clock = fakes.learner(mixing="cutmix", cutout="on"), fakes.Virtual().clock()
    before = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    streams = learner.streams.augmentation.get_state()
    scores = [evaluate(learner.network, learner.data, compute=fakes.CPU, clock=clock) for _ in range(2)]
    assert scores[0] == scores[1]
    assert scores[0].n == 90
    assert torch.equal(streams, learner.streams.augmentation.get_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.network.state_dict().items())


def test_batches_show_every_image_once_an_epoch() -> None:
    order = Batches(torch.arange(10), 4, torch.Generator().manual_seed(0))
    seen = torch.cat([next(order) for _ in range(5)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))
    assert len(next(Batches(torch.arange(3), 8, torch.Generator()))) == 8


@pytest.mark.parametrize(
    ("name", "fraction", "n"), [("thirds", 0.25, 75), ("thirds", None, 30), ("digits", None, 90), ("digits", 0.5, 150)]
)
def test_as_many_images_are_held_out_as_it_was_told(name: str, fraction: float | None, n: int) -> None:
    """Of 300; untold it is a tenth, and of digits, which are few, three tenths."""
    data, told = resident_split(fakes.dataset(300, name=name), valid_fraction=fraction, seed=1, device=fakes.CPU.device)
    assert (len(data.valid), len(data.train)) == (n, 300 - n)
    assert told == {"dataset": "thirds", "valid_fraction": pytest.approx(n / 300), "split_seed": 1}


def test_levels_are_those_of_the_images_trained_on() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 5, 4, 2), dtype=np.uint8)
    data = resident(images, np.zeros(50, np.int64), train=np.arange(30), valid=np.arange(30, 50), n_classes=1, device=torch.device("cpu"))
    np.testing.assert_allclose(data.mean, images[:30].mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(data.deviation, images[:30].std((0, 1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(data.images.permute(0, 2, 3, 1), images)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_something_is_learned(optimizer: str) -> None:
    learner = fakes.learner(optimizer=optimizer)
    time = fakes.Virtual()
    time.watch(learner.network, lambda _: 0.1)
    result = train(learner, time, budget_s=1e9, max_steps=60)
    assert result.valid is not None
    assert result.valid.error < 0.2


def test_a_mirrored_validation_is_the_mean_of_both_views() -> None:
    learner, clock = fakes.learner(), fakes.Virtual().clock()
    data = learner.data
    score = evaluate(learner.network, data, compute=fakes.CPU, clock=clock, mirrored=True)
    shown = (data.images[data.valid].float() - data.mean[:, None, None]) / data.deviation[:, None, None]
    with torch.no_grad():
        both = (learner.network(shown) + learner.network(torch.flip(shown, [3]))) / 2
    assert score.error == (both.argmax(1) != data.labels[data.valid]).double().mean().item()


@pytest.mark.parametrize(("flip", "allowance_s", "judged"), [("on", 100.0, True), ("off", 100.0, False), ("on", 0.5, False)])
def test_the_mirrored_number_needs_training_that_mirrors_and_time(flip: str, allowance_s: float, judged: bool) -> None:
    learner, time = fakes.learner(flip=flip), fakes.Virtual()
    time.watch(learner.network, lambda n: n / 90)
    budget_s = allowance_s / 0.05
    result = fit(learner, Plan(budget_s=budget_s, schedule=schedules.cosine, max_steps=8), time.clock(), lambda _: None)
    assert (result.mirrored is not None) == judged
    assert result.valid is not None


def test_a_full_validation_that_takes_long_is_not_followed_by_one_with_mirror_images() -> None:
    """A validation image takes 1 s: all of them are seen, for that was asked, but none of them two times more."""
    learner, time = fakes.learner(flip="on"), fakes.Virtual()
    time.watch(learner.network, lambda n: float(n))
    plan = Plan(budget_s=1.0, schedule=schedules.cosine, max_steps=8, full_validation=True)
    result = fit(learner, plan, time.clock(), lambda _: None)
    assert result.valid is not None
    assert (result.valid.n, result.mirrored) == (len(learner.data.valid), None)


def test_the_averaged_network_is_judged() -> None:
    learner, time = fakes.learner(average="on", average_span=0.5), fakes.Virtual()
    time.watch(learner.network, lambda _: 0.1)
    result = fit(learner, Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=12), time.clock(), lambda _: None)
    assert learner.average is not None
    assert learner.outcome is learner.average.network
    counts = {int(count) for name, count in learner.outcome.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {12}, "the last step is averaged although 12 is no multiple of 5"
    assert not torch.equal(learner.outcome.head.weight, learner.network.head.weight)
    assert result.valid == evaluate(learner.outcome, learner.data, compute=fakes.CPU, clock=time.clock())


def test_an_average_is_of_trained_weights_from_the_first_step_on() -> None:
    learner = fakes.learner(average="on")
    learner.step(learner.data.train[:16], 0.1)
    learner.follow(0.01)
    for judged, trained in zip(learner.outcome.state_dict().values(), learner.network.state_dict().values(), strict=True):
        assert torch.equal(judged, trained)


def queueing(n_train: int = 300, **config: Any) -> Learner:
    compute = fakes.Queueing(device=torch.device("cpu"), precision="fp32")
    return start({**fakes.TINY, **config}, data=fakes.data(n_train), compute=compute, seed=0)


def test_batches_prepared_together_are_those_of_their_positions() -> None:
    learner = fakes.learner(crop="off")
    positions = [torch.tensor([5, 7, 5]), torch.tensor([0]), torch.tensor([299, 1])]
    levels = learner.data.images.float()
    for chosen, (images, targets) in zip(positions, learner.prepare(positions), strict=True):
        assert torch.equal(targets.argmax(1), learner.data.labels[chosen])
        torch.testing.assert_close(
            images, (levels[chosen] - learner.data.mean.view(1, -1, 1, 1)) / learner.data.deviation.view(1, -1, 1, 1)
        )


def test_images_that_alternate_are_mirrored_every_other_time() -> None:
    learner = fakes.learner(crop="off", flip="alternating")
    positions = torch.arange(32)
    first, second, third = (learner.prepare([positions])[0][0] for _ in range(3))
    assert torch.equal(second, first.flip(3))
    assert torch.equal(third, first)
    plain = fakes.learner(crop="off").prepare([positions])[0][0]
    mirrored = [not torch.equal(image, before) for image, before in zip(first, plain, strict=True)]
    assert 0 < sum(mirrored) < 32


def test_images_under_a_policy_that_are_prepared_together_keep_their_labels() -> None:
    """The brightest third tells the label, also of an image whose contrast or colours were changed."""
    learner = fakes.learner(crop="off", policy="searched", searched_geometry=0.0, searched_inversion=0.0, searched_detail=0.0)
    positions = [torch.arange(0, 100), torch.arange(100, 130)]
    prepared = learner.prepare(positions)
    assert [len(images) for images, _ in prepared] == [100, 30]
    images, targets = (torch.cat(list(parts)) for parts in zip(*prepared, strict=True))
    thirds = images.mean((1, 3))[:, [0, 1, 3, 4, 6, 7]].view(-1, 3, 2).mean(2)
    assert torch.equal(thirds.argmax(1), targets.argmax(1))
    assert targets.sum(0).tolist() == [44, 43, 43], "130 images of three classes in turn, each of them once"
    assert not torch.equal(targets[:100].argmax(1), learner.data.labels[:100]), "in an order of all"


def test_images_that_were_augmented_in_vain_do_not_count_as_seen() -> None:
    """20 steps of 16 images, of 64 that were prepared: the next training shows the others as if these had never been."""
    learner, time = queueing(flip="alternating", sgd_learning_rate=0.01), fakes.Virtual()
    time.watch(learner.network, lambda _: 0.01)
    assert learner.seen is not None
    before = learner.seen.int()
    assert train(learner, time, budget_s=1e9, max_steps=20).steps == 20
    counted = torch.remainder(learner.seen.int() - before, 256)
    assert (int(counted.sum()), int(counted.max())) == (320, 2), "an epoch of 300 images, and 20 of the next"


def test_what_waits_for_memory_is_part_of_the_rest() -> None:
    """Of 64 steps of 16 images there is memory for 32 at once: three are taken, 29 are ready, and those of the other 32 only drawn."""
    learner = queueing()
    makes = learner.prepare

    def prepare(positions: Sequence[torch.Tensor]) -> list[Batch]:
        if len(positions) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 132.00 MiB")
        return makes(positions)

    learner.prepare = prepare  # type: ignore[method-assign]
    feed = Feed(learner)
    classes = [int(k) for _ in range(3) for k in next(feed)[1].argmax(1)]
    rest, n_prepared = feed.rest()
    assert (len(rest), n_prepared) == (4 * 300 - 3 * 16, 29 * 16)
    assert (rest.bincount(minlength=300) <= 4).all()
    assert torch.tensor(classes).bincount().tolist() == [400 - n for n in learner.data.labels[rest].bincount().tolist()]
    assert feed.end() == 32


def test_images_of_fewer_steps_are_made_at_once_where_memory_does_not_hold_those_of_many() -> None:
    """64, 32 and 16 steps are too many, 8 are not; no image is left out or seen twice, and none is taken for seen without a step."""
    learner, time = queueing(flip="alternating", sgd_learning_rate=0.01), fakes.Virtual()
    time.watch(learner.network, lambda _: 0.01)
    assert learner.seen is not None
    prepared, before, taken = list[int](), learner.seen.clone(), list[torch.Tensor]()
    makes = augment.augment

    def cramped_augment(data: ResidentData, positions: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        prepared.append(len(positions) // 16)
        if len(positions) > 8 * 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 132.00 MiB")
        return makes(data, positions, *arguments, **named)

    own = learner.learn
    learner.learn = lambda batch, rate: taken.append(batch[1].argmax(1)) or own(batch, rate)  # type: ignore[func-returns-value, method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bohb_nas.training.learner.augment", cramped_augment)
        result = train(learner, time, budget_s=1e9, max_steps=75)
    assert (result.status, result.steps, result.ahead) == (Status.OK, 75, 8)
    assert [n for n in prepared if n > 1] == [64, 32, 16, *[8] * 10]
    counted = torch.remainder(learner.seen.int() - before.int(), 256)[learner.data.train]
    assert counted.tolist() == [4] * 300, "75 steps of 16 images are four epochs of 300"
    assert torch.cat(taken).bincount().tolist() == [400, 400, 400], "of the three classes, each with a hundred images"


def test_recorded_steps_go_on_without_their_recording_where_its_memory_leaves_no_room_for_images() -> None:
    """A recording keeps what its steps compute: images that fitted before may not beside it."""
    learner, time = fakes.learner(flip="alternating", sgd_learning_rate=0.01), fakes.Virtual()
    time.watch(learner.network, lambda _: 0.01)
    assert learner.seen is not None
    makes, before, replayed = augment.augment, learner.seen.clone(), list[bool]()

    def recorder(work: Work, inputs: tuple[torch.Tensor, ...]) -> Callable[[], None]:
        return lambda: replayed.append(True) or work(*inputs)  # type: ignore[func-returns-value]

    def cramped_augment(*arguments: Any, **named: Any) -> Any:
        if len(replayed) == 5 and learner.recording.replays:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 132.00 MiB\nmore")
        return makes(*arguments, **named)

    learner.recording = Recording(recorder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bohb_nas.training.learner.augment", cramped_augment)
        result = train(learner, time, budget_s=1e9, max_steps=75)
    assert (result.status, result.steps, len(replayed)) == (Status.OK, 75, 5)
    assert (learner.recording.replays, learner.recording.refused) == (False, "CUDA out of memory. Tried to allocate 132.00 MiB")
    assert torch.remainder(learner.seen.int() - before.int(), 256)[learner.data.train].tolist() == [4] * 300


def test_a_device_with_a_queue_augments_for_many_steps_at_once_and_a_processor_for_one() -> None:
    learner = queueing(policy="trivial")
    assert fakes.learner().ahead() == 1
    assert learner.ahead() == 64
    assert queueing(batch_size=10**6).ahead() == 1
    prepared, time = list[int](), fakes.Virtual()
    together = learner.prepare
    learner.prepare = lambda positions: prepared.append(len(positions)) or together(positions)  # type: ignore[func-returns-value, method-assign]
    time.watch(learner.network, lambda _: 0.01)
    assert train(learner, time, budget_s=3.0).steps == 300
    # the warm-up has a learner of its own
    assert prepared == [64] * 5


def test_images_ahead_take_at_most_a_thirty_second_of_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 images of 8 x 8 pixels in fp32, 4096 bytes a step."""
    learner = queueing()
    for free, steps in ((32 * 4096 * 10, 10), (32 * 4096 * 10 - 1, 9), (0, 1)):
        monkeypatch.setattr(fakes.Queueing, "free_bytes", lambda _, free=free: free)
        assert learner.ahead() == steps


@pytest.mark.parametrize("asked", [False, True])
def test_the_memory_of_recorded_steps_is_given_back_before_anything_is_judged_or_handed_over(
    asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, time, recorded = fakes.learner(), fakes.Virtual(), list[weakref.ref[object]]()
    alive: list[list[bool]] = []
    time.watch(learner.network, lambda _: 0.1)

    def recorder(work: Work, inputs: tuple[torch.Tensor, ...]) -> Callable[[], None]:
        recorded.append(weakref.ref(inputs[0]))
        return lambda: work(*inputs)

    def looked(*_: object, **__: object) -> Any:
        alive.append([of() is not None for of in recorded])
        return Score(error=0.5, n=90)

    learner.recording = Recording(recorder)
    monkeypatch.setattr(loop, "evaluate", looked)
    leave: Leave[Position] = Leave(asked=lambda: asked and bool(recorded), save=looked)
    plan = Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=9)
    result = fit(learner, plan, time.clock(), lambda _: None, leave=leave)
    assert (result.status, result.steps) == ((Status.PREEMPTED, 4) if asked else (Status.OK, 9))
    assert alive[-1] == [False]
    assert learner.recording.replays


class Cramped(torch.nn.Module):
    """A network whose device has memory for so many images of training, and for so many of an evaluation."""

    def __init__(self, network: torch.nn.Module, limit: int, evaluated: int = 10**9, error: Exception | None = None) -> None:
        super().__init__()
        self.network, self.limit, self.evaluated, self.most = network, limit, evaluated, 0
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    def noise(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return self.network.noise(n, generator)  # type: ignore[no-any-return, operator]

    def forward(self, x: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        if len(x) > (self.limit if self.training else self.evaluated):
            raise self.error
        self.most = max(self.most, len(x)) if self.training else self.most
        return self.network(x, noise)  # type: ignore[no-any-return]


def cramped(limit: int, error: Exception | None = None) -> tuple[Learner, Cramped]:
    learner = fakes.learner(batch_size=128)
    network = Cramped(learner.network, limit, error=error)
    learner.network = network  # type: ignore[assignment]
    return learner, network


@pytest.mark.parametrize("error", [None, RuntimeError("FIND was unable to find an engine to execute this computation")])
def test_a_batch_that_memory_does_not_hold_goes_in_parts(error: Exception | None) -> None:
    """For all of it, or for the workspace of a convolution beside it, of which torch says that it found no algorithm."""
    (learner, network), time = cramped(40, error), fakes.Virtual()
    time.watch(network, lambda _: 0.1)
    result = fit(learner, Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=3), time.clock(), lambda _: None)
    assert (result.status, learner.micro_batch, network.most) == (Status.OK, 32, 32)


def test_less_memory_than_for_sixteen_images_is_an_end() -> None:
    learner, _ = cramped(15)
    with pytest.raises(torch.OutOfMemoryError):
        fit(learner, Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=3), fakes.Virtual().clock(), lambda _: None)
    assert learner.micro_batch == 16


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_validation_batch_that_memory_does_not_hold_goes_in_parts(mirrored: bool) -> None:
    """90 images, for 30 of which there is memory: 90, 45 are too many, 23 are not."""
    learner, clock = fakes.learner(), fakes.Virtual().clock()
    network = Cramped(learner.network, 0, evaluated=30)
    whole, divided = (
        evaluate(network, learner.data, compute=fakes.CPU, clock=clock, mirrored=mirrored)  # type: ignore[arg-type]
        for network in (learner.network, network)
    )
    assert whole == divided


def test_less_memory_than_for_one_image_is_an_end_and_an_error_of_another_kind_is_none_of_memory() -> None:
    learner, clock = fakes.learner(), fakes.Virtual().clock()
    network, tried = Cramped(learner.network, 0, evaluated=0), list[int]()
    network.register_forward_pre_hook(lambda _, arguments: tried.append(len(arguments[0])))
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(network, learner.data, compute=fakes.CPU, clock=clock)  # type: ignore[arg-type]
    assert tried == [90, 45, 23, 12, 6, 3, 2, 1]
    with pytest.raises(RuntimeError, match="channels"):
        evaluate(learner.network, replace(learner.data, images=learner.data.images.repeat(1, 2, 1, 1)), compute=fakes.CPU, clock=clock)


@pytest.mark.parametrize(
    ("n", "micro_batch", "sizes"), [(1921, 16, {15, 16}), (33, 16, {11}), (17, 16, {8, 9}), (16, 16, {16}), (2, 16, {2})]
)
def test_the_parts_of_a_batch_are_as_even_as_can_be(n: int, micro_batch: int, sizes: set[int]) -> None:
    """1921 = 121 x 15 + 106; in parts of 16 the last would be a single image, which has no statistics."""
    learner, seen = fakes.learner(batch_size=n, flip="off"), list[int]()
    learner.micro_batch = micro_batch
    learner.network.register_forward_pre_hook(lambda _, arguments: seen.append(len(arguments[0])))
    learner.step(torch.arange(n) % 300, 0.0)
    assert (sum(seen), set(seen)) == (n, sizes)


def test_one_image_of_one_pixel_is_refused_in_words() -> None:
    """One image of several pixels has a variance, and is trained."""
    one, single = fakes.learner(batch_size=1), Norm(3)
    one.step(torch.arange(1), 0.0)
    with pytest.raises(OptionError, match=r"single pixel.*accepted is a batch_size from 2"):
        single(torch.zeros(1, 3, 1, 1))
    assert single.eval()(torch.zeros(1, 3, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.8), ("sgd", 0.0), ("adamw", 0.8)])
def test_steps_are_those_of_torch_down_a_cross_entropy_by_hand(optimizer: str, momentum: float) -> None:
    learner = fakes.learner(
        optimizer=optimizer,
        momentum=momentum,
        adamw_one_minus_beta2=0.05,
        weight_decay=0.3,
        label_smoothing=0.3,
        mixing="mixup",
        res_branches_2=1,
        death_rate=0.0,
    )
    network = copy.deepcopy(learner.network).train()
    theirs: torch.optim.Optimizer
    if optimizer == "sgd":
        theirs = torch.optim.SGD(network.parameters(), lr=0.1, momentum=momentum, weight_decay=0.3, nesterov=momentum > 0)
    else:
        theirs = torch.optim.AdamW(network.parameters(), lr=0.1, betas=(momentum, 0.95), weight_decay=0.3)
    expected = 0.0
    for i, rate in enumerate((0.1, 0.02, 0.05)):
        images, targets = learner.prepare([torch.arange(16 * i, 16 * i + 16)])[0]
        learner.learn((images, targets), rate)
        theirs.param_groups[0]["lr"] = rate
        theirs.zero_grad()
        logits = network(images, torch.zeros(0, 16))
        loss = -((0.7 * targets + 0.3 / 3) * logits.log_softmax(1)).sum(1)
        loss.mean().backward()
        theirs.step()
        expected += loss.sum().item()
    for mine, other in zip(learner.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    assert learner.take_totals()[0] == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_parts_is_the_mean_of_their_images() -> None:
    """Without batch statistics in between: those of a part are its own."""
    learner = fakes.learner(batch_size=48, flip="off", crop="off", res_branches_2=1, death_rate=0.0, label_smoothing=0.1)
    learner.network.eval = learner.network.train = lambda *_: learner.network  # type: ignore[method-assign]
    for module in learner.network.modules():
        module.training = False
    positions, gradients = torch.arange(48), list[list[torch.Tensor]]()
    learner.optimizer.register_step_pre_hook(
        lambda *_: gradients.append([p.grad for p in learner.network.parameters() if p.grad is not None])
    )
    learner.step(positions, 0.0)
    totals = learner.take_totals()
    learner.micro_batch = 20
    learner.step(positions, 0.0)
    whole, parts = gradients
    assert whole
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert learner.take_totals() == pytest.approx(totals, rel=1e-5)
