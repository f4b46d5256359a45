"""A training for which memory may not suffice: that is a result, not a crash."""

from collections.abc import Callable
from typing import Any

import torch

from bohb_nas.errors import out_of_memory
from bohb_nas.records import Result, Status, Trial
from bohb_nas.training.clock import TrainingClock
from bohb_nas.training.device import Compute, no_memory


def within_memory(trial: Trial, compute: Compute, clock: TrainingClock, train: Callable[[float, dict[str, Any]], Result]) -> Result:
    """What `train` answers, or that memory did not suffice; what is cached of it is given back either way.

    Args:
        trial: what is trained.
        compute: where.
        clock: its training clock, not started yet.
        train: told when it began, in seconds of the clock, and the details that every result has; it may add to them.
    """
    began = clock.now()
    details: dict[str, Any] = {"device": compute.name, "precision": compute.precision, "torch": torch.__version__}
    try:
        return train(began, details)
    except (RuntimeError, MemoryError) as e:
        if not out_of_memory(e):
            raise
        message = no_memory(e)
    finally:
        compute.release()
    return Result(
        trial_id=trial.trial_id,
        status=Status.OUT_OF_MEMORY,
        loss=None,
        train_s=clock.seconds(),
        metrics={"wall_s": clock.now() - began},
        details=details,
        message=message,
    )
