"""A kept search that does not fit is refused with its reason, whatever part of it is altered."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dha_fakes
import pytest
import torch
from test_autohas import search as autohas
from test_autohas import walk

from bohb_nas.errors import CheckpointError
from bohb_nas.oneshot import keeping
from bohb_nas.oneshot.keeping import Kept
from bohb_nas.oneshot.search import Search
from bohb_nas.oneshot.standing import Standing

STANDING = Standing(train_s=1.0, u=0.5, sums=(0.0, 0), curve=[], restored=[])


def _autohas() -> Search:
    one = autohas()
    walk(one, 2)
    return one


def _dha() -> Search:
    one = dha_fakes.search(hyper_every=2)
    dha_fakes.run(one, 2, of=8)
    return one


def _fields(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where everything in a JSON value is, of lists the first entry."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*at, key)
        yield from _fields(part, (*at, key))


def _set(value: Any, at: tuple[str | int, ...], new: object) -> None:
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = new


@pytest.mark.parametrize("begin", [_autohas, _dha])
def test_a_text_in_place_of_any_part_of_the_state_is_refused(begin: Callable[[], Search], tmp_path: Path) -> None:
    one, folder = begin(), tmp_path / "handover"
    keeping.save(folder, one, Kept(standing=STANDING, facts={}), {})
    whole = (folder / "state.json").read_text()
    taken = []
    for at in _fields(json.loads(whole)["search"]):
        state = json.loads(whole)
        _set(state["search"], at, "x")
        (folder / "state.json").write_text(json.dumps(state))
        try:
            keeping.load(folder, one, {})
        except CheckpointError:
            continue
        taken.append(at)
    assert taken == []
    (folder / "state.json").write_text(whole)
    assert keeping.load(folder, one, {}).standing == STANDING


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (lambda controller: controller["logits"].pop("flip"), "RecordError: the controller's state is of other decisions: flip"),
        (lambda controller: controller.update(logits=[1]), "AttributeError: 'list' object has no attribute 'items'"),
        (lambda controller: controller["steps"].update(flip=math.inf), "OverflowError: cannot convert float infinity to integer"),
    ],
)
def test_a_controller_of_another_kind_is_refused_with_its_reason(alter: Callable[[Any], object], named: str, tmp_path: Path) -> None:
    one, folder = _autohas(), tmp_path / "handover"
    keeping.save(folder, one, Kept(standing=STANDING, facts={}), {})
    state = json.loads((folder / "state.json").read_text())
    alter(state["search"]["controller"])
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=f"^the search does not take its state: {named}"):
        keeping.load(folder, one, {})


@pytest.mark.parametrize("begin", [_autohas, _dha])
def test_weights_of_another_bank_are_refused(begin: Callable[[], Search], tmp_path: Path) -> None:
    one = begin()
    one.tensors = lambda: {"speed/stem": torch.zeros(2)}  # type: ignore[method-assign]
    keeping.save(tmp_path / "handover", one, Kept(standing=STANDING, facts={}), {})
    with pytest.raises(CheckpointError, match="OptionError: a tensor of shared weights is named 'speed/stem'"):
        keeping.load(tmp_path / "handover", one, {})
