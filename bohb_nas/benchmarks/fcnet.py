"""FCNet (Klein and Hutter 2019): architecture and training of a small regression network; loss validation MSE.

62,208 configurations of 9 hyperparameters, 4 repetitions each, of which 1, 2 or 4 are averaged.
"""

from bohb_nas.benchmarks._grid import Grid

_GRID = Grid(folder="fcnet", averaged=(1, 2, 4))

instances, problem = _GRID.instances, _GRID.problem
