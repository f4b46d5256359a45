"""Kinds of option values on the command line: paths, durations, counts, and settings of a method or worker; several options at once."""

import math
import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from bohb_nas.durations import Timed, format_duration, parse_duration
from bohb_nas.entries import option_value
from bohb_nas.errors import DurationError, KnowledgeError, OptionError
from bohb_nas.knowledge import parse_number

MOST_SEEDS = 10_000
"""Of one command, each for minutes or more."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(*given: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """A decorator that adds options of click to a command, which shows them in this order."""
    return lambda command: reduce(lambda so_far, option: option(so_far), reversed(given), command)


class Named(click.Path):
    """A path; nothing is none, which would otherwise be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if not os.fspath(value):
            self.fail("'' names nothing; accepted is a path, the current folder is '.'", param, ctx)
        return super().convert(value, param, ctx)


PATH = Named(path_type=Path)
"""Of every option and argument that is one."""


class Duration(click.ParamType[float]):
    """A duration such as 400s, 20m, 1h30m or 3h."""

    name = "duration"
    also = ""
    """What else is accepted, for an error."""
    most_s = 10_000 * 86_400.0
    """What clocks and calendars can still wait for."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            seconds = value if isinstance(value, float) else parse_duration(str(value))
        except DurationError as e:
            self.fail(f"{e}{self.also}", param, ctx)
        if seconds > self.most_s:
            self.fail(f"{value!r} is too long; accepted: at most {format_duration(self.most_s)}", param, ctx)
        return seconds


class Budget(Duration):
    """A budget: a duration, or a plain number of whatever budgets count."""

    also = "; with --budget-unit, a plain number such as 27 or 1e-3"
    most_s = math.inf

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, `Timed` if a unit was typed."""
        found = super().convert(value, param, ctx)
        return Timed(found) if isinstance(value, str) and value.rstrip()[-1].isalpha() else found


class Count(click.ParamType[float]):
    """A number of things, such as 5000000, 5e6 or 5M."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            return value if isinstance(value, float) else parse_number(str(value))
        except KnowledgeError as e:
            self.fail(str(e), param, ctx)


class KeyValue(click.ParamType[tuple[str, Any]]):
    """KEY=VALUE, the value as JSON or as a plain word."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """The key and the value."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key.isidentifier():
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        try:
            return key, option_value(text)
        except OptionError as e:
            self.fail(str(e), param, ctx)
