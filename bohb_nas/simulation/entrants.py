"""Who takes part in a comparison: methods with their options, by name, file or `module:attribute`."""

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bohb_nas import refs
from bohb_nas.benchmarks import Problem
from bohb_nas.entries import option_value, refuse_unknown
from bohb_nas.errors import OptionError, UsageError
from bohb_nas.methods import Method, load_method, make_optimizer
from bohb_nas.one_shot_settings import SEARCHES
from bohb_nas.records import Value
from bohb_nas.simulation.code import fingerprint

_WITHIN = ("methods", "samplers", "hyperband", "space")
_BRACKETED = re.compile(r"(?P<reference>[^\[\]]+)(\[(?P<options>.*)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An option given to methods."""

    name: str
    value: Value | None
    method: str | None = None
    """The only method meant, as given or as its label without options; None means each that knows the option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A method with its options."""

    reference: str
    """NAME, absolute FILE.py or module:attribute."""
    options: Mapping[str, Value | None]
    """Those that were given."""
    label: str
    """Its name or the stem of its file, and its options: `bohb[weighted=false]`. What tables and files call it."""
    version: str | None
    """The module's own `VERSION`, if it has one: that of the package which it drives."""
    code: str
    """The fingerprint of its code."""

    def optimizer(self, problem: Problem, *, seed: int, n_workers: int) -> Method:
        """A fresh one.

        Raises:
            BohbNasError: the method refuses an option or the problem's space.
        """
        options = _options(self.reference, self.options)
        return make_optimizer(self.reference, space=problem.space, budgets=problem.budgets, seed=seed, n_workers=n_workers, options=options)


def setting(text: str) -> Setting:
    """Of `NAME=VALUE` or `METHOD:NAME=VALUE`, the value as JSON or as a plain word.

    Raises:
        OptionError: it is neither, or a number in it is not finite.
    """
    key, equals, value = text.partition("=")
    method, colon, name = key.rpartition(":")
    if not equals or not name.strip().isidentifier() or (colon and not method):
        raise OptionError(f"method option {text!r}: accepted is NAME=VALUE or METHOD:NAME=VALUE")
    return Setting(name=name.strip(), value=option_value(value), method=method or None)


def entrants(methods: Sequence[str], settings: Sequence[Setting] = ()) -> list[Entrant]:
    """The methods of a comparison, in the order given.

    Args:
        methods: NAME, FILE.py or module:attribute, each perhaps with options of its own: `bohb[weighted=false,good_fraction=0.2]`.
        settings: options for all that know them, or for one.

    Raises:
        RefError: a method leads to nothing.
        OptionError: a method refuses an option, or none knows it.
        UsageError: two methods would have the same label.
    """
    found = [_entrant(text, settings) for text in methods]
    for s in settings:
        if not any(s.name in entrant.options and _meant(s, entrant.reference) for entrant in found):
            raise OptionError(f"option {s.name!r}: {s.method or 'no method given'} does not take it; {_known(found)}")
    labels = [entrant.label for entrant in found]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise UsageError(f"method {twice[0]!r} is given twice; name each once, or give the options that tell them apart")
    return found


def _entrant(text: str, settings: Sequence[Setting]) -> Entrant:
    parts = _BRACKETED.fullmatch(text)
    own = [setting(item) for item in ((parts and parts["options"]) or "").split(",") if item]
    if parts is None or any(s.method is not None for s in own):
        raise OptionError(f"method {text!r}: accepted is METHOD or METHOD[NAME=VALUE,NAME=VALUE]")
    reference = parts["reference"]
    if reference in SEARCHES:
        raise OptionError(f"method {reference} searches in the worker, and benchmark problems have none; leave it out")
    module = load_method(reference)
    known = {field.name for field in fields(module.Options)}
    options = {s.name: s.value for s in settings if s.name in known and _meant(s, reference)} | {s.name: s.value for s in own}
    if reference.endswith(".py"):
        reference = str(Path(reference).resolve())
    _options(reference, options)
    version = getattr(module, "VERSION", None)
    source = inspect.getsourcefile(module if inspect.ismodule(module) else sys.modules[reference.partition(":")[0]])
    return Entrant(
        reference=reference,
        options=options,
        label=_name(reference) + _shown(options),
        version=None if version is None else str(version),
        code="unknown" if source is None else fingerprint(Path(source), within=_WITHIN),
    )


def _options(reference: str, options: Mapping[str, Value | None]) -> Any:
    """The method's own Options."""
    module = load_method(reference)
    refuse_unknown(f"method {_name(reference)}", options, [field.name for field in fields(module.Options)])
    return module.Options(**options)


def _meant(s: Setting, reference: str) -> bool:
    return s.method is None or s.method in (reference, _name(reference)) or str(Path(s.method).resolve()) == reference


def _known(found: Sequence[Entrant]) -> str:
    lists = [f"{_name(e.reference)}: {', '.join(f.name for f in fields(load_method(e.reference).Options)) or 'none'}" for e in found]
    return "known are, of " + "; of ".join(lists)


def _name(reference: str) -> str:
    return Path(reference).stem if refs.is_file(reference) else reference


def _shown(options: Mapping[str, Value | None]) -> str:
    return f"[{','.join(f'{name}={json.dumps(options[name])}' for name in sorted(options))}]".replace('"', "") if options else ""
