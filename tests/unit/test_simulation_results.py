"""Stored runs: what is written is read again, whatever a killed process left behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from simulation_fakes import CONDITIONS, finished

from bohb_nas.errors import RecordError
from bohb_nas.simulation.results import Finished, Results, read, read_all

RUN = finished("bohb", "condnet/noisy", 3, recommended=[(0.5, 0.25, 0), (2.0, 0.125, 1)])


IMPOSSIBLE: list[tuple[str, object]] = [
    ("recommended", [[0.5, float("nan"), 0]]),
    ("recommended", [[10**400, 0.5, 0]]),
    ("recommended", [[2.0, 0.5, 0], [1.0, 0.4, 0]]),
    ("recommended", [[0.5, 0.25, 99]]),
    ("evaluations", [-1, 2]),
    ("best", 9.0),
    ("mean_cost", 0.0),
    ("workers", 0),
    ("horizon", -1.0),
    ("overhead", "no"),
    ("promote", "never"),
    ("options", [1]),
    ("origins", {"random": "many"}),
    ("version", [1]),
    ("bohb_nas", None),
    ("reference", 5),
]
"""Values that no run has."""


def stored(folder: Path, *runs: Finished) -> Path:
    """The file of a folder with these runs."""
    results = Results(folder)
    assert results.open()
    for run in runs:
        results.add(run)
    results.close()
    return folder / "runs.jsonl"


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = stored(tmp_path / "new" / "folder", RUN)
    assert read(path.parent, pytest.fail) == {RUN.key: RUN}
    assert RUN.strict == ((2.0, 0.125, 1),)


def test_a_line_is_flat_json(tmp_path: Path) -> None:
    line = json.loads(stored(tmp_path, RUN).read_text())
    assert {name: line[name] for name in ("method", "problem", "seed", "workers", "promote", "overhead", "horizon")} == {
        "method": "bohb",
        "problem": "condnet/noisy",
        "seed": 3,
        "workers": 4,
        "promote": "restart",
        "overhead": False,
        "horizon": 10.0,
    }
    assert line["recommended"] == [[0.5, 0.25, 0], [2.0, 0.125, 1]]


def test_half_a_last_line_is_dropped_and_then_written_over(tmp_path: Path) -> None:
    path, other = stored(tmp_path, RUN, finished("asha")), finished("hyperband")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 3])
    said: list[str] = []
    assert len(read(tmp_path, said.append)) == 2
    assert "line 3 is half a line" in said[0]
    stored(tmp_path, other)
    assert path.read_bytes()[: len(whole)] == whole
    assert len(read(tmp_path, pytest.fail)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\xff nothing",
        b"{}",
        b'{"format": 1}',
        b"[1]",
        json.dumps(RUN.to_json() | {"format": 2}).encode(),
        json.dumps(RUN.to_json() | {"seed": "3"}).encode(),
        json.dumps(RUN.to_json() | {"recommended": [[1, 2]]}).encode(),
        json.dumps(RUN.to_json() | {"best": float("nan")}).encode(),
        json.dumps(RUN.to_json() | {"strange": 1}).encode(),
        b"[" * 100_000,
        *(json.dumps(RUN.to_json() | {name: value}).encode() for name, value in IMPOSSIBLE),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path, damage: bytes) -> None:
    path = stored(tmp_path, finished("asha"), RUN, finished("hyperband"))
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], damage, lines[2], b""]))
    said: list[str] = []
    assert {key.method for key in read(tmp_path, said.append)} == {"asha", "hyperband"}
    assert len(said) == 1
    assert f"{path}, line 2 is damaged" in said[0]


def test_the_later_line_counts(tmp_path: Path) -> None:
    stored(tmp_path, RUN, replace(RUN, cpu_s=9.0))
    assert read(tmp_path, pytest.fail)[RUN.key].cpu_s == 9.0


def test_the_first_folder_that_has_a_run_decides(tmp_path: Path) -> None:
    stored(tmp_path / "a", RUN)
    stored(tmp_path / "b", replace(RUN, cpu_s=9.0), finished("asha"))
    found = read_all([tmp_path / "a", tmp_path / "b", tmp_path / "nowhere"], pytest.fail)
    assert found[RUN.key] == RUN
    assert len(found) == 2


def test_only_one_process_writes(tmp_path: Path) -> None:
    first, second = Results(tmp_path), Results(tmp_path)
    assert first.open()
    assert not second.open()
    first.close()
    assert second.open()
    second.close()


def test_runs_under_other_conditions_are_other_runs() -> None:
    assert RUN.key != replace(RUN, key=replace(RUN.key, conditions=replace(CONDITIONS, overhead=True))).key


def test_no_object_is_no_run() -> None:
    with pytest.raises(RecordError, match="format 1"):
        Finished.from_json("text")
