"""The command `bohb-nas compare`: methods against each other at equal seconds of the device."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from bohb_nas.option_types import PATH, Count, Duration, KeyValue
from bohb_nas.study_options import study_options


def _split(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise click.BadParameter("it names none", ctx=context, param=parameter)
    return names


@click.command()
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--dataset", metavar="D", help="Data set, with a test part.  [digits]")
@click.option("--data-dir", type=PATH, help="Where data sets are kept.")
@click.option("--skip-unreadable", is_flag=True, help="Leave unreadable images out, with a warning, instead of refusing them.")
@click.option("--space", metavar="S", help="Search space.  [cell]")
@click.option(
    "--time",
    "time_s",
    type=Duration(),
    metavar="T",
    help="Of the device for each method and seed, retraining counted; at least 20s.  [10m]",
)
@click.option("--seeds", type=int, metavar="N", help="Searches of each method; may grow.  [3]")
@click.option(
    "--methods",
    metavar="M,M",
    callback=_split,
    help="bohb, bohb_2018, hyperband, random_search, autohas, dha, one_shot_uniform, one_shot_random, fixed, trivial_augment; may grow.  "
    "[all but bohb_2018 and hyperband]",
)
@click.option("--train-time", "train_s", type=Duration(), metavar="T", help="Dearest training of methods that train many.  [time / 9]")
@click.option("--device", metavar="NAME", help="The name of a device, such as cpu1.  [the first]")
@click.option("--worker-option", "worker_options", type=KeyValue(), multiple=True, help="As of `run`.")
@click.option("--max-params", type=Count(), metavar="N", help="Train nothing with more parameters: 5e6, 5M.")
@click.option("--max-flops", type=Count(), metavar="N", help="Train nothing with more FLOPs per image: 5e8, 500M.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def compare(*, directory: Path, worker_options: tuple[Any, ...], as_json: bool, **said: Any) -> None:
    """Compares methods at equal seconds of the device, and tests what each came to. Run it again and it resumes."""
    from bohb_nas.comparison import refusals
    from bohb_nas.comparison.arrangement import Request
    from bohb_nas.comparison.run import compare as carry_out
    from bohb_nas.comparison.table import table
    from bohb_nas.display import say
    from bohb_nas.report.terminal import show

    request = Request(worker_options=dict(worker_options), **said)
    found = carry_out(directory, request, say, test=_test, check=partial(refusals.check, parse=_parse))
    if as_json:
        click.echo(json.dumps(found))
    else:
        show(table(found), wide=True)
        click.echo(f"figure: {directory}/comparison.png; tables: {directory}/comparison.csv and comparison.json")
    if found["interrupted"] or found["failed"]:
        sys.exit(1)


def _parse(options: Sequence[str]) -> Any:
    """What `bohb-nas run` makes of options: the same, without the program."""
    return _options.main([*options], prog_name="run", standalone_mode=False)


@click.command()
@study_options
def _options(**said: Any) -> Any:
    from bohb_nas.engine.plan import Request

    return Request(**said)


def _test(*cell: Any) -> dict[str, Any]:
    """Imports torch only once something is to be tested: searches run for hours before."""
    from bohb_nas.comparison.judging import judge

    return judge(*cell)
