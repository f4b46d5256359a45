"""`bohb-nas simulate`: what it refuses, keeps, takes up again and prints."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click import Option
from click.testing import CliRunner, Result

from bohb_nas.cli import cli
from bohb_nas.simulation.entrants import entrants
from bohb_nas.simulation.results import Results
from bohb_nas.simulation.suites import SUITES

FAST = ["--problem", "hartmann/3-good", "--method", "random_search", "--horizon", "3", "--seeds", "2", "--workers", "2"]
SLOW_METHOD = '''"""Random search that thinks for a while."""

import time
from dataclasses import dataclass

from bohb_nas.methods import random_search

VERSION = "7"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long."""

    seconds: float = 0.05


class Slow:
    """Random search behind a pause."""

    def __init__(self, inner, seconds):
        self._inner, self._seconds = inner, seconds

    def ask(self):
        """After the pause."""
        time.sleep(self._seconds)
        return self._inner.ask()

    def tell(self, result):
        """At once."""
        self._inner.tell(result)


def make(*, space, budgets, seed, n_workers, options):
    """Slow random search."""
    inner = random_search.make(space=space, budgets=budgets, seed=seed, n_workers=n_workers, options=random_search.Options())
    return Slow(inner, options.seconds)
'''
BROKEN_METHOD = SLOW_METHOD.replace("        self._inner.tell(result)", '        raise OSError("told too much")')


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOHB_NAS_DATA", raising=False)


def simulate(*arguments: str | int | Path) -> Result:
    drawn = [] if "--figures" in arguments else ["--no-figures"]
    return CliRunner().invoke(cli, ["simulate", *map(str, arguments), *drawn])


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def without_cpu(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        ({k: v for k, v in run.items() if k != "cpu_s"} for run in runs), key=lambda run: (run["method"], run["workers"], run["seed"])
    )


def test_runs_are_stored_reused_and_reported(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = simulate(*FAST, "--method", "hyperband", "--workers", 3, "--out", out)
    assert first.exit_code == 0, first.output
    assert "0 of 8 runs stored; 8 to do" in first.stderr
    assert {(r["method"], r["workers"], r["seed"]) for r in lines(out)} == {
        (m, w, s) for m in ("random_search", "hyperband") for w in (2, 3) for s in (0, 1)
    }
    again = simulate(*FAST, "--method", "hyperband", "--workers", 3, "--seeds", 3, "--out", out)
    assert "8 of 12 runs stored; 4 to do" in again.stderr
    assert again.stdout.count("mean rank over problems") == 2
    report = simulate("--out", out, "--report", "--workers", 3, "--json", "--figures")
    (figures,) = json.loads(report.stdout)["comparisons"]
    assert (figures["conditions"]["workers"], figures["problems"]) == (3, ["hartmann/3-good"])
    assert {row["method"]: row["n_seeds"] for row in figures["methods"]} == {"random_search": [3, 3], "hyperband": [3, 3]}
    assert len(lines(out)) == 12
    assert {path.suffix for path in out.iterdir()} == {".jsonl", ".lock", ".csv", ".svg", ".png"}


def test_seeds_are_paired_and_processes_change_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert simulate(*FAST, "--method", "hyperband", "--out", one).exit_code == 0
    assert simulate(*FAST, "--method", "hyperband", "--jobs", 10**11, "--out", two).exit_code == 0, "no more than there are runs"
    assert without_cpu(lines(one)) == without_cpu(lines(two))
    by_seed = {r["seed"]: r["recommended"] for r in lines(one) if r["method"] == "random_search"}
    assert by_seed[0] != by_seed[1]


def test_folders_are_merged(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    assert simulate(*FAST, "--out", a).exit_code == 0
    assert simulate(*FAST[:2], "--method", "hyperband", *FAST[4:], "--out", b).exit_code == 0
    report = simulate("--out", a, "--results", b, "--report", "--json", "--reference", "hyperband")
    (figures,) = json.loads(report.stdout)["comparisons"]
    assert figures["reference"] == "hyperband"
    assert {row["method"] for row in figures["methods"]} == {"random_search", "hyperband"}
    reused = simulate(*FAST, "--method", "hyperband", "--out", a, "--results", b)
    assert "4 of 4 runs stored; 0 to do" in reused.stderr


def test_a_killed_call_is_taken_up_again(tmp_path: Path) -> None:
    method, whole, out = tmp_path / "slow.py", tmp_path / "whole", tmp_path / "out"
    method.write_text(SLOW_METHOD)
    arguments = ["--problem", "hartmann/3-good", "--method", str(method), "--horizon", "3", "--seeds", "4", "--workers", "1"]
    killed = subprocess.Popen([sys.executable, "-m", "bohb_nas", "simulate", *arguments, "--out", str(out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not ((out / "runs.jsonl").is_file() and (out / "runs.jsonl").read_bytes().count(b"\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stored = lines(out)
    with (out / "runs.jsonl").open("ab") as stream:
        stream.write(b'{"format": 1, "method": "sl')
    resumed = simulate(*arguments, "--out", out)
    assert resumed.exit_code == 0, resumed.output
    assert f"{len(stored)} of 4 runs stored" in resumed.stderr
    assert lines(out)[: len(stored)] == stored
    assert simulate(*arguments, "--out", whole).exit_code == 0
    assert without_cpu(lines(out)) == without_cpu(lines(whole))


def parent(pid: int) -> int | None:
    """The parent of a process that is alive, a zombie is not."""
    with suppress(OSError):
        state, above, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else int(above)
    return None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_a_killed_call_nor_speaks_of_it(tmp_path: Path, how: signal.Signals) -> None:
    method = tmp_path / "slow.py"
    method.write_text(SLOW_METHOD)
    arguments = [
        "--problem",
        "hartmann/3-good",
        "--method",
        str(method),
        "--horizon",
        "5",
        "--seeds",
        "2000",
        "--workers",
        "1",
        "--jobs",
        "2",
    ]
    program = [sys.executable, "-m", "bohb_nas", "simulate", *arguments, "--out", str(tmp_path)]
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - what runs these tests may ignore it
    with (tmp_path / "said").open("wb") as said:
        killed = subprocess.Popen(program, stderr=said, preexec_fn=heard)
    deadline = time.monotonic() + 60
    while not ((tmp_path / "runs.jsonl").is_file() and (tmp_path / "runs.jsonl").read_bytes().count(b"\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    below = [pid for folder in Path("/proc").glob("[0-9]*") if parent(pid := int(folder.name)) == killed.pid]
    assert len(below) >= 2
    killed.send_signal(how)
    killed.wait()
    while any(parent(pid) is not None for pid in below):
        assert time.monotonic() < deadline, "processes of a killed call are still there"
        time.sleep(0.05)
    assert len(lines(tmp_path)) < 2000
    assert "resource_tracker" not in (tmp_path / "said").read_text()


def test_a_process_that_is_killed_is_said_and_what_had_finished_is_kept(tmp_path: Path) -> None:
    method, out = tmp_path / "killed.py", tmp_path / "out"
    method.write_text(
        SLOW_METHOD.replace("        time.sleep(self._seconds)", "        os.kill(os.getpid(), 9)").replace("import time", "import os")
    )
    assert simulate(*FAST, "--out", out).exit_code == 0
    done = simulate(*FAST, "--method", method, "--jobs", 2, "--out", out)
    assert done.exit_code == 1
    assert "one of the 2 processes was ended from outside" in done.stderr
    assert "fewer --jobs" in done.stderr
    assert "2 of 2 runs stored" in simulate(*FAST, "--out", out).stderr


def test_a_damaged_line_is_named_and_its_run_done_again(tmp_path: Path) -> None:
    simulate(*FAST, "--out", tmp_path)
    path = tmp_path / "runs.jsonl"
    before = without_cpu(lines(tmp_path))
    first, second = path.read_text().splitlines()
    path.write_text(f"{first[:40]}\n{second}\n")
    again = simulate(*FAST, "--out", tmp_path)
    assert again.exit_code == 0
    assert f"{path}, line 1 is damaged" in again.stderr
    assert "1 of 2 runs stored; 1 to do" in again.stderr
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert without_cpu(lines(tmp_path)) == before


def test_runs_of_other_code_are_done_again_unless_told(tmp_path: Path) -> None:
    method, out = tmp_path / "mine.py", tmp_path / "out"
    method.write_text(SLOW_METHOD.replace("0.05", "0.0"))
    arguments: list[str | int | Path] = [
        "--problem",
        "hartmann/3-good",
        "--method",
        method,
        "--horizon",
        2,
        "--seeds",
        1,
        "--workers",
        1,
        "--out",
        out,
    ]
    simulate(*arguments)
    method.write_text(SLOW_METHOD.replace("0.05", "0.001"))
    assert "1 of 1 run stored" in simulate(*arguments, "--accept-changed-code").stderr
    changed = simulate(*arguments)
    assert "1 stored run of other code, done again: mine" in changed.stderr
    assert "1 of 1 run stored" in simulate(*arguments).stderr
    assert [run["version"] for run in lines(out)] == ["7", "7"]


def test_a_method_that_raises_fails_alone(tmp_path: Path) -> None:
    method, out = tmp_path / "broken.py", tmp_path / "out"
    method.write_text(BROKEN_METHOD)
    done = simulate(*FAST, "--method", method, "--out", out)
    assert done.exit_code == 1
    assert "failed: broken on hartmann/3-good, seed 0, W = 2: OSError: told too much" in done.stderr
    method.write_text(BROKEN_METHOD.replace("OSError", "SystemExit"))
    assert (
        "failed: broken on hartmann/3-good, seed 0, W = 2: SystemExit: told too much"
        in simulate(*FAST, "--method", method, "--out", out).stderr
    )
    assert "2 of 4 runs failed" in done.stderr
    assert {run["method"] for run in lines(out)} == {"random_search"}


def test_options_reach_the_methods(tmp_path: Path) -> None:
    done = simulate(
        *FAST,
        "--method",
        "hyperband",
        "--method",
        "bohb_2018[n_brackets=1]",
        "--method-option",
        "hyperband:n_brackets=2",
        "--out",
        tmp_path,
    )
    assert done.exit_code == 0, done.output
    assert {run["method"]: run["options"] for run in lines(tmp_path)} == {
        "random_search": {},
        "hyperband[n_brackets=2]": {"n_brackets": 2},
        "bohb_2018[n_brackets=1]": {"n_brackets": 1},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*FAST, "--problem", "nothing"], "unknown problem 'nothing'"),
        ([*FAST, "--problem", "os:path"], "unknown problem 'os:path'; known families: accel_nasbench"),
        ([*FAST, "--problem", __file__], "unknown problem"),
        ([*FAST, "--problem", "hartmann/9"], "hartmann has no instance '9'"),
        ([*FAST, "--method", "nothing"], "unknown method 'nothing'"),
        ([*FAST, "--method", "random_search"], "'random_search' is given twice"),
        ([*FAST, "--suite", "huge"], "unknown suite 'huge'; known: quick"),
        ([*FAST, "--suite", "quick"], "benchmarks/lcbench; docs/simulate.md says where it comes from; without data: --suite synthetic"),
        ([*FAST, "--workers", "0"], "'--workers'"),
        ([*FAST, "--workers", "100000000"], "100000000 is not in the range 1<=x<=10000"),
        ([*FAST, "--seeds", "0"], "'--seeds'"),
        ([*FAST, "--seeds", "100000000"], "100000000 is not in the range 1<=x<=10000"),
        ([*FAST, "--horizon", "0"], "'--horizon'"),
        ([*FAST, "--horizon", "1e300"], "0<x<=1000000"),
        ([*FAST, "--horizon", "nan"], "--horizon nan"),
        ([*FAST, "--results", "/nowhere/at/all"], "there is no such folder"),
        ([*FAST, "--jobs", "0"], "'--jobs'"),
        ([*FAST, "--promote", "never"], "'--promote'"),
        ([*FAST, "--method-option", "eta=2"], "option 'eta'"),
        ([*FAST, "--reference", "asha"], "--reference 'asha'"),
        ([*FAST, "--overhead", "measured"], "costs in seconds, which hartmann/3-good do not have"),
        (["--method", "random_search"], "no problem to search"),
        (["--problem", "hartmann"], "no method to compare"),
        (["--report"], "there is no such folder"),
        (
            ["--report", "--method", "bohb", "--method-option", "pending=true"],
            "--method-option says what to run",
        ),
    ],
)
def test_misuse_exits_2_and_writes_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    out = tmp_path / "out"
    done = simulate(*arguments, "--out", out)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert not out.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = simulate(*FAST, "--out", tmp_path / "file" / "out")
    assert done.exit_code == 2
    assert f"{tmp_path / 'file'} is no folder; name another with --out" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = simulate(*FAST, "--out", tmp_path / "out")
    tmp_path.chmod(0o700)
    assert done.exit_code == 2
    assert f"{tmp_path} is not writable; name another with --out" in done.stderr


def test_a_folder_where_another_writes_is_refused(tmp_path: Path) -> None:
    other = Results(tmp_path)
    assert other.open()
    done = simulate(*FAST, "--out", tmp_path)
    other.close()
    assert done.exit_code == 2
    assert "another `bohb-nas simulate` writes" in done.stderr


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    simulate(*FAST, "--out", tmp_path)
    done = simulate("--report", "--out", tmp_path, "--workers", 7)
    assert done.exit_code == 2
    assert "fit what was asked for" in done.stderr


def test_list_problems_names_instances_and_says_which_data_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOHB_NAS_DATA", raising=False)
    done = CliRunner().invoke(cli, ["list", "problems"])
    assert done.exit_code == 0
    assert {"condnet/noisy", "hartmann/6-moderate", "rankcross/0"} <= set(done.stdout.splitlines())
    needs = "problem FAMILY needs data, but BOHB_NAS_DATA is not set; set it to the folder that contains benchmarks/FAMILY"
    (said,) = done.stderr.splitlines()
    families, _, why = said.partition(": ")
    assert {"lcbench", "taskset", "nb201"} <= set(families.split(", "))
    assert why.startswith(needs)


def test_the_manual_has_every_option_and_suite() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text()
    for option in cli.commands["simulate"].params:
        assert f"`{option.opts[0]}`" in page, f"docs/simulate.md does not explain {option.opts[0]}"
    rows = page[page.index("| tuning | confirmation |") :].partition("\n\n")[0].splitlines()[2:]
    for suite, cells in zip(("tuning", "confirmation"), zip(*(row.strip("|").split("|") for row in rows), strict=True), strict=True):
        named = [problem for cell in cells for problem in _problems(cell.strip())]
        assert sorted(named) == sorted(SUITES[suite].problems)


def _problems(cell: str) -> Iterator[str]:
    """What a cell names: "lcbench 167168, 189906" or "nb301_v0, jointnb301", where a family alone is the instance that it is known by."""
    family, alone = "", {"nb301_v0": "cifar10", "jointnb301": "cifar10", "condnet": "noisy"}
    for part in cell.split(", ") if cell else ():
        first, _, instance = part.rpartition(" ")
        family = first or (part if part in alone else family)
        yield f"{family}/{alone.get(part, instance)}"


def test_the_methods_of_the_help_are_there() -> None:
    (help_text,) = (option.help for option in cli.commands["simulate"].params if isinstance(option, Option) and option.name == "methods")
    examples = re.findall(r"\S+\[\S+\]", help_text or "")
    assert [entrant.label for entrant in entrants(examples)] == examples != []


def test_the_halves_make_the_whole() -> None:
    tuning, confirmation = (SUITES[name].problems for name in ("tuning", "confirmation"))
    assert not set(tuning) & set(confirmation)
    assert SUITES["standard"].problems == tuning + confirmation
    assert set(SUITES["quick"].problems) <= set(tuning)
