"""How often the checkpoints are gone through, and how many worthless ones there may be meanwhile."""

from typing import cast

import pytest

from bohb_nas.engine.checkpoints import Checkpoints
from bohb_nas.records import Origin, Result, Status, Trial
from bohb_nas.store.journal import Event, State
from bohb_nas.store.study_dir import StudyDir


class Disk:
    """A study's checkpoints, and those that were deleted."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def checkpoint(self, trial_id: str) -> str | None:
        return trial_id if trial_id in self.there else None

    def drop_checkpoints(self, trial_id: str) -> None:
        self.there.discard(trial_id)


class Search:
    """One configuration after the other is told on the lower of two rungs; those in `may` may be promoted."""

    def __init__(self) -> None:
        self.disk, self.state, self.may, self.walks, self.n = Disk(), State(), set[str](), list[int](), 0
        self.begin()

    def begin(self) -> None:
        self.state.apply(Event(term=self.state.term + 1, time=0.0))
        self.checkpoints = Checkpoints(
            cast(StudyDir, self.disk), self.state, continue_promoted=True, ours=True, promotable=self.promotable, n_rungs=2
        )

    def promotable(self) -> set[str]:
        self.walks.append(len(self.may))
        return self.may

    def tell(self, *, may: bool, checked: bool = True, rung: int = 0) -> None:
        n, self.n = self.n, self.n + 1
        trial = Trial(trial_id=f"t{n}", config_id=f"c{n}", config={}, budget=1.0, bracket=1, rung=rung, seed=0, origin=Origin.RANDOM)
        self.state.apply(Event(term=self.state.term, time=0.0, trial=trial))
        told = Result(trial_id=f"t{n}", status=Status.OK, loss=1.0 + n, train_s=1.0)  # the first is the incumbent
        self.state.apply(Event(term=self.state.term, time=0.0, result=told))
        self.may |= {f"c{n}"} if may else set()
        self.disk.there.add(f"t{n}")
        if checked:
            self.checkpoints.told(f"t{n}")

    @property
    def worthless(self) -> int:
        """Checkpoints that are neither the incumbent's nor of what may be promoted."""
        return len(self.disk.there - {"t0"} - {f"t{c[1:]}" for c in self.may})


def test_what_a_result_costs_does_not_grow_with_the_search() -> None:
    """All of n configurations may be promoted: to go through them at every result would be n (n + 1) / 2 steps, 2 million of 2,000."""
    search = Search()
    for _ in range(2000):
        search.tell(may=True)
    assert len(search.disk.there) == 2000
    assert sum(search.walks) < 110 * 2000  # a hundred steps for each result, and the one sweep that was begun


def test_no_more_than_one_in_a_hundred_is_worthless() -> None:
    search = Search()
    for n in range(1000):
        search.tell(may=n % 2 == 0)
        assert search.worthless <= max(0, len(search.disk.there) / 100)


def test_few_checkpoints_are_gone_through_at_every_result() -> None:
    search = Search()
    for _ in range(20):
        search.tell(may=True)
    search.may.clear()
    search.tell(may=False)
    assert search.disk.there == {"t0"}


@pytest.mark.parametrize("n", [150, 1500])
def test_what_an_earlier_master_left_is_found(n: int) -> None:
    search = Search()
    for _ in range(n):
        search.tell(may=False, checked=False)
    search.begin()
    assert search.worthless == max(0, n - 1000 - 1)  # a thousand are looked at, of which none is the incumbent where there are more
    search.tell(may=False)
    assert search.disk.there == {"t0"}


def test_where_a_method_does_not_say_what_it_promotes_all_below_the_top_rung_is_kept() -> None:
    search = Search()
    for rung in (0, 0, 1, 0, 1):
        search.tell(may=False, checked=False, rung=rung)
    Checkpoints(cast(StudyDir, search.disk), search.state, continue_promoted=True, ours=True, promotable=None, n_rungs=2)
    assert search.disk.there == {"t0", "t1", "t3"}
