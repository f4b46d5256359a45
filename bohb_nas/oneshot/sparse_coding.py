"""Which operators a node of a cell keeps, decided by a short code of which their weights are the sparse solution.

Of a node with n operators on its edges, ISTA-NAS (Yang et al. 2020, NeurIPS) trains a code of m < n numbers in place of n weights. Now
and then the sparsest weights with that code are recovered, the largest of them say what is kept, and only that is computed. In contrast
to the released code (`A` uniform, a Lasso with an intercept) the columns here are Gaussian of unit length and the recovery is exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bohb_nas.arrays import Floats

BETAS = (0.5, 0.999)
"""Of the codes' Adam, as ISTA-NAS has it."""
WEIGHT_DECAY = 1e-3
"""Likewise: times the code, added to its gradient."""
_EPSILON = 1e-8


def dictionary(n_columns: int, m: int, rng: np.random.Generator) -> Floats:
    """Random columns of unit length, [m, n_columns]: no operator is nearer to the others than another.

    Where there is room for it, they are at right angles: what a code learns of one operator then tells nothing of the others.
    """
    columns = rng.standard_normal((m, n_columns))
    if n_columns <= m:
        return np.asarray(np.linalg.qr(columns)[0])
    return np.asarray(columns / np.linalg.norm(columns, axis=0))


def recover(columns: Floats, code: Floats) -> Floats:
    """The weights of smallest ||x||_1 among those with columns @ x = code (basis pursuit; Chen, Donoho and Saunders 1998).

    A linear programme in the positive and negative parts of x, solved exactly by the simplex method. With no more columns than numbers
    there is nothing to choose, and the code, which training takes out of the columns' span, is met as nearly as possible instead.

    Args:
        columns: [m, n], of full rank.
        code: [m]

    Returns:
        [n]; at most m of them are not zero.
    """
    m, n = columns.shape
    if n <= m:
        return np.asarray(np.linalg.lstsq(columns, code, rcond=None)[0], dtype=np.float64)
    size = float(np.linalg.norm(code))
    if size == 0:
        return np.zeros(n)
    # the solver's tolerances are absolute, and x grows as the code does
    solved = linprog(np.ones(2 * n), A_eq=np.hstack([columns, -columns]), b_eq=code / size, bounds=(0, None), method="highs-ds")
    if not solved.success:
        raise ArithmeticError(f"no weights were found for a code of norm {size:g}: {solved.message}; codes must be finite numbers")
    return np.asarray(size * (solved.x[:n] - solved.x[n:]))


def support(x: Floats, edges: Sequence[int], n_kept: int, *, ties: Floats | None = None) -> tuple[int, ...]:
    """The columns that are kept: of every edge the operator with the largest |x|, and of these the `n_kept` largest.

    Args:
        x: [n]
        edges: of every column, the edge that its operator stands on.
        n_kept: edges that a node keeps.
        ties: [n], what decides by size between operators of equal |x|, such as several zeros; None takes the first.

    Returns:
        Columns in ascending order, no two on one edge.

    Raises:
        ValueError: fewer edges than are to be kept.
    """
    if len(set(edges)) < n_kept:
        raise ValueError(f"{n_kept} edges are to be kept; there are {len(set(edges))}")
    second = np.zeros_like(x) if ties is None else np.abs(ties)
    best: dict[int, int] = {}
    for column in sorted(range(len(x)), key=lambda c: (-abs(x[c]), -second[c], c)):
        best.setdefault(edges[column], column)
    return tuple(sorted(list(best.values())[:n_kept]))


def settled(x_new: Floats, x_last: Floats, limit: float) -> bool:
    """Whether weights [n] moved no further than the limit, as a Euclidean distance, from one recovery to the next."""
    return bool(np.linalg.norm(x_new - x_last) <= limit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """A node of a cell: its code, and what the last recovery made of it."""

    columns: Floats
    """[m, n]"""
    edges: tuple[int, ...]
    """Of every column, the edge that its operator stands on."""
    code: Floats
    """[m]; trained."""
    x: Floats
    """[n], of the last recovery."""
    kept: tuple[int, ...]
    """Columns that are computed until the next one, ascending."""

    def weights(self) -> Floats:
        """Weights of the kept operators, [k] in the order of `kept`: z_S = x_S + A_S^T (b - A_S x_S), as in ISTA-NAS.

        They follow the code between recoveries. Right after one they are x_S and what the operators that are left out would have
        added to the kept ones.
        """
        chosen = list(self.kept)
        part = self.columns[:, chosen]
        return self.x[chosen] + part.T @ (self.code - part @ self.x[chosen])

    def code_gradient(self, gradient: Floats) -> Floats:
        """The gradient of a loss by the code, [m], from that by the `weights`, [k]."""
        return self.columns[:, list(self.kept)] @ gradient

    def tried(self, rng: np.random.Generator) -> "Node":
        """With operators drawn at random, any as likely as the others on its edge, whose weights are 1 with the signs of their own.

        Under its own weight an operator that is not kept would hardly be heard, and learn little.
        """
        kept = support(rng.random(len(self.x)), self.edges, len(self.kept))
        signs = np.where(self.columns.T @ self.code < 0, -1.0, 1.0)
        return replace(self, x=signs, code=self.columns[:, list(kept)] @ signs[list(kept)], kept=kept)

    def with_code(self, code: Floats) -> "Node":
        """With another code [m] and the same operators."""
        return replace(self, code=code)

    def recovered(self) -> "Node":
        """With the operators that the code stands for now."""
        x = recover(self.columns, self.code)
        return replace(self, x=x, kept=support(x, self.edges, len(self.kept), ties=self.columns.T @ self.code))

    def state(self) -> dict[str, Any]:
        """All of it as JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("columns", "code", "x")}
        return {**arrays, "edges": list(self.edges), "kept": list(self.kept)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Node":
        """The inverse of `state`."""
        columns, code, x = (np.array(state[name], dtype=np.float64) for name in ("columns", "code", "x"))
        edges, kept = (tuple(map(int, state[name])) for name in ("edges", "kept"))
        return cls(columns=columns, edges=edges, code=code, x=x, kept=kept)


def initial(edges: Sequence[int], n_kept: int, *, m: int, rng: np.random.Generator) -> Node:
    """A node at the start of a search, recovered once.

    The code points anywhere with equal chance. Columns do too, so operators can change places without a change of the law: on edges with
    equally many of them, each is kept as often as every other. Its length is such that the weights have the root mean square 1, as the
    scales of a batch normalisation do: the codes of ISTA-NAS begin at 1e-3, and with them every node would put out next to nothing. A
    longer code has the same operators and proportional weights, so the length decides nothing else; but steps of the same size turn a
    long code less, and a rate for codes near 1e-3 is too small for these.

    Args:
        edges: of every column, the edge that its operator stands on.
        n_kept: edges that the node keeps.
        m: numbers of the code.
        rng: of the columns and the code.
    """
    columns = dictionary(len(edges), m, rng)
    code = rng.standard_normal(m)
    if len(edges) < m:
        code = columns @ np.linalg.lstsq(columns, code, rcond=None)[0]  # nothing of it lies where no operator reaches
    start = Node(columns=columns, edges=tuple(edges), code=code, x=np.zeros(len(edges)), kept=tuple(range(n_kept)))
    size = float(np.sqrt(np.mean(start.recovered().weights() ** 2)))
    return start.with_code(code / size).recovered()


class CodeAdam:
    """Adam (Kingma and Ba 2015) for one code, with weight decay in the gradient.

    Args:
        m: numbers of the code.
        rate: learning rate.
    """

    def __init__(self, m: int, *, rate: float) -> None:
        self._rate = rate
        self._steps, self._mean, self._square = 0, np.zeros(m), np.zeros(m)

    def step(self, code: Floats, gradient: Floats) -> Floats:
        """The next code; both [m]."""
        gradient = gradient + WEIGHT_DECAY * code
        first, second = BETAS
        self._steps += 1
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient**2
        mean, square = self._mean / (1 - first**self._steps), self._square / (1 - second**self._steps)
        return code - self._rate * mean / (np.sqrt(square) + _EPSILON)

    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON."""
        return {"steps": self._steps, "mean": self._mean.tolist(), "square": self._square.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self._steps = int(state["steps"])
        self._mean, self._square = (np.array(state[name], dtype=np.float64) for name in ("mean", "square"))
