"""Draws around the values that the user believes in: arrays in, arrays out.

Shapes: n points, d columns. A belief is a centre and a confidence k, above 0 and below 1. A number in [0, 1] is drawn from
a normal distribution around the centre with standard deviation (1 - k) / 2, cut off at 0 and 1. A categorical with c levels
is the centre with probability k + (1 - k) / c, and each other level with (1 - k) / c: with probability k the centre, else
any level.
"""

from collections.abc import Mapping

import numpy as np

from bohb_nas.arrays import Floats, Ints
from bohb_nas.knowledge import Belief
from bohb_nas.samplers.kde import normal
from bohb_nas.space.encoding import Encoding


def columns(encoding: Encoding, prior: Mapping[str, Belief]) -> tuple[Floats, Floats]:
    """The centres, as entries of the encoding, and the confidences of beliefs: (d,) and (d,), NaN where nothing is believed.

    Raises:
        SpaceError: a centre is no value of its hyperparameter, or there is no such hyperparameter.
    """
    centers = encoding.encode([{name: belief.center for name, belief in prior.items()}])[0]
    confidences = np.array([prior[name].confidence if name in prior else np.nan for name in encoding.names])
    return centers, confidences


def draw(rng: np.random.Generator, points: Floats, *, centers: Floats, confidences: Floats, levels: Ints) -> Floats:
    """Points (n, d) with every column that something is believed of drawn anew.

    Args:
        rng: all randomness.
        points: (n, d), whose other columns stay.
        centers: (d,) NaN where nothing is believed.
        confidences: (d,) above 0 and below 1, NaN where nothing is believed.
        levels: (d,) of categoricals, 0 for a number in [0, 1].
    """
    believed = ~np.isnan(centers)
    center, confidence, c = centers[believed], confidences[believed], levels[believed]
    shape = (len(points), len(center))
    numbers = normal(rng.random(shape), center, (1 - confidence) / 2)
    codes = np.where(rng.random(shape) < confidence, center, rng.integers(np.maximum(c, 1), size=shape))
    drawn = points.copy()
    drawn[:, believed] = np.where(c > 0, codes, numbers)
    return drawn
