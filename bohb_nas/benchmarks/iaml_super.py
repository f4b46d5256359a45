"""A choice of four learners with their hyperparameters (YAHPO Gym before 1.0): 28, of them 27 conditional; loss misclassified share."""

from bohb_nas.benchmarks._laddered import ladder
from bohb_nas.benchmarks._surrogate import Surrogate

_SURROGATE = Surrogate(
    folder="iaml_super", target="mmce", fidelities=(1 / 27, 1 / 9, 1 / 3, 1.0), budgets=ladder(1.0, 4, unit="of the training set")
)

instances, problem = _SURROGATE.instances, _SURROGATE.problem
