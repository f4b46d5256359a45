"""What every version of Syne Tune needs alike: hyperparameters in its words, and a random state of its own."""

from pathlib import Path
from typing import Any

from ConfigSpace.hyperparameters import FloatHyperparameter, Hyperparameter, IntegerHyperparameter, OrdinalHyperparameter

from bohb_nas import refs

Apart = refs.load_module("method", str(Path(__file__).with_name("apart.py"))).Apart
"""It draws from numpy's global generator beside its own."""

FLAT_SPACE = refs.load_module("method", str(Path(__file__).with_name("flat_space.py")))


def domain(it: Hyperparameter[Any, Any], domains: Any) -> Any:
    """A hyperparameter of a flat space as one of Syne Tune's `domains`, its module of that name."""
    match it:
        case FloatHyperparameter():
            return (domains.loguniform if it.log else domains.uniform)(float(it.lower), float(it.upper))
        case IntegerHyperparameter():
            return (domains.lograndint if it.log else domains.randint)(int(it.lower), int(it.upper))
        case OrdinalHyperparameter():
            return domains.ordinal(list(range(len(it.sequence))))
        case _:
            return domains.choice(list(range(FLAT_SPACE.n_levels(it))))
