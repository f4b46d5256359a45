"""Decision trees (YAHPO Gym 1.0): 5 hyperparameters; loss 1 - accuracy, 1/27 to all of the training set."""

from bohb_nas.benchmarks._laddered import ladder
from bohb_nas.benchmarks._surrogate import Surrogate

_SURROGATE = Surrogate(
    folder="rbv2_rpart",
    target="acc",
    whole=1.0,
    fidelities=(1 / 27, 1 / 9, 1 / 3, 1.0),
    budgets=ladder(1.0, 4, unit="of the training set"),
    fixed={"repl": 10},
)

instances, problem = _SURROGATE.instances, _SURROGATE.problem
