"""What starts at once must not import what takes long."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bohb_nas.engine.devices import host
from bohb_nas.locks import Lock
from bohb_nas.records import Budgets
from bohb_nas.store.study_dir import FORMAT, StudyDir

HEAVY = ("torch", "scipy", "ConfigSpace", "numpy", "distributed", "sklearn", "tensorboard", "prometheus_client")
META = {
    "format": FORMAT,
    "space": "toy",
    "method": "bohb",
    "method_options": {},
    "worker": "toy",
    "worker_options": {},
    "budgets": Budgets().to_json(),
    "seed": 0,
    "promote": "restart",
    "cwd": "/",
    "stop": {"brackets": None, "trials": None, "total_s": None},
}


def imported(folder: Path, *arguments: str) -> set[str]:
    program = (
        "import sys, json, atexit\n"
        "from bohb_nas.cli import main\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted({m.partition('.')[0] for m in sys.modules})), file=sys.stderr))\n"
        f"sys.argv = ['bohb-nas', *{list(arguments)!r}]\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder)
    expected = 3 if "--standby" in arguments else 1 if arguments[0] == "best" else 0  # best: an empty study has none
    assert done.returncode == expected, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["submit", "--help"],
        ["baselines", "--help"],
        ["compare", "--help"],
        ["doctor", "--help"],
        ["analyze", "--help"],
        ["list", "methods"],
        ["list", "spaces"],
        ["status"],
        ["status", "--json"],
        ["best"],
        ["logs"],
        ["export", "--format", "prometheus", "--to", "x.prom"],
        ["export", "--format", "tensorboard", "--to", "runs"],
    ],
)
def test_light_commands_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    if arguments[0] in ("status", "best", "logs", "export"):
        arguments = [arguments[0], str(study.path), *arguments[1:]]
    assert not imported(tmp_path, *arguments) & set(HEAVY)


def test_who_finds_another_standing_by_has_loaded_nothing_of_what_leading_takes(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    with Lock(study.standby_lock(host())) as lock:
        assert lock.acquire("{}")
        assert not imported(tmp_path, "run", str(study.path), "--workers", "0", "--standby") & set(HEAVY)


STANDING_BY = """
import sys
from pathlib import Path
from bohb_nas.engine import election, opening, standby

def turn(study, gone, *, ready):
    before = "bohb_nas.engine.lead" in sys.modules
    ready()
    print(before, "bohb_nas.engine.lead" in sys.modules)

election.stand_by, opening.existing = turn, lambda *_, **__: None
standby.stand_by(Path(sys.argv[1]), {}, None, gone=bool)
"""


def test_who_stands_by_has_loaded_what_leading_takes(tmp_path: Path) -> None:
    """While somebody leads: after an upgrade half of it would be of another version."""
    study = StudyDir(tmp_path / "study")
    study.make()
    study.write_meta(META)
    done = subprocess.run([sys.executable, "-c", STANDING_BY, str(study.path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_the_package_itself_is_light() -> None:
    program = "import bohb_nas, sys; bohb_nas.Trial; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & set(HEAVY)


def test_the_master_does_without_torch() -> None:
    program = "import bohb_nas.engine.lead, bohb_nas.methods.bohb, sys; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()


def test_a_worker_without_a_check_of_its_own_is_asked_without_the_language_of_spaces() -> None:
    program = "import sys; from bohb_nas.engine.child import check; print(check('toy', {}, '{}')); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said, modules = done.stdout.splitlines()
    assert said == "{'checked': True, 'notes': []}"
    assert "ConfigSpace" not in modules.split()


def test_an_analysis_does_without_torch() -> None:
    modules = "analysis.study", "analysis.incumbent", "report.summary", "report.findings_csv"
    program = f"import sys, {', '.join(f'bohb_nas.{name}' for name in modules)}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()
