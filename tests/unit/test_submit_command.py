"""`bohb-nas submit`, with schedulers that only write down what they are given."""

import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bohb_nas.cli import cli
from bohb_nas.engine import cluster as engine_cluster
from bohb_nas.engine import launch
from bohb_nas.engine.plan import Request, plan
from bohb_nas.errors import UsageError
from bohb_nas.locks import Lock, holder
from bohb_nas.store.journal import Event
from bohb_nas.store.study_dir import StudyDir

TOY = ["--space", "toy", "--worker", "toy", "--method", "random_search", "--budget-min", "1", "--budget-max", "9", "--trials", "5"]
HERE = ["--listen", "loopback"]
"""For machines that have no other address."""
ANSWERS = {
    "slurm": ("sbatch", "4711\n", "4711"),
    "pbs": ("qsub", "4711[].server.domain\n", "4711[].server.domain"),
    "sge": ("qsub", "4711.1-3:1\n", "4711"),
    "lsf": ("bsub", "Job <4711> is submitted to queue <normal>.\n", "4711"),
}
FAKE = """#!/bin/sh
for a in "$@"; do printf '%s\\n' "$a" >> {folder}/arguments; done
/bin/cat > {folder}/input
/bin/cat {folder}/answer
/bin/cat {folder}/complaint >&2
exit "$(/bin/cat {folder}/code)"
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("BOHB_NAS_CACHE", raising=False)
    return tmp_path


@pytest.fixture
def _unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the second that it takes to ask the worker whether it accepts the space."""
    monkeypatch.setattr(launch, "_ask_worker", lambda meta, space, **named: [])


def scheduler(place: Path, name: str, answer: str = "", complaint: str = "", code: int = 0) -> None:
    for file, text in (("answer", answer), ("complaint", complaint), ("code", str(code))):
        (place / file).write_text(text)
    program = place / "bin" / name
    program.write_text(FAKE.format(folder=place))
    program.chmod(0o755)


def submit(*arguments: str, cluster: str = "slurm", study: str = "st") -> Result:
    return CliRunner().invoke(cli, ["submit", study, "--cluster", cluster, "--array", "3", *HERE, *arguments])


def meta(study: str = "st") -> dict[str, Any]:
    return StudyDir(Path(study)).read_meta()


@pytest.mark.parametrize("cluster", ANSWERS)
def test_a_study_is_made_as_run_makes_it_and_the_array_submitted(place: Path, cluster: str) -> None:
    program, answer, job = ANSWERS[cluster]
    scheduler(place, program, answer)
    done = submit(*TOY, cluster=cluster)
    assert done.exit_code == 0, done.output
    assert f"{cluster} job {job}: 3 tasks of {Path('st').absolute()}/job.sh\n" in done.stdout
    assert "next: bohb-nas status st --watch\n" in done.stdout
    wanted = plan(
        Request(space="toy", worker="toy", method="random_search", budget_min=1.0, budget_max=9.0, trials=5),
    )
    made = meta()
    assert {name: made[name] for name in wanted} == json.loads(json.dumps(wanted))
    assert {"created", "versions", "inputs"} <= set(made)
    assert holder(StudyDir(Path("st")).master_lock) is None, "nobody leads it"
    script = Path("st/job.sh").read_text()
    assert script.splitlines()[-1].startswith("exec ")
    assert f"{sys.executable} -P -m bohb_nas worker {Path('st').absolute()} --time 86340s" in script
    arguments = (place / "arguments").read_text().splitlines() if (place / "arguments").exists() else []
    given = (place / "input").read_text()
    assert (arguments, given) == (
        ([], script)
        if cluster == "lsf"
        else ([*(["--parsable"] * (cluster == "slurm")), *(["-terse"] * (cluster == "sge")), made_at()], "")
    )


def made_at() -> str:
    return str(Path("st").absolute() / "job.sh")


def test_printing_writes_nothing_and_needs_no_scheduler(place: Path) -> None:
    done = submit(*TOY, "--print", "--partition", "gpu", "--cpus-per-task", "4", "--mem", "1.5G", "--extra=--constraint=a100")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {"#SBATCH --array=0-2", "#SBATCH --gres=gpu:1", "#SBATCH --partition=gpu", "#SBATCH --mem=1536M"} <= set(lines)
    assert "#SBATCH --constraint=a100" in lines
    assert "OMP_NUM_THREADS=4" in lines[-1]
    assert list((place / "here").iterdir()) == []


def test_a_directory_that_is_not_utf_8_is_refused_before_anything_is_made(place: Path) -> None:
    done = submit(*TOY, "--logs", str(place / "logs"), study="st\udcff")
    assert done.exit_code == 2, done.output
    assert "is not UTF-8" in done.stderr
    assert list((place / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "nowhere"], "nowhere"),
        (["--eta", "1"], "eta"),
        (["--worker-option", "nonsense=1"], "nonsense"),
        (["--partition", "a b"], "--partition 'a b'"),
        (["--account", "a\n#SBATCH --uid=0"], "--account"),
        (["--name", "1"], "--name '1'"),
        (["--extra", "a\nb"], "--extra"),
        (["--mem", "16"], "16G"),
        (["--time", "60s"], "shorter than the cheapest budget, 1s, and a minute"),
        (["--time", "soon"], "soon"),
        (["--array", "0"], "0"),
        (["--gpus-per-task", "-1"], "-1"),
        (["--template", "nowhere.sh"], "--template nowhere.sh cannot be read"),
        (["--logs", "a\nb"], "--logs"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(place: Path, arguments: list[str], said: str) -> None:
    scheduler(place, "sbatch", "1\n")
    done = submit(*TOY, *arguments)
    assert done.exit_code == 2, done.output
    assert said in re.sub(r"\s+", " ", done.stderr)
    assert list((place / "here").iterdir()) == []
    assert not (place / "arguments").exists()


REFUSED = [
    ["--worker-option", "nonsense=1"],
    ["--method-option", "nonsense=1"],
    ["--method-option", "n_candidates=-1", "--method", "bohb"],
    ["--brackets", "3"],
    ["--method", "autohas", "--controller", "robost", "--space", "cell"],
    ["--initial", "nowhere.json"],
    ["--max-params", "-1"],
    ["--warm-start", "nowhere"],
]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_submitting_refuses_printing_refuses_in_the_same_words(place: Path, arguments: list[str]) -> None:
    scheduler(place, "sbatch", "1\n")
    said = [word for word in TOY if "autohas" not in arguments or word not in ("--worker", "toy", "--space")]
    printed, submitted = submit(*said, *arguments, "--print"), submit(*said, *arguments)
    assert (printed.exit_code, printed.stdout) == (2, ""), printed.output
    assert (submitted.exit_code, submitted.stderr) == (2, printed.stderr)
    assert list((place / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("cheapest", "named"),
    [
        ("1h30s", "1h3m"),  # and two minutes are 1h2m30s
        ("1h", "1h2m"),
        ("23h59m", "1d1h"),  # 1d1m
        ("1d1h", "1d2h"),  # 1d1h2m
    ],
)
@pytest.mark.usefixtures("_unasked")
def test_the_time_that_a_refusal_names_is_enough(place: Path, cheapest: str, named: str) -> None:
    study = ["--space", "toy", "--worker", "toy", "--budget-min", cheapest, "--budget-max", "9d", "--print"]
    refused = submit(*study, "--time", "1m")
    assert refused.exit_code == 2
    assert f"give --time {named} or more" in re.sub(r"\s+", " ", refused.stderr)
    assert submit(*study, "--time", named).exit_code == 0


@pytest.mark.usefixtures("_unasked")
def test_a_time_that_is_too_short_for_the_dearest_budget_is_only_remarked(place: Path) -> None:
    dear = ["--space", "toy", "--worker", "toy", "--budget-min", "400s", "--budget-max", "3h"]
    for time, remarked in (("520s", True), ("3h", True), ("3h2m", False)):
        done = submit(*dear, "--print", "--time", time)
        assert done.exit_code == 0, done.output
        assert ("dearest budget, 3h" in done.stderr) is remarked
    assert submit(*dear, "--print", "--time", "508s").exit_code == 2
    epochs = submit("--space", "toy", "--worker", "toy", "--budget-unit", "epochs", "--budget-max", "9", "--print", "--time", "1m")
    assert epochs.exit_code == 0, "epochs are no seconds"
    assert "trains on one GPU; 1 of each" in submit(*dear, "--print", "--gpus-per-task", "2").stderr


@pytest.mark.usefixtures("_unasked")
def test_a_refusal_of_the_scheduler_is_told_and_the_same_command_goes_on(place: Path) -> None:
    missing = submit(*TOY)
    assert missing.exit_code == 2
    assert "sbatch is not on this machine's PATH" in missing.stderr
    assert list((place / "here").iterdir()) == []
    scheduler(place, "sbatch", complaint="sbatch: error: invalid partition specified: x\n", code=1)
    refused = submit(*TOY, "--partition", "x")
    assert refused.exit_code == 1
    made = Path("st/study.json").read_bytes()
    assert "invalid partition specified: x" in refused.stderr
    assert made_at() in refused.stderr
    scheduler(place, "sbatch", "what?\n")
    odd = submit(*TOY)
    assert (odd.exit_code, "names no job: what?" in odd.stderr) == (1, True)
    scheduler(place, "sbatch", "12;other\n")
    done = submit(*TOY)
    assert (done.exit_code, "slurm job 12:" in done.stdout) == (0, True), done.output
    assert Path("st/study.json").read_bytes() == made
    assert "partition" not in Path("st/job.sh").read_text(), "the script of the last array"


@pytest.mark.usefixtures("_unasked")
def test_of_an_existing_study_the_options_are_compared(place: Path) -> None:
    scheduler(place, "sbatch", "1\n")
    assert submit(*TOY).exit_code == 0
    before = Path("st/study.json").read_bytes()
    for more in ([], ["--print"]):
        other = submit("--seed", "3", *more)
        assert other.exit_code == 2
        assert "seed: the study has 0, asked is 3" in other.stderr
    assert Path("st/study.json").read_bytes() == before
    assert submit("--trials", "7").exit_code == 0
    assert meta()["stop"]["trials"] == 7


@pytest.mark.usefixtures("_unasked")
def test_a_finished_study_is_left_alone_until_more_is_asked(place: Path) -> None:
    scheduler(place, "sbatch", "1\n")
    assert submit(*TOY).exit_code == 0
    (place / "arguments").unlink()
    StudyDir(Path("st")).journal.write_text(Event(term=1, time=0.0).to_line() + "\n")
    StudyDir(Path("st")).done.write_text(json.dumps({"time": 0.0, "stop": meta()["stop"]}))
    done = submit()
    assert (done.exit_code, "is finished, nothing was submitted" in done.stdout) == (0, True), done.output
    assert not (place / "arguments").exists()
    assert submit("--trials", "6").exit_code == 0
    assert (place / "arguments").exists()
    assert not Path("st/done").exists()


@pytest.mark.usefixtures("_unasked")
def test_workers_may_be_added_to_a_study_that_is_led_but_its_end_not_moved(place: Path) -> None:
    scheduler(place, "sbatch", "1\n")
    assert submit(*TOY).exit_code == 0
    before = Path("st/study.json").read_bytes()
    with Lock(StudyDir(Path("st")).master_lock) as lock:
        assert lock.acquire(json.dumps({"host": "elsewhere", "pid": 1}))
        assert submit().exit_code == 0
        assert submit("--trials", "5").exit_code == 0
        held = submit("--trials", "6")
    assert held.exit_code == 2
    assert "on elsewhere" in held.stderr
    assert "its stop cannot change meanwhile" in held.stderr
    assert Path("st/study.json").read_bytes() == before


@pytest.mark.usefixtures("_unasked")
def test_a_template_is_what_is_submitted(place: Path) -> None:
    scheduler(place, "sbatch", "1\n")
    Path("mine.sh").write_text('#!/bin/sh\n#SBATCH -a {array}%2\n. "${{HOME}}/env"\nexec {command}\n')
    done = submit(*TOY, "--template", "mine.sh", study="my study's")
    assert done.exit_code == 0, done.output
    lines = Path("my study's/job.sh").read_text().splitlines()
    assert lines[:3] == ["#!/bin/sh", "#SBATCH -a 0-2%2", '. "${HOME}/env"']
    assert lines[3].endswith(f" worker '{Path.cwd()}/my study'\"'\"'s' --time 86340s")
    Path("mine.sh").write_bytes(b"\xff{command}")
    assert "cannot be read" in submit("--template", "mine.sh", study="my study's").stderr


@pytest.mark.usefixtures("_unasked")
def test_a_folder_for_logs_is_made_or_named(place: Path) -> None:
    scheduler(place, "qsub", "1.server\n")
    done = submit(*TOY, "--logs", "a/b", cluster="pbs", study="my study")
    assert done.exit_code == 0, done.output
    assert f"#PBS -o {place}/here/a/b/\n" in Path("my study/job.sh").read_text()
    assert Path("a/b").is_dir()
    Path("file").touch()
    refused = submit("--logs", "file/b", cluster="pbs", study="my study")
    assert (refused.exit_code, "--logs" in refused.stderr) == (1, True)


def test_variables_that_tasks_need_are_handed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOHB_NAS_CACHE", "/my cache")
    monkeypatch.setenv("PYTHONPATH", "")
    text = submit(*TOY, "--print").stdout
    assert f"exec /usr/bin/env 'BOHB_NAS_CACHE=/my cache' {sys.executable} -P -m" in text
    assert "PYTHONPATH" not in text
    assert "BOHB_NAS_CACHE" in os.environ


@pytest.mark.usefixtures("_unasked")
def test_unless_said_otherwise_masters_listen_where_other_machines_reach_them(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(None, None, None, "", ("127.0.1.1", 0))])
    monkeypatch.setattr(engine_cluster, "get_ip", lambda: "127.0.0.1")
    with pytest.raises(UsageError):
        engine_cluster.listening_ip("host")  # no other reaches the machine that submits, which need not be reached
    scheduler(place, "sbatch", "1\n")
    done = CliRunner().invoke(cli, ["submit", "st", "--cluster", "slurm", "--array", "3", *TOY])
    assert done.exit_code == 0, done.output
    assert meta()["listen"] == "host"
    assert submit("--listen", "loopback").exit_code == 0
    assert meta()["listen"] == "loopback"


@pytest.mark.parametrize(("command", "default"), [("run", "nowhere"), ("submit", "host")])
def test_help_says_where_each_command_listens_by_itself(command: str, default: str) -> None:
    said = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    assert f"Where other machines reach this one: host, an interface, an address. [{default}]" in said
