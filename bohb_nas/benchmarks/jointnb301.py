"""JointNB301: the cells of NAS-Bench-301 together with CondNet's training recipe, the nearest thing to a real joint search.

44 hyperparameters, 30 of them conditional; epochs 3, 11, 33, 98, seconds, no noise. With z = epoch / 98, L = 1 + min(3,
floor(skip connections / 3)) as the depth that the recipe's best learning rate depends on, and slow in [0, 1],

    loss % = 100 - accuracy(cells, epoch) + 15 f_recipe(L) + 12 slow (z^-0.5 - 1) / ((3/98)^-0.5 - 1)

The cost is that of the cells times the augmentation's. The best known loss is that of the cells alone: the recipe's is 0.
"""

from collections.abc import Mapping

from bohb_nas.benchmarks import Observation, Problem
from bohb_nas.benchmarks._laddered import Laddered
from bohb_nas.benchmarks._recipe import AUGMENTATION_COST, Judged, add_recipe, judge
from bohb_nas.benchmarks._surrogate import Curve, Curves
from bohb_nas.benchmarks.nb301_v0 import SURROGATE
from bohb_nas.records import Value

# over 20,000 random configurations, `Encoding.sample(0)` to `Encoding.sample(19999)`
_MEDIAN, _MEAN_COST_S = 6.590, 6455.0


def instances() -> tuple[str, ...]:
    """CIFAR-10 alone."""
    return SURROGATE.instances()


def problem(instance: str) -> Problem:
    """The joint search.

    Raises:
        ProblemError: no data, or no onnxruntime.
    """
    cells = SURROGATE.problem(instance)
    curves = Curves(SURROGATE, instances()[0])
    searched, epochs = frozenset(cells.space), SURROGATE.fidelities
    space = curves.space
    add_recipe(space)
    shortfall = [((98 / epoch) ** 0.5 - 1) / ((98 / epochs[0]) ** 0.5 - 1) for epoch in epochs]

    def parts(config: Mapping[str, Value]) -> tuple[Curve, Judged]:
        architecture = {key: value for key, value in config.items() if key in searched}
        depth = 1 + min(3, list(architecture.values()).count("skip_connect") // 3)
        return curves(architecture), judge(config, depth)

    def observe(config: Mapping[str, Value], rung: int, seed: int) -> Observation:
        curve, recipe = parts(config)
        late = 12 * (0.5 * recipe.slow_rate + 0.5 * recipe.slow_augmentation) * shortfall[rung]
        cost = curve.costs[rung] * AUGMENTATION_COST[str(config["augmentation"])]
        return Observation(loss=curve.losses[rung] + 15 * recipe.loss + late, cost=cost)

    def exact(config: Mapping[str, Value]) -> float:
        curve, recipe = parts(config)
        return curve.losses[-1] + 15 * recipe.loss

    return Laddered(
        name="jointnb301/cifar10",
        space=space,
        budgets=cells.budgets,
        best=cells.best,
        median=_MEDIAN,
        mean_cost=_MEAN_COST_S,
        observe=observe,
        exact=exact,
    )
