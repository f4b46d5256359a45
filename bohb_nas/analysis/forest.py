"""A random forest over a conditional space: what is decomposed, and how well it predicts what it has not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from bohb_nas.analysis.boxes import Leaves, of_trees
from bohb_nas.analysis.cells import Box
from bohb_nas.analysis.layout import Layout
from bohb_nas.arrays import Floats

_LEAST_IN_LEAF = 3
"""Draws that a leaf has: leaves of fewer follow the noise, and cost most of the time. See decision 0015, also for _MAX_FEATURES."""
_MAX_FEATURES = 1.0
"""Share of the hyperparameters that a split may choose from."""
_MOST_DRAWS = 5000
"""Observations that a tree is grown on, with repetition; of more, each tree sees other ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees over one layout."""

    layout: Layout
    regressor: Any

    @property
    def trees(self) -> list[Any]:
        """scikit-learn's, each `tree_`."""
        return [one.tree_ for one in self.regressor.estimators_]

    def leaves(self) -> list[Leaves]:
        """The leaves of every tree."""
        return of_trees(self.trees, self.layout)

    def predict(self, points: Floats) -> Floats:
        """(trees, n) what each tree says of points (n, d) of the box."""
        features = np.ascontiguousarray(self.layout.features(points))
        return np.array([tree.predict(features).ravel() for tree in self.trees])

    def oob_r2(self, points: Floats, losses: Floats, *, cutoff: float = np.inf) -> float:
        """1 - squared error / variance, each loss (n,) predicted by trees that have not seen it, where there are any.

        Losses and predictions above the cut-off count as the cut-off; of losses that are then all equal nothing is predicted: 0.
        """
        unseen = np.ones((len(self.trees), len(losses)), dtype=np.bool_)
        for tree, drawn in enumerate(self.regressor.estimators_samples_):
            unseen[tree, drawn] = False
        counts = unseen.sum(axis=0)
        rated = counts > 0
        predicted = (np.minimum(self.predict(points), cutoff) * unseen).sum(axis=0)[rated] / counts[rated]
        truth = np.minimum(losses[rated], cutoff)
        variance = ((truth - truth.mean()) ** 2).sum()
        return float(1.0 - ((truth - predicted) ** 2).sum() / variance) if variance > 0 else 0.0


def fit(
    box: Box,
    points: Floats,
    losses: Floats,
    *,
    seed: int,
    n_trees: int,
    least_in_leaf: int = _LEAST_IN_LEAF,
    max_features: float = _MAX_FEATURES,
) -> Forest:
    """A forest on losses (n,) at points (n, d) of the box."""
    layout = Layout(box, points, losses)
    regressor = RandomForestRegressor(
        max_samples=min(len(losses), _MOST_DRAWS),
        n_estimators=n_trees,
        max_features=max_features,
        min_samples_leaf=least_in_leaf,
        bootstrap=True,
        random_state=seed,
    )
    return Forest(layout=layout, regressor=regressor.fit(layout.features(points), losses))
