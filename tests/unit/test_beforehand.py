"""Constraints that leave something, or nothing; sizes of the images that are trained on."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from bohb_nas.datasets import Dataset
from bohb_nas.engine.beforehand import check_constraints, check_told, with_size
from bohb_nas.engine.knowledge_files import read_initial
from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import Constraint, Knowledge
from bohb_nas.records import Origin, Result, Status, Trial, Value
from bohb_nas.search_spaces import joint
from bohb_nas.store.journal import Event, State
from bohb_nas.store.study_dir import StudyDir


def space() -> ConfigurationSpace:
    return ConfigurationSpace({"x": (1, 100)})


def size(config: Mapping[str, Value]) -> Mapping[str, float]:
    return {"params": 10.0 * float(config["x"]), "cells": 7.0}


def known(*texts: str, **more: Any) -> Knowledge:
    return Knowledge(constraints=tuple(map(Constraint.parse, texts)), size=size, **more)


def test_the_share_that_meets_the_constraints_is_said() -> None:
    knowledge, notes = check_constraints(known("params<=200"), space(), bounded=["params"])
    assert knowledge == known("params<=200")
    met, n = (int(word) for word in notes[0].split() if word.isdigit())
    assert n == 100
    assert met == pytest.approx(20, abs=16), "a fifth; four standard errors"
    assert notes == [f"constraints params<=200: met by {met} of 100 configurations drawn at random"]
    _, both = check_constraints(known("params<=200", "cells<=8"), space(), bounded=[])
    assert both == [f"constraints params<=200, cells<=8: met by {met} of 100 configurations drawn at random"]


def test_constraints_that_nothing_meets_name_the_closest_value() -> None:
    with pytest.raises(KnowledgeError, match=r"no configuration meets params<=5: 2000 were drawn.*smallest params seen is 10; loosen"):
        check_constraints(known("params<=5"), space(), bounded=[])
    with pytest.raises(KnowledgeError, match=r"largest params seen is 1000; the smallest cells seen is 7"):
        check_constraints(known("params>=1001", "cells<=8"), space(), bounded=[])
    with pytest.raises(KnowledgeError, match=r"no configuration meets params<=300 and params>=400: the two contradict each other"):
        check_constraints(known("params<=300", "params>=400"), space(), bounded=[])
    check_constraints(known("params<=300", "params>=300"), space(), bounded=[])


def test_a_slow_size_does_not_hold_the_start_up() -> None:
    ticks = iter(range(0, 1000, 4))
    with pytest.raises(
        KnowledgeError, match=r"2 were drawn at random.*size\(\) is so slow that only 2 could be tried in 10 s: make it faster"
    ):
        check_constraints(known("params<=5"), space(), bounded=[], clock=lambda: float(next(ticks)))


def test_what_must_be_known_before_training_is() -> None:
    without = Knowledge(constraints=(Constraint.parse("params<=5"),), initial=({"x": 1},))
    with pytest.raises(
        KnowledgeError, match=r"--max-params: the space does not tell params before training \(its size\(\) tells: nothing\)"
    ):
        check_constraints(without, space(), bounded=["params"])
    with pytest.raises(KnowledgeError, match=r"--max-flops: .* tells: params, cells\)"):
        check_constraints(known("params<=500", "flops<=5"), space(), bounded=["params", "flops"])
    for knowledge in (without, known("latency<=5")):
        assert check_constraints(knowledge, space(), bounded=[]) == (
            knowledge,
            [f"constraint {knowledge.constraints[0]}: not known before training, so it is checked on results"],
        )
    nothing = Knowledge(initial=({"x": 1},))
    assert check_constraints(nothing, space(), bounded=["params"]) == (nothing, []), "a search in the worker keeps to the bound itself"


def test_initial_configurations_that_break_a_constraint_are_left_out_and_named() -> None:
    initial = ({"x": 30}, {"x": 4}, {"x": 21})
    knowledge, notes = check_constraints(known("params<=200", initial=initial), space(), bounded=[])
    assert knowledge.initial == ({"x": 4},)
    assert notes[1:] == [
        "initial configuration 1 is left out: it breaks params<=200 with 300",
        "initial configuration 3 is left out: it breaks params<=200 with 210",
    ]
    with pytest.raises(KnowledgeError, match="no initial configuration meets the constraints"):
        check_constraints(known("params<=200", initial=initial[:1]), space(), bounded=[])


def images(shape: tuple[int, int, int], n_classes: int) -> Dataset:
    names, pixels = tuple(map(str, range(n_classes))), np.zeros((1, *shape), np.uint8)
    return Dataset(name="n", classes=names, train_images=pixels, train_labels=np.zeros(1, np.int64), fingerprint="f")


def test_the_size_is_that_of_the_images_that_are_trained_on(tmp_path: Path) -> None:
    resnet_20 = read_initial("joint_hand_designed", joint.space())[0][3]
    bounded = Knowledge(constraints=(Constraint.parse("params<=1e6"),))
    cifar = with_size(bounded, {"space": "joint", "cwd": "/"}, study=StudyDir(tmp_path), data=images((32, 32, 3), 10))
    grey = with_size(bounded, {"space": "joint", "cwd": "/"}, study=StudyDir(tmp_path), data=images((8, 8, 1), 7))
    nothing = with_size(bounded, {"space": "joint", "cwd": "/"}, study=StudyDir(tmp_path), data=None)
    assert cifar.size is not None
    assert grey.size is not None
    assert nothing.size is not None
    assert cifar.size(resnet_20) == nothing.size(resnet_20)
    # two input channels fewer in 16 filters of 3 x 3, and three classes fewer of 64 + 1 weights
    assert cifar.size(resnet_20)["params"] - grey.size(resnet_20)["params"] == 2 * 16 * 9 + 3 * 65


def test_a_users_size_is_found_in_the_frozen_file_and_its_failure_is_named(tmp_path: Path) -> None:
    file = tmp_path / "my_space.py"
    file.write_text("def space(): ...\ndef size(config): return {'params': 1 / config['x']}\n")
    meta, bounded = {"space": str(file), "cwd": "/"}, known("params<=5")
    found = with_size(bounded, meta, study=StudyDir(tmp_path), data=images((8, 8, 1), 7))
    assert found.size is not None
    assert found.size({"x": 4}) == {"params": 0.25}
    with pytest.raises(KnowledgeError, match=r"size\(\) of space .*my_space\.py fails for \{'x': 0\}: ZeroDivisionError"):
        found.size({"x": 0})
    (tmp_path / "inputs").mkdir()
    file.rename(tmp_path / "inputs" / "space-my_space.py")
    again = with_size(bounded, meta, study=StudyDir(tmp_path), data=None)
    assert again.size is not None
    assert again.size({"x": 2}) == {"params": 0.5}


def test_the_copy_of_a_users_space_finds_its_neighbours_and_those_of_where_the_study_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    study, beside, further = StudyDir(tmp_path / "study"), f"beside_{tmp_path.name}", f"further_{tmp_path.name}"
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{beside}.py").write_text("FACTOR = 3\n")
    (tmp_path / f"{further}.py").write_text("MORE = 1\n")
    study.inputs.mkdir(parents=True)
    (study.inputs / "space-mine.py").write_text(
        f"from {beside} import FACTOR\nfrom {further} import MORE\ndef size(config): return {{'params': FACTOR * config['x'] + MORE}}\n"
    )
    found = with_size(known("params<=5"), {"space": str(tmp_path / "parts/mine.py"), "cwd": str(tmp_path)}, study=study, data=None)
    assert found.size is not None
    assert found.size({"x": 4}) == {"params": 13}


def test_the_size_beside_an_attribute_is_that_of_where_the_study_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    first, copy, name = tmp_path / "first", tmp_path / "copy", f"space_{tmp_path.name}"
    for folder, params in ((first, 1), (copy, 2)):
        folder.mkdir()
        (folder / f"{name}.py").write_text(f"def space(): ...\ndef size(config): return {{'params': {params}}}\n")
    monkeypatch.chdir(copy)
    found = with_size(known("params<=5"), {"space": f"{name}:space", "cwd": str(first)}, study=StudyDir(tmp_path), data=None)
    assert found.size is not None
    assert found.size({"x": 4}) == {"params": 1}


def test_the_network_of_a_space_is_measured_where_it_tells_no_size(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from bohb_nas.layers import Conv\ndef space(): ...\ndef network(config): return Conv(config['width'], 1)\n")
    found = with_size(known("params<=5"), {"space": str(file), "cwd": "/"}, study=StudyDir(tmp_path), data=images((8, 8, 2), 3))
    assert found.size is not None
    told = found.size({"width": 4})
    assert (told["params"], told["flops"]) == (2 * 4 + 5 * 3, 2 * (2 * 4 * 64 + 4 * 3))
    of_cifar = with_size(known("params<=5"), {"space": str(file), "cwd": "/"}, study=StudyDir(tmp_path), data=None)
    assert of_cifar.size is not None
    told = of_cifar.size({"width": 4})
    assert (told["params"], told["flops"]) == (3 * 4 + 5 * 10, 2 * (3 * 4 * 1024 + 4 * 10))


@pytest.mark.parametrize(
    ("offers", "told"),
    [
        ("def size(config): return {'params': 1}\ndef network(config): raise ValueError", {"params": 1}),
        ("size = 3", None),
        ("network = 3", None),
        ("size = 3\nnetwork = 4", None),
    ],
)
def test_a_size_is_a_function_and_goes_before_a_network(tmp_path: Path, offers: str, told: dict[str, float] | None) -> None:
    file = tmp_path / "a:b" / "mine.py"
    file.parent.mkdir()
    file.write_text(f"def space(): ...\n{offers}\n")
    bounded = Knowledge(constraints=(Constraint.parse("params<=5"),))
    found = with_size(bounded, {"space": str(file), "cwd": "/"}, study=StudyDir(tmp_path), data=None)
    assert (None if found.size is None else found.size({"x": 4})) == told


def test_a_size_that_writes_into_its_configuration_changes_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "careless.py"
    file.write_text("def space(): ...\ndef size(config): return {'params': config.pop('x')}\n")
    found = with_size(known("params<=5"), {"space": str(file), "cwd": "/"}, study=StudyDir(tmp_path), data=None)
    config: dict[str, Value] = {"x": 4}
    assert found.size is not None
    assert found.size(config) == {"params": 4}
    assert config == {"x": 4}


@pytest.mark.parametrize("reference", ["toy", "space.json", "space.yaml", "space.yml", "bohb_nas.search_spaces.toy:space"])
def test_spaces_without_a_size(reference: str, tmp_path: Path) -> None:
    bounded = Knowledge(constraints=(Constraint.parse("params<=5"),))
    assert with_size(bounded, {"space": reference, "cwd": "/"}, study=StudyDir(tmp_path), data=None) == bounded


def test_a_size_beside_an_attribute_is_found(tmp_path: Path) -> None:
    bounded = Knowledge(constraints=(Constraint.parse("params<=5"),))
    assert (
        with_size(bounded, {"space": "bohb_nas.search_spaces.joint:space", "cwd": "/"}, study=StudyDir(tmp_path), data=None).size
        is not None
    )


def test_nothing_is_imported_where_nothing_is_constrained(tmp_path: Path) -> None:
    assert with_size(Knowledge(), {"space": "/no/such/file.py", "cwd": "/"}, study=StudyDir(tmp_path), data=None) == Knowledge()


def test_a_study_whose_worker_does_not_tell_is_not_resumed() -> None:
    state = State()
    trial = Trial(trial_id="t0", config_id="c0", config={"x": 1}, budget=1.0, bracket=0, rung=0, seed=0, origin=Origin.RANDOM)
    result = Result(trial_id="t0", status=Status.OK, loss=1.0, train_s=1.0, metrics={"latency": 0.1, "new_s": 1.0})
    baseline = replace(trial, trial_id="b0", config_id="b0", origin=Origin.BASELINE)
    for event in (
        Event(term=1, time=0.0),
        *(Event(term=1, time=0.0, trial=asked) for asked in (trial, baseline)),
        *(Event(term=1, time=0.0, result=told) for told in (result, replace(result, trial_id="b0", metrics={}))),
    ):
        state.apply(event)
    check_told(known("params<=5", "latency<=1"), state)
    with pytest.raises(
        KnowledgeError, match=r"constraint on memory: the worker does not return it \(trial t0\); it returns: latency, new_s"
    ):
        check_told(known("memory<=5"), state)
    nothing = State()
    nothing.apply(Event(term=1, time=0.0))
    nothing.apply(Event(term=1, time=0.0, trial=trial))
    nothing.apply(Event(term=1, time=0.0, result=replace(result, metrics={})))
    with pytest.raises(KnowledgeError, match=r"\(trial t0\); it returns: none\. "):
        check_told(known("memory<=5"), nothing)
