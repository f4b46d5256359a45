"""Families that are finite pools of trained configurations: a configuration stands for the nearest one of the pool."""

import numpy as np
from numpy.typing import NDArray

from bohb_nas.arrays import Floats


class Pool:
    """The places of the pool's configurations, (n, d), and which of them is nearest by Euclid; the first of equals."""

    def __init__(self, positions: Floats) -> None:
        self._positions = positions
        self._half_squares = 0.5 * (positions**2).sum(1)

    def nearest(self, place: Floats) -> int:
        """To a place, (d,): the row."""
        return int((self._half_squares - self._positions @ place).argmin())

    def nearest_rows(self, places: Floats) -> NDArray[np.int64]:
        """To places, (m, d): the rows, (m,)."""
        rows: NDArray[np.int64] = (self._half_squares - places @ self._positions.T).argmin(1)
        return rows
