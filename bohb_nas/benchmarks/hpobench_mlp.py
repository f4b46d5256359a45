"""HPOBench MLP: depth, width and training of a multilayer perceptron; loss 1 - balanced accuracy.

30,000 configurations of 5 hyperparameters, 5 repetitions each, of which 1, 2, 3 or 5 are averaged.
"""

from bohb_nas.benchmarks._grid import Grid

_GRID = Grid(folder="hpobench_mlp", whole=1.0, averaged=(1, 2, 3, 5))

instances, problem = _GRID.instances, _GRID.problem
