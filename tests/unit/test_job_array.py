"""The texts of job arrays, against stored files, and what they make of odd values."""

import re
import shlex
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bohb_nas.engine.job_array import Cluster, JobArray, reserved_s, script, worker_command
from bohb_nas.engine.job_template import PLACEHOLDERS, fill
from bohb_nas.errors import UsageError

GOLDEN = Path(__file__).parents[1] / "golden"
PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
TEMPLATES = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def plain(cluster: Cluster) -> JobArray:
    return JobArray(
        cluster=cluster,
        name="bohb-nas",
        size=10,
        gpus_per_task=1,
        time_s=86400.0,
        logs=Path("/data/study/workers"),
        command=worker_command("/venv/bin/python", Path("/data/study"), time_s=86400.0),
    )


def full(cluster: Cluster) -> JobArray:
    return JobArray(
        cluster=cluster,
        name="joint.1",
        size=4,
        gpus_per_task=2,
        cpus_per_task=8,
        memory_mib=16384,
        time_s=5400.5,
        grace_s=120.0,
        partition="gpu,gpu-long",
        account="ml_42",
        logs=Path("/data/my study 100%/$(logs)/it's" if cluster is Cluster.SLURM else "/scratch/logs"),
        extra={Cluster.SLURM: ("--constraint=a100", "--mail-type=END,FAIL"), Cluster.LSF: ("-x",)}.get(cluster, ("-m ae",)),
        command=worker_command(
            "/venv/bin/python",
            Path("/data/my study 100%/it's $(x)"),
            time_s=5400.5,
            grace_s=120.0,
            environment={"OMP_NUM_THREADS": "8", "BOHB_NAS_CACHE": "/scratch/a"},
        ),
    )


@pytest.mark.parametrize("cluster", Cluster)
@pytest.mark.parametrize("make", [plain, full])
def test_the_text_is_the_stored_one(cluster: Cluster, make: object) -> None:
    job = make(cluster)  # type: ignore[operator]
    assert script(job) == (GOLDEN / f"job-{cluster}-{make.__name__}.sh").read_text()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cluster", "line"),
    [
        (Cluster.SLURM, "#SBATCH --array=0-0"),
        (Cluster.SGE, "#$ -t 1-1"),
        (Cluster.LSF, '#BSUB -J "bohb-nas[1-1]"'),
    ],
)
def test_an_array_of_one(cluster: Cluster, line: str) -> None:
    assert line in script(replace(plain(cluster), size=1)).splitlines()


def test_pbs_has_no_array_of_one() -> None:
    assert "-J" not in script(replace(plain(Cluster.PBS), size=1))


ODD = ("/a b/c", "it's", 'a "b"', "$(touch here)", "`touch here`", "a\nb", "a\\b", "*", "", "é", "--x", "#c", "{x}", "~", "!!", "a\tb")


def test_every_argument_arrives_as_it_is(tmp_path: Path) -> None:
    show = tmp_path / "show me's $(x).sh"
    show.write_text('#!/bin/bash\nprintf "%s\\0" "$@"\n')
    show.chmod(0o755)
    file = tmp_path / "job.sh"
    for cluster in Cluster:
        file.write_text(script(replace(plain(cluster), command=(str(show), *ODD))))
        said = subprocess.run(["/bin/bash", str(file)], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
        assert tuple(said.split("\0")[:-1]) == ODD
        assert not (tmp_path / "here").exists()


def test_the_command_takes_the_place_of_the_shell(tmp_path: Path) -> None:
    file = tmp_path / "job.sh"
    command = worker_command("/bin/echo", tmp_path, time_s=60.0, environment={"A": "b c"})
    file.write_text(script(replace(plain(Cluster.SLURM), command=("/bin/bash", "-c", "echo $$"))))
    with subprocess.Popen(["/bin/bash", str(file)], stdout=subprocess.PIPE, text=True) as shell:
        said, _ = shell.communicate(timeout=60)
    assert int(said) == shell.pid, "signals to the job reach the command"
    file.write_text(script(replace(plain(Cluster.SLURM), command=command)))
    said = subprocess.run(["/bin/bash", str(file)], capture_output=True, text=True, check=True).stdout
    assert said == f"-P -m bohb_nas worker {tmp_path} --time 54s\n"


def test_an_interpreter_whose_path_looks_like_a_variable_is_run_all_the_same(tmp_path: Path) -> None:
    python = tmp_path / "v=1" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$0 $A $*"\n')
    python.chmod(0o700)
    command = worker_command(str(python), tmp_path, time_s=60.0, environment={"A": "b c"})
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{python} b c -P -m bohb_nas worker {tmp_path} --time 54s\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "a\n#SBATCH --uid=0"),
        ("name", "1st"),
        ("name", ""),
        ("name", "a b"),
        ("name", "a]"),
        ("partition", "gpu\n"),
        ("partition", "gpu\r--x"),
        ("partition", "-x"),
        ("partition", "a b"),
        ("partition", ""),
        ("account", 'a"'),
        ("account", "a\0b"),
        ("account", "a\x1b[0m"),
        ("extra", ("--x\n--y",)),
        ("extra", ("--x\\",)),
        ("extra", ("  ",)),
    ],
)
@pytest.mark.parametrize("cluster", Cluster)
def test_what_would_break_out_of_its_line_is_refused(cluster: Cluster, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{name}.*accepted"):
        replace(plain(cluster), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cluster", "folder"),
    [(Cluster.SLURM, "/a\nb"), (Cluster.SLURM, '/a"b'), (Cluster.PBS, "/a b"), (Cluster.SGE, "/a,b"), (Cluster.LSF, "/a:b")],
)
def test_a_folder_for_logs_that_a_directive_cannot_name_is_refused(cluster: Cluster, folder: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)folder for logs .*--logs"):
        script(replace(plain(cluster), logs=Path(folder)))


@pytest.mark.parametrize("cluster", Cluster)
def test_no_line_of_the_command_is_a_directive(cluster: Cluster) -> None:
    mark = script(plain(cluster)).splitlines()[1].split()[0]
    with pytest.raises(UsageError, match="a directive"):
        replace(plain(cluster), command=("/bin/ls", f"/a\n{mark} -x"))


@pytest.mark.parametrize(("seconds", "reserved"), [(86400.0, 60.0), (600.0, 60.0), (60.0, 6.0)])
def test_a_worker_plans_with_less_than_its_task_has(seconds: float, reserved: float) -> None:
    assert reserved_s(seconds) == reserved


def test_a_template_is_filled() -> None:
    text = "#SBATCH -J {name} -a {array} -p {partition} --gres=gpu:{gpus} -t {time} -o {log}\nfor f in ${{A[@]}}; do exec {command}; done\n"
    job = full(Cluster.SLURM)
    first, second = fill(text, job).splitlines()
    log = '"/data/my study 100%%/$(logs)/it\'s/job-%A_%a.out"'
    assert first == f"#SBATCH -J joint.1 -a 0-3 -p gpu,gpu-long --gres=gpu:2 -t 0-01:30:01 -o {log}"
    assert second == f"for f in ${{A[@]}}; do exec {shlex.join(job.command)}; done"
    assert fill("{size} {last} {cpus} {mem} {account} {warning} {command}", job).startswith("4 3 8 16384M ml_42 150 /usr/bin/env ")
    assert fill("{last} {command}", full(Cluster.SGE)).startswith("4 ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{nmae} {command}", r"line 2: '\{nmae\}' is no placeholder; accepted are \{name\}, .*\{command\}"),
        ("${HOME} {command}", r"line 1: '\{HOME\}' is no placeholder.*for braces"),
        ("f() { {command}; }", r"'\{' is no placeholder"),
        ("{} {command}", r"'\{\}' is no placeholder"),
        ("{command.x}", "is no placeholder"),
        ("{command!r}", "is no placeholder"),
        ("exec true", r"no \{command\}"),
        ("exec {{command}}", r"no \{command\}"),
        ("{mem} {command}", "give --mem"),
        ("{account} {command}", "give --account"),
        ("{partition} {command}", "give --partition"),
    ],
)
def test_a_template_is_held_to_the_placeholders(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fill(text, plain(Cluster.SLURM))


def test_a_template_for_an_array_of_one_in_pbs_says_so() -> None:
    with pytest.raises(UsageError, match="no arrays of one task"):
        fill("{array} {command}", replace(plain(Cluster.PBS), size=1))
    assert "array" in PLACEHOLDERS


def test_the_page_names_every_placeholder() -> None:
    rows = re.findall(r"^\| (`\{.*?) \|", PAGE, re.MULTILINE)
    assert sorted(re.findall(r"\{(\w+)\}", " ".join(rows))) == sorted(PLACEHOLDERS)


def test_the_page_s_first_template_is_filled() -> None:
    lines = fill(TEMPLATES[0], full(Cluster.SLURM)).splitlines()
    assert lines[1] == "#SBATCH --job-name=joint.1 --array=0-3 --gres=gpu:h100:1 --time=0-01:30:01 --partition=gpu,gpu-long"
    assert lines[4] == 'export TMPDIR="${SLURM_TMPDIR:-/tmp}"'


def test_the_page_s_template_for_whole_nodes_warns_its_workers(tmp_path: Path) -> None:
    worker = "trap 'echo warned; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    script_file = tmp_path / "job.sh"
    script_file.write_text(fill(TEMPLATES[1], replace(plain(Cluster.SLURM), command=("/bin/bash", "-c", worker))))
    with subprocess.Popen(["/bin/bash", str(script_file)], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert [shell.stdout.readline() for _ in range(4)] == ["ready\n"] * 4
        shell.send_signal(signal.SIGUSR1)
        rest, _ = shell.communicate(timeout=60)
    assert (rest, shell.returncode) == ("warned\n" * 4, 0)
