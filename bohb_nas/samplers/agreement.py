"""How far a cheap rung can be trusted, and what follows: its say in the model, and where new configurations enter."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bohb_nas.arrays import Floats


def kendall(x: Floats, y: Floats) -> float:
    """Kendall's tau-b of pairs (n,), (n,), infinite ones among them; 0 where one side has only ties."""
    a, b = _order(x), _order(y)
    norm = np.sqrt((a != 0).sum() * (b != 0).sum())
    return float((a * b).sum() / norm) if norm else 0.0


def _order(x: Floats) -> NDArray[np.int8]:
    """1 where one of (n,) is larger than another, -1 where smaller, (n, n); without differences, which can overflow."""
    larger = x[:, None] > x
    return larger.astype(np.int8) - larger.T


def trust(tau: float, n: int) -> float:
    """Agreement measured on n configurations, drawn towards 0.5 as if 8 more had shown that."""
    return (n * tau + 4) / (n + 8)


def say(trust_: float) -> float:
    """The weight of a rung's density ratio beside the target rung's 1: the square of its trust, 0 up to 0.1."""
    return trust_**2 if trust_ > 0.1 else 0.0


def entry_chances(trusts: Sequence[float]) -> Floats:
    """How likely a new configuration enters at each rung, cheapest first, (K + 1,).

    Going up from the cheapest, a rung is taken with probability clip((t - 0.1) / 0.4, 0.05, 0.8); the top takes the rest.
    """
    theta = np.clip((np.asarray(trusts, dtype=np.float64) - 0.1) / 0.4, 0.05, 0.8)
    theta[-1] = 1.0
    return np.asarray(theta * np.concatenate([[1.0], np.cumprod(1 - theta[:-1])]))
