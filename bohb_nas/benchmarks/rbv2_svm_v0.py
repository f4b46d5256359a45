"""Support vector machines (YAHPO Gym before 1.0): 6 hyperparameters, 2 conditional; loss misclassified share, 1/27 to all of the set."""

from bohb_nas.benchmarks._laddered import ladder
from bohb_nas.benchmarks._surrogate import Surrogate

_SURROGATE = Surrogate(
    folder="rbv2_svm_v0",
    target="mmce",
    fidelities=(1 / 27, 1 / 9, 1 / 3, 1.0),
    budgets=ladder(1.0, 4, unit="of the training set"),
    fixed={"repl": 10},
)

instances, problem = _SURROGATE.instances, _SURROGATE.problem
