"""What stands in a figure for names, values and budgets: by hand."""

from pathlib import Path
from typing import Literal

import findings_fakes
import pytest
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bohb_nas.plotting import save
from bohb_nas.records import Value
from bohb_nas.report.figures._labels import budget_colours, count, number, said, short, short_name, stem
from bohb_nas.report.figures._panels import plain_ticks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "inactive"),
        (True, "True"),
        (3, "3"),
        (1_234_567, "1.23e6"),
        (0.1, "0.1"),
        (1e-5, "1e-5"),
        (2.5e10, "2.5e10"),
        ("x" * 20, "xxxxxxxx…xxxxxxx"),
    ],
)
def test_values(value: Value | None, text: str) -> None:
    assert said(value) == text


def test_numbers() -> None:
    assert [number(x) for x in (0.0, -1e-12, 1e100, 123456.0)] == ["0", "-1e-12", "1e100", "1.23e5"]
    assert [count(x) for x in (None, 12.0, 1_700_000.0, 2.5e9, 464.0)] == ["?", "12", "1.7 M", "2.5 G", "464"]


def test_counts_just_below_a_step_are_of_the_next_one() -> None:
    assert [count(x) for x in (999.7, 999_400.0, 999_600.0, -999_950_000.0)] == ["1 k", "999 k", "1 M", "-1 G"]


@pytest.mark.parametrize(
    ("low", "high", "scale", "expected"),
    [
        (1021.0, 1023.0, "linear", ["1021", "1021.5", "1022", "1022.5", "1023"]),
        (1021.0, 1023.0, "log", ["1021", "1021.5", "1022", "1022.5", "1023"]),
        (-1000000.8, -1000000.0, "linear", ["-1000000.75", "-1000000.5", "-1000000.25", "-1000000"]),
        (0.0, 0.8, "linear", ["0", "0.2", "0.4", "0.6", "0.8"]),
        (1e-3, 10.0, "log", ["0.001", "0.1", "10"]),
        (0.0, 2e6, "linear", ["0", "5e5", "1e6", "1.5e6", "2e6"]),
    ],
)
def test_ticks_say_where_they_are(low: float, high: float, scale: Literal["linear", "log"], expected: list[str]) -> None:
    place = Figure().subplots()
    place.set_yscale(scale)
    place.set_ylim(low, high)
    plain_ticks(place, "y")
    place.figure.draw_without_rendering()  # type: ignore[union-attr]
    inside = [t for t, at in zip(place.yaxis.get_majorticklabels(), place.yaxis.get_majorticklocs(), strict=True) if low <= at <= high]
    assert [t.get_text() for t in inside] == expected


def test_the_label_of_a_colour_bar_stands_beside_its_numbers(tmp_path: Path) -> None:
    figure = Figure(figsize=(7, 3), layout="constrained")
    bar = figure.colorbar(ScalarMappable(Normalize(0.12, 0.31)), ax=figure.subplots(), pad=0.01, aspect=25)
    bar.set_label("loss")
    save(figure, tmp_path / "x", formats=["png"])
    numbers = max(text.get_window_extent().x1 for text in bar.ax.get_yticklabels())
    assert bar.ax.yaxis.label.get_window_extent().x0 > numbers


def test_long_names_keep_both_ends() -> None:
    assert short("short") == "short"
    assert short("two\nlines  and   spaces") == "two lines and spaces"
    assert short("abcdefghij", 7) == "abc…hij"


def test_long_names_of_one_space_stay_apart() -> None:
    names = [f"augmentation:operation_{k}:magnitude_of_it" for k in (1, 10, 11)] + ["x" * 40, "x" * 41]
    found = findings_fakes.findings(names=names, n_axes=6, n_configs=1)
    for most in (16, 20, 26, 60):
        shown = [short_name(name, found, most) for name in names]
        assert len(set(shown)) == len(names)
        assert max(map(len, shown)) <= most


def test_files_have_names_that_every_system_takes() -> None:
    taken: set[str] = set()
    names = ["depth", "Depth", "a/b", "a b", "..", "", "学习率", "x" * 300, "$"]
    stems = [stem("marginal", name, taken) for name in names]
    assert stems[0] == "marginal-depth"
    assert len({one.lower() for one in stems}) == len(names)
    assert all(one.isascii() and "/" not in one and len(one) < 100 for one in stems)


def test_dearer_budgets_are_lighter() -> None:
    colours = budget_colours([9.0, 1.0, 3.0])
    assert list(colours) == [1.0, 3.0, 9.0]
    light = [sum(int(colour[k : k + 2], 16) for k in (1, 3, 5)) for colour in colours.values()]
    assert light == sorted(light)
    assert set(budget_colours([5.0])) == {5.0}
