"""Searches in the worker: one trial in which the worker searches by itself and, after it, one that trains what was found.

Behind `autohas` and `dha`. A search that fails, or that finds what is none of the space's, is asked again with another seed, up to three
times in all; the training of what was found once more.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from bohb_nas.entries import check_option, is_number
from bohb_nas.errors import JournalError, OptionError, SpaceError
from bohb_nas.methods._brackets import check_result, never_asked
from bohb_nas.records import Budgets, Idle, Origin, Result, Status, Trial, Value
from bohb_nas.space.encoding import default_configuration
from bohb_nas.space.legality import complete

_MOST = {Origin.SEARCH: 3, Origin.MODEL: 2}
"""Attempts, by what is asked."""


def check_common(search_s: float | None, retrain: object) -> None:
    """Raises OptionError unless the seconds of the search are none or a number above 0, and `retrain` is true or false."""
    good = search_s is None or (is_number(search_s) and search_s > 0)
    check_option("search_s", search_s, good, "a number of seconds above 0, or none for the dearest budget")
    check_option("retrain", retrain, type(retrain) is bool, "true or false")


class OneShot:
    """The optimizer of a search in the worker.

    Args:
        space: what is searched; the search itself is asked with its default configuration.
        budgets: the ladder; what was found is trained for the dearest.
        seed: the n-th trial's own comes from the stream (seed, n).
        search_s: seconds of the search; None is the dearest budget.
        retrain: whether what was found is trained by itself.

    Raises:
        OptionError: budgets are no seconds.
    """

    def __init__(self, space: ConfigurationSpace, budgets: Budgets, *, seed: int, search_s: float | None, retrain: bool) -> None:
        if budgets.unit != "s":
            raise OptionError(f"budget unit {budgets.unit!r}: a search in the worker takes seconds; leave --budget-unit out")
        self.reason = "nothing was asked"
        """Why the last ask came out as it did."""
        self.given_up: str | None = None
        """Why it is over before its end, where it is."""
        self._space = space
        self._budgets = budgets
        self._seed = seed
        self._search_s = float(budgets.max if search_s is None else search_s)
        self._due: Origin | None = Origin.SEARCH
        """What is to be asked next; None when nothing is."""
        self._after = Origin.MODEL if retrain else None
        """What is due once the search has found something."""
        self._attempt = 1
        self._config: Mapping[str, Value] = default_configuration(space)
        self._why = ""
        """What came of the last attempt at what is due, or of everything."""
        self._pending: Trial | None = None
        self._n_asked = 0
        self._done: set[str] = set()

    @property
    def left(self) -> str | None:
        """What is still to be done, where a stop rule ends it before."""
        match self._due:
            case None:
                return None
            case Origin.SEARCH:
                return "nothing was searched"
            case _:
                return "what the search found was not trained by itself"

    def ask(self) -> Trial | Idle:
        """The next trial, or why there is none."""
        if self._pending is not None:
            self.reason = f"no trial until the result of {self._pending.trial_id} comes"
            return Idle.WAIT
        if self._due is None:
            self.reason = self._why
            return Idle.DONE
        what = "the search itself" if self._due is Origin.SEARCH else "what the search found, trained by itself"
        self.reason = what if self._attempt == 1 else f"{what}, with another seed: {self._why}"
        self._pending = self._expected()
        self._n_asked += 1
        return self._pending

    def replay(self, trial: Trial) -> None:
        """Takes back a trial that was asked before an interruption.

        Raises:
            JournalError: another trial would have been asked next, or none.
        """
        expected = self._expected() if self._pending is None and self._due is not None else None
        if expected is None or not _same(trial, expected):
            instead = "no trial" if expected is None else _text(expected)
            raise JournalError(
                f"trial {_text(trial)} cannot be replayed: this search would have asked {instead}; "
                "resume with the method, its options and the budgets of the start"
            )
        self._pending = trial
        self._n_asked += 1

    def tell(self, result: Result) -> None:
        """Takes in what became of an asked trial; the first result of a trial counts, later ones are ignored.

        Raises:
            RecordError: it is no result, or no such trial was asked.
        """
        check_result(result)
        if result.trial_id in self._done:
            return
        if self._pending is None or self._pending.trial_id != result.trial_id:
            raise never_asked(result, self._n_asked)
        self._done.add(result.trial_id)
        self._pending = None
        problem = self._problem(result)
        if problem is None:
            searched = self._due is Origin.SEARCH
            self._due, self._attempt = self._after if searched else None, 1
            self._why = "the search is through" if searched else "what the search found is trained"
        elif self._attempt < _MOST[self._due or Origin.SEARCH]:
            self._attempt, self._why = self._attempt + 1, f"{result.trial_id} {problem}"
        else:
            what = "the search" if self._due is Origin.SEARCH else "the training of what it found"
            self._due, self._why = None, f"given up: {what} failed {self._attempt} times; {result.trial_id} {problem}"
            self.given_up = self._why

    def _problem(self, result: Result) -> str | None:
        """Why a result is no good, or None; keeps what a search found."""
        if result.status is not Status.OK:
            return f"ended as {result.status}"
        if self._due is not Origin.SEARCH:
            return None
        if result.config is None:
            why = result.details.get("config_left_out")
            return "brought no configuration" if why is None else f"found what the space does not have: {why}"
        try:
            self._config = complete(self._space, result.config)
        except SpaceError as e:
            return f"found what the space does not have: {e}"
        return None

    def _expected(self) -> Trial:
        """The trial that is due."""
        assert self._due is not None
        n = self._n_asked
        return Trial(
            trial_id=f"t{n:05d}",
            config_id=f"c{n:05d}",
            config=dict(self._config),
            budget=self._search_s if self._due is Origin.SEARCH else float(self._budgets.max),
            bracket=0,
            rung=len(self._budgets.rungs) - 1,
            seed=int(np.random.default_rng((self._seed, n)).integers(2**31)),
            origin=self._due,
        )


def make(*, space: ConfigurationSpace, budgets: Budgets, seed: int, n_workers: int, options: Any) -> OneShot:
    """The optimizer: the search, which is one trial of one worker, and what follows.

    Raises:
        OptionError: budgets are no seconds.
    """
    del n_workers
    return OneShot(space, budgets, seed=seed, search_s=options.search_s, retrain=options.retrain)


def _same(one: Trial, other: Trial) -> bool:
    places = [(t.trial_id, t.config_id, t.bracket, t.rung, t.origin) for t in (one, other)]
    return places[0] == places[1] and math.isclose(one.budget, other.budget, rel_tol=1e-9)


def _text(trial: Trial) -> str:
    return (
        f"{trial.trial_id} (configuration {trial.config_id}, bracket {trial.bracket}, rung {trial.rung}, "
        f"budget {trial.budget:g}, {trial.origin})"
    )
