"""NAS-Bench-301 (YAHPO Gym before 1.0): DARTS cells on CIFAR-10; loss 100 - validation accuracy in %, epochs 3, 11, 33, 98.

34 categoricals, 24 of them conditional.
"""

from bohb_nas.benchmarks._laddered import ladder
from bohb_nas.benchmarks._surrogate import Surrogate

SURROGATE = Surrogate(
    folder="nb301_v0",
    target="val_accuracy",
    whole=100.0,
    fidelities=(3, 11, 33, 98),
    budgets=ladder(98.0, 4, unit="epochs"),
    only="cifar10",
)

instances, problem = SURROGATE.instances, SURROGATE.problem
