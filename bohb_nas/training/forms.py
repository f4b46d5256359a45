"""Which form the branches of a network take: apart, merged or grouped, by timing a few steps of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from torch import nn

from bohb_nas.errors import out_of_memory
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.learner import Learner, Streams
from bohb_nas.training.networks import Form
from bohb_nas.training.networks.network import Shaken
from bohb_nas.training.warm_up import settled_seconds

TAKES_S = 10.0
"""Seconds of trying: convolutions of other shapes are new to the library."""
BRINGS = 1.2
"""Times as fast, of the networks that gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The form in which a network is trained."""

    form: Form
    step_s: Mapping[Form, float]
    """Seconds of a step in every form that was tried."""


def choose(learner: Learner, clock: TrainingClock, *, budget_s: float, step_s: float) -> tuple[Chosen, float]:
    """Puts the learner's network into the fastest form.

    Tried where the device gains from fewer kernels, the network has branches, and the seconds of trying come back within the
    budget, as in `bohb_nas.training.compiling`.

    Args:
        learner: its weights, streams and what its optimizer knows stay as they are.
        clock: times the steps.
        budget_s: seconds that will be trained.
        step_s: of one step, as far as known.

    Returns:
        The choice, and the seconds of a step from now on.
    """
    comes_back = budget_s * (1 - 1 / BRINGS) >= TAKES_S
    if not (learner.compute.gains_from_fewer_kernels and comes_back and _branched(learner)):
        return Chosen(form="apart", step_s={}), step_s
    took: dict[Form, float] = {}
    for form in get_args(Form):
        twin = learner.twin(Streams.seeded(0, learner.compute.device))
        try:
            twin.reform(form)
            took[form] = settled_seconds(twin, clock)
        except RuntimeError as e:
            if not out_of_memory(e):
                raise
        finally:
            del twin
            learner.compute.release()
    if not took:
        return Chosen(form="apart", step_s={}), step_s
    best = min(took, key=lambda form: took[form])
    if best != "apart":
        learner.reform(best)
    return Chosen(form=best, step_s=took), took[best]


def _branched(learner: Learner) -> bool:
    """Whether the network has branches to merge, with the same steps in each form.

    Muon leaves the first convolution to another optimizer: where that is one of several branches, merging would leave it all of them.
    """
    shaken = [module for module in learner.network.modules() if isinstance(module, Shaken)]
    first = next((module for module in learner.network.modules() if isinstance(module, nn.Conv2d)), None)
    return bool(shaken) and not (
        learner.recipe.optimizer == "muon" and any(first is module for path in shaken for module in path.modules())
    )
