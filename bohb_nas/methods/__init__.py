"""The catalogue of methods: each file is one, and its name is the name on the command line.

A method module offers `Options`, a frozen dataclass of plain values, and
`make(*, space, budgets, seed, n_workers, options, knowledge)`, which returns a `Method`. One that cannot use what is
known beforehand leaves `knowledge` out. `Brackets` and `Ladder`, on which one can be built, are imported when they are
first used (PEP 562): they need ConfigSpace.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from bohb_nas import refs
from bohb_nas.entries import is_whole
from bohb_nas.errors import KnowledgeError, OptionError, RecordError, RefError, SpaceError, UsageError
from bohb_nas.knowledge import NOTHING, Knowledge
from bohb_nas.records import Budgets, Idle, Optimizer, Trial

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

    from bohb_nas.methods._brackets import Brackets as Brackets
    from bohb_nas.methods._ladder import Ladder as Ladder


def __getattr__(name: str) -> Any:
    if name in ("Brackets", "Ladder"):
        return getattr(importlib.import_module(f"bohb_nas.methods._{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Method(Optimizer, Protocol):
    """An optimizer that says why, and that can be brought back from a journal; of several results of a trial the first counts.

    Where it has them, the engine also reads `explanation`, an object of JSON behind the reason, after an ask; calls `promotable()`, the
    configurations whose checkpoints may still be continued, after a tell; and shows `given_up`, why it is over before its end, and `left`,
    what a stop rule kept it from, at the end.
    """

    @property
    def reason(self) -> str:
        """Why the last ask came out as it did."""
        ...

    def replay(self, trial: Trial) -> None:
        """Takes back a trial that was asked before an interruption, instead of an ask."""
        ...


def ask(optimizer: Optimizer) -> Trial | Idle:
    """What an optimizer asks, once it is known to be something that can be asked.

    Raises:
        RecordError: it is neither a trial nor Idle.
    """
    asked = optimizer.ask()
    if not isinstance(asked, Trial | Idle):
        raise RecordError(f"the method asked for {repr(asked)[:200]}; accepted is a Trial, Idle.WAIT or Idle.DONE")
    return asked


def load_method(reference: str, *, start: str | None = None) -> Any:
    """The module of a method: it offers `Options`, a dataclass, and `make`.

    Args:
        reference: NAME of the catalogue, FILE.py or module:attribute.
        start: the folder where the study was started that names it; None is the current one.

    Raises:
        RefError: it leads to nothing, or to something that does not offer them.
    """
    module = refs.load_module("method", reference, start=start)
    if not (is_dataclass(getattr(module, "Options", None)) and callable(getattr(module, "make", None))):
        raise RefError(f"method {reference!r} does not offer a dataclass Options and make(); known: {', '.join(refs.names('method'))}")
    return module


def make_optimizer(
    method: str,
    *,
    space: ConfigurationSpace,
    budgets: Budgets,
    seed: int = 0,
    n_workers: int = 1,
    options: Any = None,
    knowledge: Knowledge = NOTHING,
) -> Method:
    """The optimizer of a method.

    Args:
        method: NAME of the catalogue, FILE.py or module:attribute.
        space: what to search; it is copied.
        budgets: the ladder.
        seed: with the order of asks and results it determines every proposal.
        n_workers: how many trials will run at once.
        options: the method module's own `Options`; None means its defaults.
        knowledge: what is known beforehand.

    Raises:
        RefError: the method leads to nothing that makes an optimizer.
        SpaceError: the space is none of ConfigSpace's, or none that can be searched.
        UsageError: the budgets are none.
        OptionError: the method refuses the seed, the number of workers or an option.
        KnowledgeError: the method cannot use what is known beforehand, or it does not fit the space.
    """
    from ConfigSpace import ConfigurationSpace  # here and below: the list of methods does without it

    from bohb_nas.space import encoding, files

    module = load_method(method)
    if not isinstance(space, ConfigurationSpace):
        raise SpaceError(
            f"space {repr(space)[:200]}: accepted is a ConfigSpace.ConfigurationSpace, such as ConfigurationSpace({{'x': (0.0, 1.0)}})"
        )
    files.check_space(space, name=space.name or "space")
    if not isinstance(budgets, Budgets):
        raise UsageError(f"budgets {budgets!r}: accepted is a bohb_nas.Budgets, such as Budgets(min=1, max=9)")
    if options is None:
        options = module.Options()
    if not isinstance(options, module.Options):
        raise OptionError(f"options {options!r}: method {method} accepts its own {module.__name__}.Options")
    seed, n_workers = encoding.plain(seed), encoding.plain(n_workers)
    if not is_whole(seed, 0):
        raise OptionError(f"seed {seed!r}: accepted is a whole number from 0")
    if not is_whole(n_workers, 1):
        raise OptionError(f"{n_workers!r} workers: accepted is a whole number from 1")
    if knowledge is not NOTHING:
        from bohb_nas.methods._knowledge import fitted

        knowledge = fitted(knowledge, space)
    known: dict[str, Any] = {"knowledge": knowledge} if "knowledge" in inspect.signature(module.make).parameters else {}
    if not known and knowledge != NOTHING:
        raise KnowledgeError(f"method {method} takes no initial configurations, priors, earlier studies or constraints; leave them out")
    made = module.make(space=space, budgets=budgets, seed=seed, n_workers=n_workers, options=options, **known)
    if lacking := [name for name in ("ask", "tell") if not callable(getattr(made, name, None))]:
        raise RefError(
            f"method {method!r} has a make() that returns a {type(made).__name__} without {' and '.join(lacking)}; accepted is an "
            "optimizer, with ask() -> Trial | Idle and tell(result)"
        )
    return cast(Method, made)
