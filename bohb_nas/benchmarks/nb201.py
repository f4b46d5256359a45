"""NAS-Bench-201: the cells of a network on CIFAR-10; loss 100 - validation accuracy in %.

15,625 cells of 6 categoricals, up to 3 repetitions each, of which 1 or 3 are averaged; where one is missing, those that are there.
"""

from bohb_nas.benchmarks._grid import Grid

_GRID = Grid(folder="nb201", whole=100.0, averaged=(1, 3))

instances, problem = _GRID.instances, _GRID.problem
