"""The options of `bohb-nas run` that say what is known before the search starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bohb_nas.errors import KnowledgeError
from bohb_nas.knowledge import parse_number

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Count(click.ParamType[float]):
    """A number of things, such as 5000000, 5e6 or 5M."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            return value if isinstance(value, float) else parse_number(str(value))
        except KnowledgeError as e:
            self.fail(str(e), param, ctx)


def knowledge_options(command: _Command) -> _Command:
    """Adds the options to a command; their values are fields of `Request`."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--max-flops", type=Count(), metavar="N", help="Train nothing with more FLOPs per image: 5e8, 500M."),
        click.option("--max-params", type=Count(), metavar="N", help="Train nothing with more parameters: 5e6, 5M."),
        click.option("--constraint", "constraints", multiple=True, metavar="C", help="A bound on a metric: 'params<=5M', 'latency<=0.01'."),
        click.option("--warm-start", multiple=True, type=path, metavar="DIR", help="Learn from an earlier study, also of another space."),
        click.option("--prior", type=path, metavar="FILE", help="Where good values are expected, and how surely: JSON or YAML."),
        click.option("--initial", metavar="FILE", help="Configurations to try first: JSON, YAML, or a name such as joint_hand_designed."),
    ):
        command = option(command)
    return command
