"""Suites of problems, and their split: settings are chosen on one half and confirmed on the other.

The standard suite has 20 problems or more, so that tests over problems can find something. Data need BOHB_NAS_DATA.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bohb_nas import refs
from bohb_nas.errors import ProblemError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Problems, and how they are searched unless told otherwise."""

    problems: tuple[str, ...]
    workers: tuple[int, ...]
    n_seeds: int
    horizon: float
    """In mean costs of a full training."""


_SYNTHETIC = ("condnet", "counting_ones", "hartmann", "rankcross")


def is_synthetic(problem: str) -> bool:
    """Whether it is a function with a known optimum, which needs no data."""
    return problem.partition("/")[0] in _SYNTHETIC


TUNING = (
    "lcbench/167168",
    "lcbench/189906",
    "rbv2_xgboost/16",
    "iaml_super/1489",
    "nb301_v0/cifar10",
    "jointnb301/cifar10",
    "taskset/patch128_LSTM128_avg_bs64",
    "condnet/noisy",
    "rankcross/0",
    "rankcross/1",
    "hartmann/6-moderate",
    "counting_ones/16+16",
)
"""Where settings may be chosen."""

CONFIRMATION = (
    "lcbench/189873",
    "lcbench/126026",
    "rbv2_xgboost/12",
    "rbv2_xgboost/1501",
    "rbv2_xgboost/40499",
    "iaml_super/1067",
    "iaml_super/41146",
    "taskset/patch32_GRU64_avg_bs128",
    "taskset/patch32_VRNN64_relu_avg_bs128",
    "rankcross/2",
    "hartmann/3-good",
    "fcnet/protein_structure",
    "fcnet/parkinsons_telemonitoring",
)
"""Where they must hold."""

SUITES = {
    "quick": Suite(problems=("condnet/noisy", "rankcross/0", "lcbench/167168", "nb301_v0/cifar10"), workers=(4,), n_seeds=5, horizon=10.0),
    "synthetic": Suite(
        problems=tuple(p for p in TUNING + CONFIRMATION if is_synthetic(p)),
        workers=(4,),
        n_seeds=5,
        horizon=10.0,
    ),
    "tuning": Suite(problems=TUNING, workers=(1, 4, 16), n_seeds=20, horizon=20.0),
    "confirmation": Suite(problems=CONFIRMATION, workers=(1, 4, 16), n_seeds=20, horizon=20.0),
    "standard": Suite(problems=TUNING + CONFIRMATION, workers=(1, 4, 16), n_seeds=20, horizon=20.0),
}
"""By name. `synthetic` needs no data."""


def load_suite(name: str) -> Suite:
    """The suite of a name.

    Raises:
        UsageError: no such suite.
    """
    if name not in SUITES:
        raise UsageError(f"unknown suite {name!r}; known: {', '.join(SUITES)}; or name problems with --problem")
    return SUITES[name]


def problem_names(say: Callable[[str], None]) -> list[str]:
    """Every FAMILY/INSTANCE of the catalogue; `say` hears of families whose data are not there, at once of those that lack the same."""
    found: list[str] = []
    absent: dict[str, list[str]] = {}
    for family in refs.names("problem"):
        try:
            found += [f"{family}/{instance}" for instance in refs.load_module("problem", family).instances()]
        except ProblemError as e:
            absent.setdefault(str(e).replace(family, "FAMILY"), []).append(family)
    for why, families in absent.items():
        say(f"{', '.join(families)}: {why}")
    return found
