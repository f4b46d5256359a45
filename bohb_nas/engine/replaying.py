"""Brings a fresh optimizer to where that of an interrupted search was."""

from dataclasses import replace
from pathlib import Path

from bohb_nas.errors import JournalError, SpaceError
from bohb_nas.records import ASIDE, Optimizer
from bohb_nas.store.journal import Event, State, read_events


def replay(optimizer: Optimizer, state: State, *, journal: Path | None = None) -> None:
    """Brings a fresh optimizer to where the journal's was.

    An optimizer that has a method `replay(trial)` takes the recorded trials as they are; any other is asked again and
    must answer the same. Trials beside the search are none of its business.

    Args:
        optimizer: that has been asked nothing.
        state: what the journal folds to.
        journal: where results are read with all of their details, which the state has not kept; None where those that it has will do.

    Raises:
        JournalError: the optimizer would not have asked what the journal says.
    """
    take_back = getattr(optimizer, "replay", None)

    def hear(known: State, event: Event) -> None:
        if known.origin(event) in ASIDE:
            return
        if event.trial is not None:
            if take_back is not None:
                try:
                    take_back(event.trial)
                except SpaceError as e:
                    raise JournalError(
                        f"the journal says trial {event.trial.trial_id} was asked, but {e}; restore the journal from a backup"
                    ) from e
            elif (asked := optimizer.ask()) != replace(event.trial, resume_from=None):
                raise JournalError(f"the journal says {event.trial.trial_id} was asked, the method now asks {asked}; was it changed?")
        elif event.result is not None:
            optimizer.tell(event.result)

    if journal is not None:
        known = State()
        for event in read_events(journal):  # not as it is folded, when nothing that a method leaves in circles is collected
            if known.apply(event):
                hear(known, event)
        return
    for event in state.events:
        hear(state, event)
