"""How many digits tell losses apart."""

import pytest

from bohb_nas.report.digits import digits


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 4),
        ([0.5], 4),
        ([0.5, 0.5, None], 4),
        ([0.1, 0.9], 4),
        ([-1e308, 1e308], 4),  # their difference is beyond every float
        ([1000.0, 1010.0], 6),  # 1010 is 101 times the spread: 1000.00 and 1010.00 have four digits of it
        ([-1000000.82, -1000000.08], 10),
        ([1.0, 1.0 + 2.0**-52], 17),
        ([1e-300, 1.01e-300], 6),
    ],
)
def test_digits_of_the_spread(values: list[float | None], expected: int) -> None:
    assert digits(values, 4) == expected
