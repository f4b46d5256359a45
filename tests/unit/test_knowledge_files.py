"""Files of initial configurations and of a prior, and those that come with the package."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bohb_nas import refs
from bohb_nas.engine.knowledge_files import FILE_LIMIT_BYTES, read_initial, read_prior, shipped
from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import Belief
from bohb_nas.search_spaces import joint, toy
from bohb_nas.space.files import load_space
from bohb_nas.training.recipe import read

SGD = {"lr": 0.01, "width": 8, "optimizer": "sgd", "momentum": 0.9}
ADAM = {"lr": 0.1, "width": 2, "optimizer": "adam"}
PUBLISHED_M = {
    "Shake-Shake 26 2x32d (Gastaldi 2017)": 2.9,
    "Shake-Shake 26 2x64d (Gastaldi 2017)": 11.7,
    "Shake-Shake 26 2x96d (Gastaldi 2017)": 26.2,
    "ResNet 20 (He et al. 2016)": 0.27,
    "Wide ResNet 40-4 (Zagoruyko & Komodakis 2016)": 8.9,
    "Wide ResNet 16-8 (Zagoruyko & Komodakis 2016)": 11.0,
}
"""Parameters in millions, from the papers' tables."""


@pytest.mark.parametrize("space", ["joint", "zela2018"])
def test_the_shipped_networks_have_the_published_sizes(space: str) -> None:
    module = refs.load_module("space", space)
    configs, called = read_initial(f"{space}_hand_designed", load_space(space))
    assert [name.split(" ", 1)[1][1:-1] for name in called] == list(PUBLISHED_M)
    for config, published in zip(configs, PUBLISHED_M.values(), strict=True):
        assert module.size(config)["params"] / 1e6 == pytest.approx(published, abs=0.06 if published > 1 else 0.005)


def test_the_small_networks_that_ship_have_the_published_sizes() -> None:
    """Of Wide ResNets as in Zagoruyko and Komodakis (2017), table 1; of ResNet 20 as in He et al. (2016), table 6."""
    configs, called = read_initial("joint_small", joint.space())
    sizes = {
        name.split("(")[1].split(" under")[0].strip(): joint.size(config)["params"] / 1e6
        for name, config in zip(called, configs, strict=True)
    }
    published = {"Wide ResNet 16-1": 0.2, "Wide ResNet 16-2": 0.7, "ResNet 20": 0.27}
    assert {name: sizes[name] for name in published} == pytest.approx(published, abs=0.03)


def test_the_networks_for_a_gpu_that_ship_have_the_published_sizes() -> None:
    """Zagoruyko and Komodakis (2017), table 4: Wide ResNet 16-8 has 11.0 M parameters."""
    configs, called = read_initial("joint_gpu", joint.space())
    sizes = [joint.size(config)["params"] / 1e6 for config, name in zip(configs, called, strict=True) if "16-8" in name]
    assert sizes == [pytest.approx(11.0, abs=0.06)]


def test_the_shipped_networks_are_trained_alike_in_both_spaces() -> None:
    theirs, _ = read_initial("zela2018_hand_designed", load_space("zela2018"))
    ours, _ = read_initial("joint_hand_designed", joint.space())
    assert [read({**config, "schedule": "cosine"}) for config in theirs] == [read(config) for config in ours]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_file_fits_the_space_of_its_name(name: str) -> None:
    space = next(s for s in refs.names("space") if name.startswith(f"{s}_"))
    assert read_initial(name, load_space(space))[0]


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    written, typed = tmp_path / "first.json", tmp_path / "first.yaml"
    written.write_text(json.dumps([SGD, {"name": "small", "config": ADAM}]))
    typed.write_text(
        "- {lr: 1e-2, width: 8, optimizer: sgd, momentum: .9}\n- name: small\n  config:\n    lr: 0.1\n    width: 2\n    optimizer: adam\n"
    )
    for path in (written, typed):
        assert read_initial(str(path), toy.space()) == ([SGD, ADAM], ["1", "2 (small)"])


def test_on_and_off_are_words_in_yaml(tmp_path: Path) -> None:
    configs, _ = read_initial("joint_hand_designed", joint.space())
    path = tmp_path / "first.yml"
    path.write_text("- " + "\n  ".join(f"{name}: {value}" for name, value in configs[0].items()))
    assert "crop: on" in path.read_text()
    assert read_initial(str(path), joint.space())[0] == configs[:1]


def test_what_best_prints_is_an_initial_configuration(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"trial_id": "t00007", "config": SGD, "loss": 0.1, "checkpoint": None}))
    assert read_initial(str(path), toy.space()) == ([SGD], ["1"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "accepted is a list of configurations"),
        ("3", "accepted is a list of configurations"),
        ("[3]", "configuration 1: 3; accepted is a list"),
        ('[{"lr": NaN}]', "NaN is no number"),
        ('[{"lr": 0.1, "width": 2, "optimizer": "adam", "lr": 0.2}]', "'lr' stands twice in one object"),
        ([{"config": {"lr": 0.1}, "name": "short"}], r"configuration 1 \(short\): 2 are missing although they are active: optimizer \("),
        ([SGD, {**SGD, "speed": 1}], "configuration 2: no hyperparameter 'speed'"),
        ([{**SGD, "width": 99}], "configuration 1: width = 99; accepted is a whole number from 1 to 16"),
        ([{**ADAM, "momentum": 0.5}], "configuration 1: momentum is given but inactive"),
        ([SGD, ADAM, SGD], "configuration 3: the same as configuration 1"),
        ([{"config": {"config": SGD}}], "configuration 1: no hyperparameter 'config'"),
    ],
)
def test_files_that_are_no_initial_configurations(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "first.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(KnowledgeError, match=said):
        read_initial(str(path), toy.space())


@pytest.mark.parametrize(("name", "content"), [("best.json", "null\n"), ("first.yaml", "")])
def test_what_best_prints_of_a_study_without_an_incumbent_is_told_from_other_files(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    said = rf"{name} holds no configuration, as `bohb-nas best --json` prints it of a study that has no incumbent; accepted is a list"
    with pytest.raises(KnowledgeError, match=said):
        read_initial(str(tmp_path / name), load_space("toy"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        KnowledgeError, match=r"does not exist.*shipped are joint_gpu, joint_hand_designed, joint_small, zela2018_hand_designed"
    ):
        read_initial("hand_designed", toy.space())
    with pytest.raises(KnowledgeError, match="does not exist"):
        read_prior(tmp_path / "absent.json", toy.space())
    with pytest.raises(KnowledgeError, match="cannot be read"):
        read_prior(tmp_path, toy.space())
    binary, large, broken = tmp_path / "binary.json", tmp_path / "large.json", tmp_path / "broken.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KnowledgeError, match="cannot be read"):
        read_prior(binary, toy.space())
    large.write_bytes(b" " * (FILE_LIMIT_BYTES + 1))
    with pytest.raises(KnowledgeError, match="cannot be read: it is larger than 8388608 bytes"):
        read_prior(large, toy.space())
    broken.write_text("a: [")
    with pytest.raises(KnowledgeError, match="is not YAML"):
        read_prior(broken, toy.space())
    broken.write_text("lr: {center: 0.1, confidence: low}\nlr: {center: 0.2, confidence: low}")
    with pytest.raises(KnowledgeError, match="'lr' stands twice in one object"):
        read_prior(broken, toy.space())
    with pytest.raises(KnowledgeError, match="/dev/zero cannot be read: it is larger than 8388608 bytes"):
        read_prior(Path("/dev/zero"), toy.space())
    broken.write_text("!!python/object/apply:os.system [true]")
    with pytest.raises(KnowledgeError, match="is not YAML"):
        read_prior(broken, toy.space())


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "first.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([ADAM]).encode())
    assert read_initial(str(path), toy.space())[0] == [ADAM]


def test_a_merged_object_may_say_a_name_again(tmp_path: Path) -> None:
    path = tmp_path / "first.yaml"
    path.write_text("- &base {lr: 0.1, width: 2, optimizer: adam}\n- {<<: *base, width: 3}")
    assert read_initial(str(path), toy.space())[0] == [ADAM, {**ADAM, "width": 3}]


def test_beliefs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "prior.yaml"
    path.write_text(
        "lr: {center: 1e-2, confidence: high}\nmomentum: {center: 0, confidence: 0.6}\noptimizer: {center: sgd, confidence: low}"
    )
    assert read_prior(path, toy.space()) == {
        "lr": Belief(center=0.01, confidence=0.75),
        "momentum": Belief(center=0.0, confidence=0.6),
        "optimizer": Belief(center="sgd", confidence=0.25),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "accepted is an object"),
        ([1], "accepted is an object"),
        ({"speed": {"center": 1, "confidence": 0.5}}, "no hyperparameter 'speed'; the space has lr, optimizer, width, momentum"),
        ({"lr": 0.1}, r"lr: 0\.1; accepted is an object"),
        ({"lr": {"center": 0.1}}, "accepted is an object"),
        ({"lr": {"center": 0.1, "confidence": 0.5, "width": 1}}, "accepted is an object"),
        ({"lr": {"center": 7, "confidence": 0.5}}, r"lr, center: lr = 7; accepted is a number from 0\.0001 to 1\.0"),
        ({"optimizer": {"center": "lion", "confidence": 0.5}}, "optimizer, center: optimizer = 'lion'; accepted is 'sgd' or 'adam'"),
        *(({"lr": {"center": 0.1, "confidence": c}}, f"confidence {c!r}; accepted") for c in (0, 1, 1.5, -0.1, "sure", True, None)),
    ],
)
def test_files_that_are_no_prior(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(content))
    with pytest.raises(KnowledgeError, match=said):
        read_prior(path, toy.space())


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_the_files_in_the_documentation_are_accepted(kind: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text()
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / f"block.{kind}"
    file.write_text(blocks[0])
    assert read_initial(str(file), toy.space()) == ([SGD, ADAM], ["1", "2 (small and fast)"])
    if kind == "json":
        file.write_text(blocks[1])
        assert read_prior(file, toy.space()) == {
            "lr": Belief(center=0.01, confidence=0.75),
            "optimizer": Belief(center="sgd", confidence=0.6),
        }


def test_the_program_in_the_documentation_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text()
    block = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block is not None
    exec(block[1], {})  # noqa: S102 - our own page
