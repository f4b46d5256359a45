"""The options of `bohb-nas run` that say how machines work together."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bohb_nas.option_types import Duration

_Command = TypeVar("_Command", bound=Callable[..., Any])


def cluster_options(*, listen: str) -> Callable[[_Command], _Command]:
    """Adds the options to a command; their values are fields of `Request`.

    Args:
        listen: where the command lets others reach this machine unless it is said.
    """
    options = (
        click.option("--require-same-gpu/--mixed-gpus", default=None, help="Refuse workers on another model than the first's.  [mixed]"),
        click.option("--lease-time", "lease_s", type=Duration(), metavar="T", help="After which a lease ends unless renewed.  [60s]"),
        click.option(
            "--lock",
            type=click.Choice(["kernel", "lease"]),
            help="How masters keep each other out.  [kernel; lease where locks do not reach other machines]",
        ),
        click.option("--listen", metavar="WHERE", help=f"Where other machines reach this one: host, an interface, an address.  [{listen}]"),
    )

    def add(command: _Command) -> _Command:
        for option in options:
            command = option(command)
        return command

    return add
