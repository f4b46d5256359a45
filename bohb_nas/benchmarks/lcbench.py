"""LCBench (YAHPO Gym 1.0): shape and training of a multilayer perceptron; loss 100 - validation accuracy in %, epochs 2, 6, 17, 51."""

from bohb_nas.benchmarks._laddered import ladder
from bohb_nas.benchmarks._surrogate import Surrogate

_SURROGATE = Surrogate(
    folder="lcbench", target="val_accuracy", whole=100.0, fidelities=(2, 6, 17, 51), budgets=ladder(51.0, 4, unit="epochs")
)

instances, problem = _SURROGATE.instances, _SURROGATE.problem
