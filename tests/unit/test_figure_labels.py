"""What stands in a figure for names, values and budgets: by hand."""

import findings_fakes
import pytest

from bohb_nas.records import Value
from bohb_nas.report.figures._labels import budget_colours, chance, count, number, said, short, short_name, stem


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
    assert [chance(p) for p in (0.0, 0.00005, 0.034, 1.0)] == ["p < 0.0001", "p < 0.0001", "p = 0.034", "p = 1"]


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
