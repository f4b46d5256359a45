"""The command `analyze`: what it prints, what it writes and where, and what it refuses before it writes anything."""

import csv
import errno
import io
import json
import os
import shutil
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from analysis_fakes import Run, explain, make_study
from click.testing import CliRunner, Result
from findings_fakes import findings as usual
from rich.console import Console

from bohb_nas import cli_analyze
from bohb_nas.analysis.study import find
from bohb_nas.cli import cli
from bohb_nas.cli_analyze import changes
from bohb_nas.files import append_line
from bohb_nas.report.summary import summary
from bohb_nas.store.study_dir import StudyDir

GOLDEN = Path(__file__).parents[1] / "golden" / "study-format-1"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x20rest"


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What figures and page were asked for; neither forest nor figures are real."""
    asked: list[Any] = []

    def draw(studies: Sequence[Any], folder: Path, *, formats: Sequence[str], pictures: Sequence[bytes | None], jobs: int) -> list[Path]:
        asked.append(("draw", [s["study"]["name"] for s in studies], tuple(formats), list(pictures)))
        paths = [folder / f"figure.{kind}" for kind in formats]
        for path in paths:
            path.write_text("drawn")
        return paths

    def page(studies: Sequence[Any], *, pictures: Sequence[bytes | None]) -> str:
        asked.append(("page", [s["study"]["name"] for s in studies], list(pictures)))
        return "<!doctype html>"

    fakes: dict[str, dict[str, Any]] = {
        "bohb_nas.analysis.fanova": {"explain": explain},
        "bohb_nas.report.figures": {"draw": draw},
        "bohb_nas.report.html": {"page": page},
    }
    for name, offers in fakes.items():
        module = types.ModuleType(name)
        vars(module).update(offers)
        monkeypatch.setitem(sys.modules, name, module)
    return asked


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return StudyDir(Path(shutil.copytree(GOLDEN, tmp_path / "study")))


def analyze(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["analyze", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to give files away")
def test_a_report_that_root_makes_is_the_study_s_owner_s(study: StudyDir) -> None:
    """Of a folder that is named, root stays the owner."""
    os.chown(study.path, 65534, 65533)
    assert analyze(study.path, "--no-figures").exit_code == 0
    assert analyze(study.path, "--no-figures", "--to", study.path.parent / "mine").exit_code == 0
    owners = [(path.stat().st_uid, path.stat().st_gid) for path in (study.report, study.path.parent / "mine")]
    assert owners == [(65534, 65533), (0, os.getegid())]
    assert study.report.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_a_report_that_cannot_be_given_away_is_made_all_the_same(study: StudyDir, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The root of a container may have no right to, or not know the owner."""

    def refuse(*what: int) -> None:
        raise OSError(number, os.strerror(number))

    if os.geteuid() == 0:
        os.chown(study.path, 65534, 65533)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", refuse)
    assert analyze(study.path, "--no-figures").exit_code == 0
    assert (study.report / "report.html").exists()


def test_by_default_there_are_figures_a_page_and_a_summary(study: StudyDir, drawn: list[Any]) -> None:
    done = analyze(study.path)
    assert done.exit_code == 0
    assert done.stdout.startswith("study: bohb on toy; 40 evaluations (40 ok), done\n")
    assert "Whether 1s ranks configurations like 3s cannot be told: Spearman 0.83 [-0.13, 0.99], n = 6 after promotion" in done.stdout
    assert "incumbent t00037: loss 0.35093 at 9s (model)" in done.stdout
    assert done.stderr.startswith("figures: drawing;")
    assert done.stderr.partition("\n")[2] == f"figures: 3 files in {study.report}\nreport: {study.report / 'report.html'}\n"
    assert drawn == [("draw", ["study"], ("png", "svg", "pdf"), [None]), ("page", ["study"], [None])]
    assert sorted(path.name for path in study.report.iterdir()) == ["figure.pdf", "figure.png", "figure.svg", "report.html"]


def test_json_is_all_that_is_printed_and_nothing_is_written(study: StudyDir, drawn: list[Any]) -> None:
    done = analyze(study.path, "--json")
    assert (done.exit_code, done.stderr, drawn, study.report.exists()) == (0, "", [], False)
    said = json.loads(done.stdout)
    assert {"budgets", "rank_correlation", "incumbent", "trajectory"} <= said.keys()
    assert {"budget", "n", "oob_r2", "threshold", "parameters", "pairs"} <= said["budgets"][0].keys()
    assert {"low", "high", "n", "spearman", "interval", "p_value", "kendall"} <= said["rank_correlation"][0].keys()
    assert said["trajectory"][0].keys() >= {"time", "budget", "loss", "trial_id"}
    assert said == json.loads(json.dumps(find(study, explain=explain)))


def test_several_studies_are_a_list_and_overlaid_in_one_report(study: StudyDir, tmp_path: Path, drawn: list[Any]) -> None:
    other = Path(shutil.copytree(GOLDEN, tmp_path / "b" / "study"))
    third = make_study(tmp_path / "third", [Run(config_id="a")])
    done = analyze(study.path, other, third.path, "--json", "--to", tmp_path / "report")
    assert [one["study"]["name"] for one in json.loads(done.stdout)] == [str(study.path), str(other), "third"]
    assert drawn[1][1] == [str(study.path), str(other), "third"]
    assert (tmp_path / "report" / "report.html").read_text() == "<!doctype html>"


def test_several_studies_have_their_report_in_the_working_directory(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = make_study(tmp_path / "third", [Run(config_id="a")])
    monkeypatch.chdir(tmp_path)
    assert analyze(study.path, third.path).exit_code == 0
    assert (tmp_path / "report" / "report.html").exists()
    assert not study.report.exists()


def test_figures_of_one_format_and_no_page(study: StudyDir, tmp_path: Path, drawn: list[Any]) -> None:
    analyze(study.path, "--to", tmp_path / "new" / "out", "--format", "svg", "--no-report")
    assert drawn == [("draw", ["study"], ("svg",), [None])]
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["figure.svg"]
    analyze(study.path, "--no-figures", "--no-report")
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--no-figures", "--no-report", "--to", "out"], "--to out: with --no-figures and --no-report nothing goes there"),
        (["--no-figures", "--format", "svg"], "--format svg: no figures are drawn"),
        (["--json", "--format", "svg"], "--format svg: no figures are drawn"),
    ],
)
def test_an_option_without_effect_is_refused(
    study: StudyDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = analyze(study.path, *arguments)
    assert (done.exit_code, done.stdout, said in done.stderr) == (2, "", True), done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("asked", "written"), [("--report", ["report.html"]), ("--figures", ["figure.pdf", "figure.png", "figure.svg"])])
def test_what_is_asked_for_beside_json_is_written(study: StudyDir, drawn: list[Any], asked: str, written: list[str]) -> None:
    done = analyze(study.path, "--json", asked)
    assert json.loads(done.stdout)["study"]["name"] == "study"
    assert (len(drawn), sorted(path.name for path in study.report.iterdir())) == (1, written)


def test_every_number_as_csv(study: StudyDir, tmp_path: Path) -> None:
    done = analyze(study.path, "--csv", tmp_path / "tables", "--no-figures", "--no-report")
    assert done.stderr == f"tables: 20 files in {tmp_path / 'tables'}\n"
    with (tmp_path / "tables" / "trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    said = find(study, explain=explain)
    assert len(rows) == 40
    first = said["trials"][0]
    assert (rows[0]["study"], rows[0]["trial_id"], float(rows[0]["loss"])) == ("study", first["trial_id"], first["loss"])
    assert (float(rows[0]["config.lr"]), rows[0]["config.optimizer"], rows[0]["message"]) == (first["config"]["lr"], "sgd", "")
    with (tmp_path / "tables" / "rank_correlation.csv").open() as stream:
        (pair, *_) = csv.DictReader(stream)
    interval = said["rank_correlation"][0]["interval"]
    assert interval is not None
    assert [float(pair["interval_low"]), float(pair["interval_high"])] == interval


def test_the_picture_of_the_incumbents_newest_attempt_is_passed_on(study: StudyDir, drawn: list[Any]) -> None:
    for attempt, data in enumerate([PNG + b"old", PNG]):
        folder = study.trials / "t00037" / str(attempt)
        folder.mkdir(parents=True)
        (folder / "samples.png").write_bytes(data)
    analyze(study.path)
    assert drawn[1] == ("page", ["study"], [PNG])


@pytest.mark.parametrize("option", ["--to", "--csv"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is(
    study: StudyDir, tmp_path: Path, drawn: list[Any], option: str
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = analyze(study.path, "--csv", tmp_path / "tables", option, file / "below")
    assert done.exit_code == 2
    assert done.stderr == f"bohb-nas: {option} {file / 'below'}: {file} is no folder; name another with {option}\n"
    assert (drawn, study.report.exists(), (tmp_path / "tables").exists()) == ([], False, False)


@pytest.mark.parametrize("option", ["--to", "--csv"])
@pytest.mark.parametrize("place", [".", "trials/t00037/0", "results", "new", "../link/inputs"])
def test_nothing_is_written_among_the_files_of_a_study(study: StudyDir, tmp_path: Path, drawn: list[Any], option: str, place: str) -> None:
    (tmp_path / "link").symlink_to(study.path)
    other = make_study(tmp_path / "other", [Run(config_id="a")])
    before = {path: path.is_file() and path.read_bytes() for path in study.path.rglob("*")}
    done = analyze(other.path, study.path, option, study.path / place)
    assert (done.exit_code, drawn) == (2, [])
    assert f"{option} {study.path / place} lies in the study, whose own files nothing may replace" in done.stderr
    assert {path: path.is_file() and path.read_bytes() for path in study.path.rglob("*")} == before


def test_a_reports_folder_that_leads_to_other_files_of_the_study_is_refused(study: StudyDir, drawn: list[Any]) -> None:
    study.report.symlink_to(study.path)
    done = analyze(study.path)
    assert (done.exit_code, drawn) == (2, [])
    assert "lies in the study" in done.stderr


def test_tables_may_lie_beside_the_report(study: StudyDir) -> None:
    assert analyze(study.path, "--csv", study.report / "tables").exit_code == 0
    assert (study.report / "tables" / "trials.csv").exists()


def test_a_report_that_cannot_be_written_beside_the_study_goes_elsewhere(study: StudyDir, drawn: list[Any]) -> None:
    study.report.write_text("no folder")
    done = analyze(study.path)
    assert (done.exit_code, drawn) == (2, [])
    assert done.stderr == f"bohb-nas: --to {study.report}: {study.report} is no folder; name another with --to\n"
    assert analyze(study.path, "--json").exit_code == 0


def test_what_is_no_study_is_refused_before_anything_is_written(study: StudyDir, tmp_path: Path, drawn: list[Any]) -> None:
    done = analyze(study.path, tmp_path, "--to", tmp_path / "out")
    assert (done.exit_code, done.stdout, drawn) == (2, "", [])
    assert done.stderr == f"bohb-nas: no study in {tmp_path}; `bohb-nas run {tmp_path}` starts one\n"
    assert not (tmp_path / "out").exists()


def test_a_device_that_nothing_was_trained_on_is_refused(study: StudyDir, drawn: list[Any]) -> None:
    done = analyze(study.path, "--device", "Fast 9")
    assert (done.exit_code, drawn, study.report.exists()) == (2, [], False)
    assert "there are none, no evaluation names one" in done.stderr


def test_a_name_that_no_text_can_hold_is_shown_all_the_same(study: StudyDir, tmp_path: Path, drawn: list[Any]) -> None:
    odd = Path(shutil.copytree(study.path, tmp_path / os.fsdecode(b"n\xff\x1b[31m")))
    assert analyze(odd, "--csv", tmp_path / "tables").exit_code == 0
    assert drawn[0][1] == ["n?"]
    assert (tmp_path / "tables" / "study.csv").read_text().splitlines()[1].startswith("n?,")
    assert json.loads(analyze(odd, "--json").stdout)["study"]["name"] == find(StudyDir(odd), explain=explain)["study"]["name"] == "n?"


def test_watching_looks_again_when_the_journal_grew_and_ends_when_all_is_done(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", [Run(config_id="a")], done=False)
    happens = iter([None, "grow", None, "done"])

    def pause(seconds: float) -> None:
        assert seconds == 5
        match next(happens):
            case "grow":
                append_line(study.journal, "{}")
            case "done":
                study.done.write_text("{}")

    looks = changes([study], pause)
    assert len(list(looks)) == 3  # at once, grown, done
    assert list(happens) == []


def test_watching_rests_four_times_as_long_as_a_look_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of our own: a look takes 60 s, the next, at what has not changed, none, and one more, which is stopped, 2 h."""
    study, now, pauses = make_study(tmp_path / "s", [Run(config_id="a")], done=False), [100.0], list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds
        if len(pauses) == 2:
            append_line(study.journal, "{}")
        elif len(pauses) == 3:
            study.done.write_text("{}")

    monkeypatch.setattr("bohb_nas.cli_analyze.time.monotonic", lambda: now[0])
    took_s = iter([60.0, 7200.0, 0.0])
    for _ in changes([study], pause):
        now[0] += next(took_s)
    assert pauses == [240.0, 5.0, 600.0]


def test_a_study_that_is_done_has_all_cores_and_one_that_trains_a_single_one(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    asked: list[int] = []

    def run(tasks: Sequence[Callable[[], object]], *, jobs: int) -> list[object]:
        asked.append(jobs)
        return [task() for task in tasks]

    monkeypatch.setattr("bohb_nas.parallel.run", run)
    analyze(study.path, "--json")
    analyze(study.path, "--json", "--jobs", "2")
    study.done.unlink()
    analyze(study.path, "--json")
    assert asked == [3, 2, 1]


def test_watching_a_study_that_is_done_is_one_look(study: StudyDir, drawn: list[Any]) -> None:
    done = analyze(study.path, "--watch", "--json", "--to", study.report)
    assert (done.exit_code, len(done.stdout.splitlines()), len(drawn)) == (0, 1, 2)
    assert analyze(study.path, "--watch", "--no-report", "--no-figures").stdout.startswith("--- ")


def test_a_journal_that_was_seen_half_is_looked_at_once_more(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pauses = study.journal.read_text(), iter([None])
    study.journal.write_text(whole.replace('"event":"tell"', '"event":"te', 1))

    def pause() -> None:
        next(pauses)
        study.journal.write_text(whole)

    monkeypatch.setattr("bohb_nas.cli_analyze._pause", pause)
    assert analyze(study.path, "--watch", "--json").exit_code == 0
    study.journal.write_text(whole.replace('"event":"tell"', '"event":"te', 1))
    done = analyze(study.path, "--json")
    assert done.exit_code == 2
    assert "line 3 is damaged" in done.stderr


def test_the_summary_of_what_was_compared_and_of_names_that_a_terminal_would_obey(tmp_path: Path) -> None:
    said = find(make_study(tmp_path / "s", [Run(config_id="a", loss=0.125)]), explain=explain)
    row: Any = {
        **{"name": "wrn\x1b[31m", "kind": "baseline", "n_seeds": 3, "error": 0.25, "sd": 0.01, "seed_interval": [0.2, 0.3]},
        **{"wilson": [0.24, 0.26], "n_images": 9, "params": 36.5e6, "flops": 5.9e9, "train_s": 9.0, "difference": 0.125, "p_value": 0.01},
        **{"p_holm": 0.02, "test": "t"},
    }
    said["comparison"] = {"budget": 9.0, "measured": "validation", "rows": [row]}
    said["tested"] = {"budget": None, "measured": "test", "rows": [row]}
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(summary(said))
    text = capture.get()
    assert "\x1b" not in text
    assert " ".join(text.split("at 9s")[1].split("\n")[0].split()).startswith(
        "validation error 95 % over images, first seed 95 % over seeds"
    )
    assert text.count("at 9s") == 1, "what was trained for different times is at none"
    assert " ".join(text.split("validation error")[1].split("\n")[1].split()) == "wrn 0.25 0.24 to 0.26 0.2 to 0.3 3 36.5 5900 0.02"


def test_words_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    said = usual()
    said["study"]["unit"] = ":star:"
    cli_analyze._show([said], again=False)
    assert "400 :star:  " in capsys.readouterr().out


def test_a_summary_in_a_file_tells_what_is_not_claimed() -> None:
    said = usual()
    one, other = said["budgets"][0]["parameters"][:2]
    one |= {"name": "lr", "with_parents": 0.5, "claimed": True}
    other |= {"name": "width", "with_parents": 0.25, "claimed": False}
    file = io.StringIO()
    Console(width=250, file=file).print(summary(said))
    assert "lr 50 %, (width 25 %)" in file.getvalue()
    assert "in parentheses: where chance may have done it" in file.getvalue()
