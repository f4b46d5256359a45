import argparse
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Constant, EqualsCondition, Float, Integer

from bohb_nas import leaving, standstill
from bohb_nas.errors import CommandError, OptionError, RecordError
from bohb_nas.records import Evaluation, Origin, Result, Status, Trial, Value
from bohb_nas.store.study_dir import StudyDir
from bohb_nas.workers import _processes
from bohb_nas.workers._answer import LastObject, read_file
from bohb_nas.workers.command import check, kill_leftovers, make

ODD_NAMES = ["with spaces", 'quote\'s "both"', "new\nline", "{braces}", "$HOME;`x`", "-dash"]


def _space() -> ConfigurationSpace:
    space = ConfigurationSpace()
    optimizer = Categorical("optimizer", ["sgd", "adam"])
    momentum = Float("momentum", (0.0, 1.0))
    space.add(Float("lr", (1e-5, 1.0), log=True), Integer("budget", (1, 9)), optimizer, momentum)
    space.add(EqualsCondition(momentum, optimizer, "sgd"))
    return space


SGD: dict[str, Value] = {"lr": 1e-05, "budget": 7, "optimizer": "sgd", "momentum": 0.9}
ADAM: dict[str, Value] = {"lr": 0.1, "budget": 7, "optimizer": "adam"}


def _trial(config: dict[str, Value] = SGD, budget: float = 3.0) -> Trial:
    return Trial(trial_id="t-1", config_id="c-1", config=config, budget=budget, bracket=0, rung=0, seed=5, origin=Origin.RANDOM)


def _arguments(tmp_path: Path, template: str, config: dict[str, Value] = SGD) -> list[str]:
    """What the program of a template sees as its arguments."""
    program = ["-c", "import json, sys; print(json.dumps({'loss': 0, 'seen': sys.argv[1:]}))"]
    done = make(command=[sys.executable, *(p.replace("{", "{{").replace("}", "}}") for p in program), *template.split()]).train(
        _trial(config), tmp_path
    )
    assert done.status is Status.OK, done.message
    seen: list[str] = done.details["seen"]
    return seen


@pytest.mark.parametrize(
    ("template", "arguments"),
    [
        ("--lr {lr} --seconds {budget}", ["--lr", "1e-05", "--seconds", "3"]),
        ("--b={config.budget} {seed}-{trial_id}", ["--b=7", "5-t-1"]),
        ("{{lr}} {{{lr}}}", ["{lr}", "{1e-05}"]),
        ("--optimizer {optimizer} --momentum {momentum}", ["--optimizer", "sgd", "--momentum", "0.9"]),
        ("-m {config.momentum} end", ["-m", "0.9", "end"]),
        ("{config.x} {config.config.x}", ["4", "4"]),  # the hyperparameter config.x
    ],
)
def test_placeholders(tmp_path: Path, template: str, arguments: list[str]) -> None:
    assert _arguments(tmp_path, template, {**SGD, "config.x": 4}) == arguments


def test_what_a_full_disk_refuses_of_the_log_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "log.txt").symlink_to("/dev/full")
    program = "import json; print('much'); print(json.dumps(dict(loss=0.25)))"
    done = make(command=[sys.executable, "-c", program]).train(_trial(), tmp_path)
    assert (done.status, done.loss) == (Status.OK, 0.25)
    assert "No space left on device" in done.details["log_refused"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1e-05, "-0.00001"), (-1.25e-07, "-0.000000125"), (-0.5, "-0.5"), (-2.0, "-2"), (1.25e-07, "1.25e-07"), (-1e22, "-1" + 22 * "0")],
)
def test_a_negative_number_is_no_option_of_argparse(tmp_path: Path, value: float, text: str) -> None:
    seen = _arguments(tmp_path, "--lr {lr}", {**SGD, "lr": value})
    assert seen == ["--lr", text]
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    assert parser.parse_args(seen).lr == value


def test_an_inactive_pair_is_dropped(tmp_path: Path) -> None:
    assert _arguments(tmp_path, "--a {lr} --momentum {momentum} -m {config.momentum} end", ADAM) == ["--a", "0.1", "end"]


def test_a_template_is_split_as_a_shell_would(tmp_path: Path) -> None:
    script = tmp_path / "print arguments.py"
    script.write_text("import json, sys\nprint(json.dumps({'loss': 0, 'seen': sys.argv[1:]}))")
    done = make(command=f"{sys.executable} '{script}' 'a b' \"c'd\" x\\ y '$HOME' {{lr}}").train(_trial(), tmp_path)
    assert done.details["seen"] == ["a b", "c'd", "x y", "$HOME", "1e-05"]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("true {nosuch}", "unknown placeholder {nosuch}; known are budget, seed, trial_id, workdir, budget, lr"),
        ("true {config.nosuch}", "unknown placeholder"),
        ("true {lr", "'{' is no placeholder"),
        ("true lr}", "'}' is no placeholder"),
        ("true {}", "is no placeholder"),
        ("true {lr:.3f}", "unknown placeholder"),
        ("true 'lr", "close every quote"),
        ("", "empty"),
        ([], "empty"),
        ("no-such-program --lr {lr}", "does not exist"),
        ("./no/such/program", "does not exist"),
        ("/", "does not exist"),
        ("{lr}", "placeholders go into its arguments"),
        (["true", "a\0b"], "NUL"),
        ("true --momentum={momentum}", "may be inactive"),
        ("true {momentum}", "may be inactive"),
        ("true -- {momentum}", "may be inactive"),
        ("true x {momentum}", "may be inactive"),
        ("true --{lr} {momentum}", "may be inactive"),
        ("true --x a{momentum}", "may be inactive"),
    ],
)
def test_templates_that_cannot_be_run(template: str | list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        check(_space(), command=template)
    assert said in str(refused.value)
    with pytest.raises(CommandError):
        check(_space(), command=template)


@pytest.mark.parametrize(
    ("template", "remarks"),
    [
        ("true --lr {lr} --b {config.budget} --optimizer {optimizer} --momentum {momentum} {budget}", []),
        (
            "true --lr {lr} --momentum {momentum} {{optimizer}} --wd={workdir} {budget}",
            ["--command does not pass 2 of 4 hyperparameters (budget, optimizer), such as {config.budget}"],
        ),
        (
            "true",
            [
                "--command does not pass 4 of 4 hyperparameters (budget, lr, optimizer, momentum), such as {config.budget}",
                "--command does not pass the budget, {budget}",
            ],
        ),
        (
            "true --lr {lr} --b {config.budget} --optimizer {optimizer} --momentum {momentum}",
            ["--command does not pass the budget, {budget}"],
        ),
    ],
)
def test_what_no_argument_says_is_named(template: str, remarks: list[str]) -> None:
    space = _space()
    space.add(Constant("fixed", 3))
    assert check(space, command=template) == [
        f"{remark}: add what the program does not read from the file $BOHB_NAS_TRIAL" for remark in remarks
    ]


@pytest.mark.parametrize(
    ("options", "remarked"), [({"unit": "epochs"}, True), ({"unit": "epochs", "hard_limit_s": 60.0}, False), ({"unit": "s"}, False)]
)
def test_a_program_that_nothing_would_end_is_remarked_on(options: dict[str, Any], remarked: bool) -> None:
    space = ConfigurationSpace({"lr": (0.0, 1.0)})
    remark = "budgets in epochs say nothing of time: a program that hangs is never ended; add --hard-limit, such as 2h"
    assert check(space, command="true {lr} {budget}", **options) == ([remark] if remarked else [])


def test_of_many_hyperparameters_that_are_not_passed_the_first_are_named() -> None:
    space = ConfigurationSpace({f"x{n}": (0.0, 1.0) for n in range(10)})
    (said,) = check(space, command="true {x9} {budget}")
    assert "9 of 10 hyperparameters (x0, x1, x2, x3, x4, x5, x6, x7, …), such as {x0}: " in said
    (said,) = check(space, command="true {x9} {x8} {budget}")
    assert "8 of 10 hyperparameters (x0, x1, x2, x3, x4, x5, x6, x7), such as {x0}: " in said


def test_a_program_that_may_not_be_executed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    with pytest.raises(CommandError, match=r"chmod \+x"):
        make(command="./train.py", cwd=str(tmp_path))


@pytest.mark.parametrize(
    "options", [{"hard_limit_s": 0.0}, {"hard_limit_s": math.nan}, {"hard_limit_s": math.inf}, {"grace_s": -1.0}, {"grace_s": math.inf}]
)
def test_limits_that_are_none(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="accepted"):
        make(command="true", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "limit_s"),
    [({}, 64.5), ({"hard_limit_s": 9.0}, 9.0), ({"unit": "epochs"}, None), ({"unit": "epochs", "hard_limit_s": 9.0}, 9.0)],
)
def test_a_trial_of_3_s_ends_within_half_as_much_again_and_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], limit_s: float | None
) -> None:
    limits: list[float | None] = []

    def run(command: list[str], *, limit_s: float | None, **how: Any) -> _processes.Ended:
        limits.append(limit_s)
        return _processes.Ended(code=0, timed_out=False, asked=False, seconds=0.0)

    monkeypatch.setattr(_processes, "run", run)
    make(command="true", **options).train(_trial(budget=3.0), tmp_path)
    assert limits == [limit_s]


def _run(tmp_path: Path, code: str, **options: Any) -> Result:
    script = tmp_path / "train.py"
    script.write_text("import json, math, os, subprocess, sys, time, signal\n" + code)
    return make(command=[sys.executable, str(script).replace("{", "{{").replace("}", "}}")], **options).train(_trial(), tmp_path)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    result = _run(folder, "print(json.dumps({'loss': 0.5, 'trial': json.load(open(os.environ['BOHB_NAS_TRIAL']))}))")
    assert result.loss == 0.5
    assert Trial.from_json(result.details["trial"]) == _trial()


@pytest.mark.parametrize("name", ["plain", "{lr}"])
def test_a_relative_program_starts_at_cwd(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    program = folder / "bin" / "train"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "{\\"loss\\": 0.5, \\"cwd\\": \\"$(pwd)\\"}"\n')
    program.chmod(0o700)
    result = make(command="bin/train", cwd=str(folder)).train(_trial(), tmp_path)
    assert (result.loss, result.details) == (0.5, {"cwd": str(folder)})


def test_a_full_answer(tmp_path: Path) -> None:
    answer = {"loss": 1, "train_s": 2.5, "metrics": {"error": 0.25}, "message": "fine", "epochs": [1, 2]}
    result = _run(tmp_path, f"print('noise'); print({json.dumps(answer)!r}); print('more noise')")
    assert result == Result(
        trial_id="t-1", status=Status.OK, loss=1, train_s=2.5, metrics={"error": 0.25}, message="fine", details={"epochs": [1, 2]}
    )


def test_a_metric_that_is_no_number_costs_no_training(tmp_path: Path) -> None:
    result = _run(tmp_path, 'print(\'{"loss": 1, "metrics": {"a": NaN, "b": "fast", "c": 2, "d": null}, "epochs": 3}\')')
    assert (result.status, result.loss, result.metrics) == (Status.OK, 1, {"c": 2})
    assert result.details == {"epochs": 3, "metrics_dropped": {"a": "nan", "b": "'fast'", "d": "None"}}


def test_the_wall_clock_is_the_default_of_train_s(tmp_path: Path) -> None:
    assert _run(tmp_path, "print('{\"loss\": 0}')").train_s > 0


@pytest.mark.parametrize(
    ("checkpoint", "printed", "seconds"),
    [
        (True, "", 1e6),
        (False, "", 0.0),
        (True, ', "train_s": 7', 7.0),
        (True, ', "status": "diverged"', 1e6),
        (True, ', "status": "crashed"', 0.0),
    ],
)
def test_the_default_of_train_s_counts_what_is_behind_the_checkpoint_that_it_goes_on_from(
    tmp_path: Path, checkpoint: bool, printed: str, seconds: float
) -> None:
    study = StudyDir(tmp_path / "study")
    study.make()
    before = replace(_trial(), trial_id="t-0")
    study.write_result(Evaluation(trial=before, result=Result(trial_id="t-0", status=Status.OK, loss=1.0, train_s=1e6)))
    workdir = study.new_attempt("t-1")
    if checkpoint:
        (study.new_attempt("t-0") / "checkpoint").mkdir()
        (workdir / "resume").symlink_to("../../t-0/0/checkpoint")
    worker = make(command=[sys.executable, "-c", f"print('{{{{\"loss\": 0{printed}}}}}')"])
    result = worker.train(replace(_trial(), resume_from="t-0"), workdir)
    assert result.train_s == 7.0 if "train_s" in printed else 0.0 < result.train_s - seconds < 1e6


def test_the_last_object_counts_and_the_file_wins(tmp_path: Path) -> None:
    printing = "print('{\"loss\": 1}'); print('{\"loss\": 2}', end='')\n"
    assert _run(tmp_path, printing).loss == 2
    assert _run(tmp_path, printing + "open(os.environ['BOHB_NAS_RESULT'], 'w').write('{\"loss\": 3}')").loss == 3
    assert _run(tmp_path, printing + "open(os.environ['BOHB_NAS_RESULT'], 'w').write('{}')").status is Status.CRASHED
    assert _run(tmp_path, printing).loss == 2, "the result file of an earlier attempt is not read"


def test_a_result_file_of_the_program_s_own_is_no_answer(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'result.json')!r}, 'w').write('{{\"loss\": 9}}')\nprint('{{\"loss\": 0.25}}')"
    assert _run(tmp_path, code).loss == 0.25
    assert json.loads((tmp_path / "result.json").read_text()) == {"loss": 9}


def test_a_status_of_its_own(tmp_path: Path) -> None:
    result = _run(tmp_path, "print(json.dumps({'status': 'out_of_memory', 'loss': 2.5, 'message': 'too wide'}))")
    assert (result.status, result.loss, result.message) == (Status.OUT_OF_MEMORY, None, "too wide")


@pytest.mark.parametrize("line", ['{"loss": 1', "{loss: 1}", "[1]", '"{}"', "0.25", '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_what_is_no_object_hides_none_that_came_before(line: str) -> None:
    printed = LastObject()
    printed.feed(b' {"loss"')
    printed.feed(b": 0.25}\r\n" + line.encode() + b"\n")
    printed.feed(line.encode())
    printed.close()
    assert printed.value == {"loss": 0.25}


def test_a_line_of_more_than_a_mebibyte_is_no_answer_and_is_not_kept() -> None:
    frame = len('{"x": ""}')
    for longer, counts in ((0, True), (1, False), (2**23, False)):
        printed, line = LastObject(), '{"x": "' + "y" * (2**20 - frame + longer) + '"}'
        for at in range(0, len(line), 65536):
            printed.feed(line[at : at + 65536].encode())
        assert len(printed._line) < 2**20 + 2 * 65536
        printed.close()
        assert (printed.value is not None) is counts
        printed.feed(line.encode() + b"\n")
        assert (printed.value is not None) is counts


INDENTED = json.dumps({"loss": 0.125, "metrics": {"epochs": 3}, "curve": [{"a": 1}]}, indent=2)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ('{"loss": 0.125, "x": "' + "y" * 2**20 + '"}', "longer than 1048576 bytes: write it to the file .BOHB_NAS_RESULT"),
        (INDENTED, "several lines: print it on one line"),
        (INDENTED.replace("\n", "\r\n"), "several lines: print it on one line"),
        (INDENTED.replace("  ", "\t") + "\ndone", "several lines: print it on one line"),
        (json.dumps({"loss": 0.125, "curve": ["y" * 1000] * 2000}, indent=1), "several lines: print it on one line"),
    ],
)
@pytest.mark.parametrize("before", ["", '{"loss": 0.75}\n'])
def test_an_object_that_cannot_be_taken_leaves_none_from_before_in_its_place(before: str, last: str, said: str) -> None:
    printed, text = LastObject(), f"{before}{last}\n".encode()
    for at in range(0, len(text), 4096):
        printed.feed(text[at : at + 4096])
    printed.close()
    with pytest.raises(RecordError, match=said):
        printed.answer()
    printed.feed(b'{"epoch": 3}\n{"loss": 0.25}\n')
    assert printed.answer() == {"loss": 0.25}


def test_an_answer_over_several_lines_is_a_crash_that_says_so(tmp_path: Path) -> None:
    result = _run(tmp_path, "print('{\"loss\": 0.75}'); print(json.dumps({'loss': 0.125}, indent=1))")
    assert (result.status, result.loss) == (Status.CRASHED, None)
    assert "the last object that the command printed has several lines: print it on one line" in str(result.message)


@pytest.mark.parametrize(
    "after",
    [
        "Done.",
        "{\n  loss: 0.125\n}",
        "{'a': 1,\n 'b': 2}",
        '{\n  "loss": 0.125',
        "{\nDone.\n}",
        "}",
        "{" + "y" * 2**20,
        "{\n" + " y\n" * 2**20,
    ],
)
def test_text_behind_the_last_object_leaves_it_the_answer(after: str) -> None:
    printed = LastObject()
    printed.feed(f'{{"epoch": 3}}\n{{"loss": 0.25}}\n{after}'.encode())
    printed.close()
    assert printed.answer() == {"loss": 0.25}


@pytest.mark.parametrize("before", ["\ufeff", "10%\r20%\r", "y" * 2**21 + "\r", "\r", "\r\n"])
def test_what_stands_before_an_object_in_its_line(before: str) -> None:
    """A mark of the byte order, and a progress bar that the line replaces on a terminal."""
    printed = LastObject()
    printed.feed(f'{{"loss": 0.75}}\n{before}{{"loss": 0.25}}\r\n'.encode())
    printed.close()
    assert printed.answer() == {"loss": 0.25}


def test_an_object_may_name_files_that_are_not_utf_8() -> None:
    printed = LastObject()
    printed.feed(b'{"loss": 0.75}\n{"loss": 0.25, "file": "caf\xe9"}\n')
    assert printed.answer() == {"loss": 0.25, "file": "caf\udce9"}


def test_a_result_file_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    assert read_file(tmp_path / "none.json") is None
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000 + "]" * 100_000)
    for path in (tmp_path, deep):
        with pytest.raises(RecordError, match="the result file cannot be read"):
            read_file(path)


@pytest.mark.parametrize("loss", ["math.nan", "math.inf", "-math.inf"])
def test_a_loss_that_is_not_finite(tmp_path: Path, loss: str) -> None:
    result = _run(tmp_path, f"print(json.dumps({{'loss': {loss}}}))")
    assert (result.status, result.loss) == (Status.DIVERGED, None)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('epoch 1')", "printed no result"),
        ("print(0.5)", "printed no result"),
        ("print('{\"loss\": 0.5')", "printed no result"),
        ("print('[1]')", "printed no result"),
        ("print('{}')", "the answer has no key loss; its keys are: none"),
        ('print(\'{"accuracy": 0.9, "epochs": 3}\')', "the answer has no key loss; its keys are: accuracy, epochs"),
        ("print('{\"loss\": null}')", "the loss is None"),
        ('print(\'{"loss": "0.5"}\')', "the loss is '0.5'"),
        ("print('{\"loss\": true}')", "the loss is True"),
        ('print(\'{"loss": 1, "train_s": -1}\')', "train_s is -1"),
        ('print(\'{"loss": 1, "train_s": "1"}\')', "train_s is '1'"),
        ('print(\'{"loss": 1, "metrics": 3}\')', "metrics"),
        ('print(\'{"loss": 1, "message": 3}\')', "message"),
        ('print(\'{"loss": 1, "status": "fine"}\')', "status"),
        ("print('{\"loss\": 1}'); sys.exit(3)", "exit code 3"),
        ("print('{\"loss\": 1}', flush=True); os.kill(os.getpid(), 9)", "signal SIGKILL, often out of memory"),
        ("raise RuntimeError('no such layer')", "RuntimeError: no such layer"),
        ("open(os.environ['BOHB_NAS_RESULT'], 'w').write('{')", "result file cannot be read"),
        ("open(os.environ['BOHB_NAS_RESULT'], 'w').write('[]')", "result file holds"),
        ("os.mkdir(os.environ['BOHB_NAS_RESULT'])", "result file cannot be read"),
    ],
)
def test_what_goes_wrong_is_a_crash_with_the_end_of_the_log(tmp_path: Path, code: str, said: str) -> None:
    result = _run(tmp_path, "print('a line of the log', flush=True)\n" + code)
    assert result.status is Status.CRASHED
    assert result.message is not None
    assert said in result.message
    assert "a line of the log" in result.message
    assert Result.from_json(result.to_json()) == result


def test_a_program_that_the_kernel_refuses(tmp_path: Path) -> None:
    program = tmp_path / "train"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o700)
    result = make(command=[str(program)]).train(_trial(), tmp_path)
    assert result.status is Status.CRASHED
    assert "Exec format error" in str(result.message)


def test_what_the_log_had_already_stays(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    assert _run(tmp_path, "print('during', file=sys.stderr)\nprint('{\"loss\": 0.5}')").loss == 0.5
    assert (tmp_path / "log.txt").read_text() == 'before\nduring\n{"loss": 0.5}\n'


def test_much_output_is_kept_on_disk_only(tmp_path: Path) -> None:
    code = "for _ in range(200): print('x' * 99_999)\nprint('y' * 3_000_000, end='', file=sys.stderr)\nprint('{\"loss\": 0.5}')"
    assert _run(tmp_path, code).loss == 0.5
    assert (tmp_path / "log.txt").stat().st_size == 200 * 100_000 + 3_000_000 + 14
    assert _run(tmp_path, "print('{\"loss\": 1, \"x\": \"' + 'x' * 2_000_000 + '\"}')").status is Status.CRASHED


STUBBORN = """
if len(sys.argv) == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for kind in ("group", "session", "session"):
        subprocess.Popen([sys.executable, __file__, kind], start_new_session=kind == "session")
    print("started", flush=True)
    time.sleep(600)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[1] == "session" and len(sys.argv) == 2:
    subprocess.Popen([sys.executable, __file__, "session", "again"], start_new_session=True)
    if os.fork():
        os._exit(0)
    os.setsid()
time.sleep(600)
"""


def _running(script: Path) -> list[int]:
    """Processes whose command line names a script."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and os.fsencode(script) in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # gone meanwhile
            continue
    return found


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    """Where `_run` puts the program; whatever a failed test leaves of it is killed."""
    yield tmp_path / "train.py"
    for pid in _running(tmp_path / "train.py"):
        os.kill(pid, signal.SIGKILL)


def test_after_the_hard_limit_nothing_is_left(tmp_path: Path, script: Path) -> None:
    result = _run(tmp_path, STUBBORN, hard_limit_s=1.5, grace_s=0.2)
    assert result.status is Status.TIMED_OUT
    assert "started" in str(result.message)
    assert _running(script) == []


def test_after_a_good_end_nothing_is_left(tmp_path: Path, script: Path) -> None:
    code = "if len(sys.argv) == 1:\n    subprocess.Popen([sys.executable, __file__, 'x'], start_new_session=True)\n"
    result = _run(tmp_path, code + "    print('{\"loss\": 0.5}')\nelse:\n    time.sleep(600)")
    assert result.loss == 0.5, "a descendant that holds standard output open is not waited for"
    assert _running(script) == []


def test_sigterm_comes_first(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\ntime.sleep(600)"
    result = _run(tmp_path, code, hard_limit_s=0.7, grace_s=60.0)
    assert result.status is Status.TIMED_OUT
    assert "saved" in str(result.message)


@pytest.mark.parametrize(("unit", "advice"), [("s", "make it end by its budget"), ("epochs", "make it faster")])
def test_what_is_stopped_says_its_limit_and_what_to_do(tmp_path: Path, unit: str, advice: str) -> None:
    """The program takes a second of its grace: that is not the limit."""
    code = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))\ntime.sleep(600)"
    result = _run(tmp_path, code, hard_limit_s=0.5, grace_s=60.0, unit=unit)
    assert str(result.message).startswith(f"stopped at its limit of 0.5s: {advice}, or raise --hard-limit\n"), result.message


def test_seconds_in_which_the_job_stood_still_do_not_count_towards_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "now", lambda: 7.0)
    result = _run(tmp_path, "time.sleep(0.7)\nprint(json.dumps({'loss': 0.5}))", hard_limit_s=0.3)
    assert (result.status, result.loss, result.train_s) == (Status.OK, 0.5, 0.0)


SAVES = """
from pathlib import Path
served = int(Path(os.environ["BOHB_NAS_INTERRUPTED"], "served").read_text()) if "BOHB_NAS_INTERRUPTED" in os.environ else 0
def leave(*_):
    Path(os.environ["BOHB_NAS_HANDOVER"], "served").write_text(str(served + 1))
    sys.exit(CODE)
signal.signal(signal.SIGTERM, leave)
if served == 2:
    print(json.dumps({"loss": 0.5, "served": served}))
    sys.exit()
Path(sys.argv[0]).with_name("began").touch()
time.sleep(600)
"""


@pytest.fixture
def unasked() -> Iterator[None]:
    leaving.reset()
    yield
    leaving.reset()


def _asked(tmp_path: Path, name: str, code: str, *, interrupted: str | None = None, **options: Any) -> Result:
    """Runs a program that is asked to leave once it has made the file `began`."""
    workdir = tmp_path / name
    workdir.mkdir()
    if interrupted is not None:
        (workdir / "interrupted").symlink_to(tmp_path / interrupted / "handover")
    ended = threading.Event()

    def ask() -> None:
        while not (workdir / "began").exists() and not ended.wait(0.02):
            pass
        leaving.ask()

    leaving.reset()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        return _run(workdir, code, **{"hands_over": True, "grace_s": 60.0, **options})
    finally:
        ended.set()
        asking.join()


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("code", ["0", "143"])
def test_a_program_that_is_asked_to_leave_goes_on_from_what_it_saved(tmp_path: Path, code: str) -> None:
    program = SAVES.replace("CODE", code)
    first = _asked(tmp_path, "1", program)
    second = _asked(tmp_path, "2", program, interrupted="1")
    assert [(result.status, result.loss) for result in (first, second)] == [(Status.PREEMPTED, None)] * 2
    assert (tmp_path / "2" / "handover" / "served").read_text() == "2"
    last = _asked(tmp_path, "3", program, interrupted="2")
    assert (last.status, last.loss, last.details) == (Status.OK, 0.5, {"served": 2})
    assert not (tmp_path / "3" / "handover").exists(), "nothing was saved"


@pytest.mark.usefixtures("unasked")
def test_a_program_that_saves_nothing_owes_everything(tmp_path: Path) -> None:
    code = "open(os.path.dirname(sys.argv[0]) + '/began', 'w')\n"
    code += "assert 'BOHB_NAS_INTERRUPTED' not in os.environ\ntime.sleep(600)"
    first = _asked(tmp_path, "1", code)
    assert first.status is Status.PREEMPTED
    assert not (tmp_path / "1" / "handover").exists()
    (tmp_path / "1" / "handover").mkdir()  # as a killed attempt leaves it
    assert _asked(tmp_path, "2", code, interrupted="1").status is Status.PREEMPTED


@pytest.mark.usefixtures("unasked")
def test_a_program_that_ends_well_after_sigterm_has_finished(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: (print('{\"loss\": 0.25}', flush=True), sys.exit(0)))\n"
    code += "open(os.path.dirname(sys.argv[0]) + '/began', 'w')\ntime.sleep(600)"
    result = _asked(tmp_path, "1", code)
    assert (result.status, result.loss) == (Status.OK, 0.25)


@pytest.mark.usefixtures("unasked")
def test_a_program_that_does_not_leave_is_killed(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen(os.path.dirname(sys.argv[0]) + '/began', 'w')\ntime.sleep(600)"
    result = _asked(tmp_path, "1", code, grace_s=0.1)
    assert result.status is Status.PREEMPTED
    assert _running(tmp_path / "1" / "train.py") == []


@pytest.mark.usefixtures("unasked")
def test_who_does_not_hand_over_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving.ask()
    for name in ("BOHB_NAS_HANDOVER", "BOHB_NAS_INTERRUPTED"):  # this process is the program of another trial
        monkeypatch.setenv(name, str(tmp_path))
    names = "[name for name in ('BOHB_NAS_HANDOVER', 'BOHB_NAS_INTERRUPTED') if name in os.environ]"
    result = _run(tmp_path, f"time.sleep(0.5); print(json.dumps({{'loss': 1, 'names': {names}}}))")
    assert (result.status, result.details) == (Status.OK, {"names": []})
    assert not (tmp_path / "handover").exists()


@pytest.mark.parametrize("hands_over", ["yes", 1, None])
def test_hands_over_is_true_or_false(hands_over: Any) -> None:
    with pytest.raises(OptionError, match="true or false"):
        make(command="true", hands_over=hands_over)


WORKER = """
import sys
from pathlib import Path
from bohb_nas.records import Origin, Trial
from bohb_nas.workers._answer import LastObject, read_file
from bohb_nas.workers.command import make
trial = Trial(trial_id="t-1", config_id="c-1", config={}, budget=600.0, bracket=0, rung=0, seed=5, origin=Origin.RANDOM)
make(command=[sys.executable, sys.argv[1] + "/train.py"]).train(trial, Path(sys.argv[1]))
"""


def _until(script: Path, n: int) -> bool:
    """Waits until n processes of a script run; gives up after a while."""
    for _ in range(600):
        if len(_running(script)) == n:
            return True
        time.sleep(0.05)
    return False


def test_the_command_dies_with_its_worker_and_its_descendants_with_the_next_attempt(tmp_path: Path, script: Path) -> None:
    script.write_text("import os, signal, subprocess, sys, time\n" + STUBBORN)
    with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)]) as worker:
        try:
            assert _until(script, 6)  # the command, one in its group, and two in sessions of their own, each with one more
        finally:
            worker.kill()
    assert _until(script, 5), "the kernel kills the command itself"
    assert kill_leftovers(tmp_path) == 5
    assert _running(script) == []
    assert kill_leftovers(tmp_path) == 0
