"""The command `bohb-nas baselines`: hand-designed networks through the same worker and budget as a search."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from bohb_nas.errors import UsageError
from bohb_nas.option_types import MOST_SEEDS, PATH, Duration


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=PATH)
@click.option("--list", "listed", is_flag=True, help="Train nothing: names, parameters and FLOPs.")
@click.option("--only", "names", multiple=True, metavar="NAME", help="A network of --list; may be repeated.  [all]")
@click.option("--dataset", metavar="D", help="Data set.  [the study's, else cifar10]")
@click.option("--data-dir", type=PATH, help="Where data sets are kept.")
@click.option("--skip-unreadable", is_flag=True, help="Leave unreadable images out, with a warning, instead of refusing them.")
@click.option("--budget", type=Duration(), help="Training time of each.  [the study's dearest budget, else 400s]")
@click.option("--seeds", "n_seeds", type=click.IntRange(1, MOST_SEEDS), default=3, show_default=True, help="How many trainings of each.")
@click.option("--device", metavar="NAME", help="The name of a device, such as cpu1.  [the first]")
@click.option("--retry-failed", is_flag=True, help="Train once more what has failed; the record of the failure stays.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --list a list.")
def baselines(*, directory: Path | None, listed: bool, as_json: bool, names: tuple[str, ...], **said: Any) -> None:
    """Trains hand-designed networks beside the search of DIR, and compares. Run it again and it resumes."""
    from bohb_nas.baselines import find, table
    from bohb_nas.baselines.tables import catalogue, comparison
    from bohb_nas.display import say
    from bohb_nas.report.terminal import show

    if listed:
        chosen = find(names)
        click.echo(json.dumps(table(chosen))) if as_json else show(catalogue(chosen), wide=True)
        return
    if directory is None:
        raise UsageError("baselines are trained in a study; give its DIR, or a new one, or --list")
    from bohb_nas.baselines.run import Request, run

    found = run(directory, Request(names=names, **said), say)
    click.echo(json.dumps(found)) if as_json else show(comparison(found), wide=True)
    if not any(row["n_seeds"] for row in found["rows"]):
        sys.exit(1)
