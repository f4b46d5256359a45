"""Compiled forward passes: when one is tried, when it is kept, and that it trains the same network."""

from functools import partial

import pytest
import torch
import training_fakes as fakes
from torch import Tensor

from bohb_nas.records import Value
from bohb_nas.training import schedules
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.compiling import Compiler, Mode
from bohb_nas.training.device import Compute
from bohb_nas.training.learner import Forward, Learner, forward, start
from bohb_nas.training.loop import Plan, fit
from bohb_nas.training.networks import Network
from bohb_nas.training.outcome import Fit


class Bench:
    """A learner whose steps take five seconds, and a compiler that takes 30 and changes that by a factor.

    Args:
        factor: of a compiled step.
        error: what compiling raises.
    """

    def __init__(self, factor: float = 0.5, error: Exception | None = None) -> None:
        self.factor, self.error = factor, error
        self.time, self.n_compiled = fakes.Virtual(), 0
        self._within = 5.0
        self.learner = self.another()

    def another(self) -> Learner:
        """A learner of a network of the same form."""
        learner = fakes.learner()
        self.time.watch(learner.network, lambda n: self._within * n / 16)
        return learner

    def compile(self, function: Forward) -> Forward:
        self.n_compiled += 1
        first = True

        def compiled(network: Network, images: Tensor, noise: Tensor) -> Tensor:
            nonlocal first
            if self.error is not None:
                raise self.error
            self.time.time += 30 * first
            first, self._within = False, 5 * self.factor
            try:
                return function(network, images, noise)
            finally:
                self._within = 5.0

        return compiled

    def fit(self, budget_s: float, mode: Mode = "on") -> Fit:
        plan, compiler = Plan(budget_s=budget_s, schedule=schedules.cosine), Compiler(mode, compile=self.compile)
        return fit(self.learner, plan, self.time.clock(), lambda _: None, compiler=compiler)


def test_a_faster_form_is_kept_and_trains_more_steps() -> None:
    bench = Bench(factor=0.5)
    result = bench.fit(100.0)
    assert result.compiled is not None
    assert (result.compiled.used, result.compiled.reason) == (True, None)
    assert result.compiled.seconds == pytest.approx(32.5)
    assert result.compiled.gain == pytest.approx(2.0)
    assert result.steps == 40
    assert result.train_s == pytest.approx(100), "compiling is not on the training clock"
    # two whole batches and half of one to try; ten steps as usual, ten that are compiled
    assert result.warmup_s == pytest.approx(5 * (2.5 + 10 + 10 * 0.5) + 30)


def test_a_slower_form_is_given_back() -> None:
    bench = Bench(factor=0.99)
    result = bench.fit(100.0)
    assert result.compiled is not None
    assert (result.compiled.used, result.compiled.reason) == (False, "a step was 1.01 times as fast")
    assert bench.learner.forward is forward
    assert result.steps == 20


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("backend='inductor' raised:\nno C++ compiler\n\nmore"), "it failed: backend='inductor' raised: no C++ compiler"),
        (torch.OutOfMemoryError("CUDA out of memory"), "it failed: out of memory"),
    ],
)
def test_what_does_not_compile_is_trained_as_it_is(error: Exception, reason: str) -> None:
    bench = Bench(error=error)
    result = bench.fit(100.0)
    assert result.compiled is not None
    assert (result.compiled.used, result.compiled.reason) == (False, reason)
    assert result.steps == 20


def test_a_processor_compiles_on_request_only() -> None:
    bench = Bench()
    assert bench.fit(200.0, "auto").compiled.reason == "on a cpu it is done on request only"  # type: ignore[union-attr]
    assert Bench().fit(50.0, "off").compiled.reason == "it is off"  # type: ignore[union-attr]
    assert bench.n_compiled == 0


@pytest.mark.parametrize(("budget_s", "tried"), [(139.0, False), (141.0, True)])
def test_compiling_has_to_come_back_within_the_budget(budget_s: float, tried: bool) -> None:
    """C < T (1 - 1 / s): 40 s at s = 1.4 take 140 s to come back."""
    bench = Bench()
    bench.learner.compute = Compiling(device=torch.device("cpu"), precision="fp32")
    compiled = bench.fit(budget_s, "auto").compiled
    assert compiled is not None
    assert (compiled.used, bench.n_compiled) == (tried, int(tried))
    assert compiled.reason == (None if tried else "40 s would not come back within 139 s at a gain of 1.4")


def test_what_was_compiled_before_costs_nothing_again() -> None:
    bench, used = Bench(), list[bool]()
    compiler = Compiler("auto", compile=bench.compile)
    for budget_s in (10.0, 200.0, 10.0):
        learner = bench.another()
        learner.compute = Compiling(device=torch.device("cpu"), precision="fp32")
        used.append(compiler.speed_up(learner, bench.time.clock(), budget_s=budget_s, step_s=5.0)[0].used)
    assert used == [False, True, True]


class Compiling(Compute):
    """A CPU that is said to gain from compiling."""

    @property
    def gains_from_fewer_kernels(self) -> bool:
        return True


class Hastening(fakes.Virtual):
    """A clock on which everything takes less time than what was before."""

    def __call__(self) -> float:
        self.readings += 1
        self.time += 1 / self.readings
        return self.time


@pytest.mark.filterwarnings("default")  # of the compiler's own
def test_the_compiled_form_of_a_network_trains_it_as_the_network_does() -> None:
    def trained(mode: Mode) -> tuple[Fit, Learner]:
        learner = fakes.learner(death_rate=0.5, res_branches_2=2)
        plan = Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=5)
        compiler = Compiler(mode, compile=partial(torch.compile, backend="eager", fullgraph=True, dynamic=False))
        return fit(learner, plan, Hastening().clock(), lambda _: None, compiler=compiler), learner

    (plain_fit, plain), (traced_fit, traced) = trained("off"), trained("on")
    assert traced_fit.compiled is not None
    assert traced_fit.compiled.used, traced_fit.compiled.reason
    for a, b in zip(plain.network.state_dict().values(), traced.network.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    assert plain_fit.train_loss == pytest.approx(traced_fit.train_loss)


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # of the compiler's own
@pytest.mark.parametrize("config", [{"death_rate": 0.5}, {"family": "mobile", "optimizer": "adamw"}])
def test_a_gpu_replays_the_compiled_form(config: dict[str, Value]) -> None:
    device = torch.device("cuda")

    def trained(mode: Mode) -> tuple[Fit, Learner]:
        compute = Compute(device=device, precision="fp32")
        learner = start(
            {**fakes.TINY, "sgd_learning_rate": 0.01, "batch_size": 64, **config}, data=fakes.data(device=device), compute=compute, seed=0
        )
        plan = Plan(budget_s=1e9, schedule=schedules.cosine, max_steps=12)
        return fit(learner, plan, TrainingClock(device), lambda _: None, compiler=Compiler(mode)), learner

    (plain_fit, plain), (compiled_fit, compiled) = trained("off"), trained("on")
    assert compiled_fit.compiled is not None
    assert compiled_fit.compiled.gain is not None, compiled_fit.compiled.reason
    assert compiled.recording.replays
    assert compiled.forward is not forward or compiled_fit.compiled.gain < 1.04
    assert plain_fit.train_loss == pytest.approx(compiled_fit.train_loss, rel=0.05)
    if "family" in config:  # two plain trainings of this network differ by a tenth of its way, as cuDNN's sums do in their last bits
        return
    for a, b in zip(plain.network.state_dict().values(), compiled.network.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=5e-2, atol=5e-3)
