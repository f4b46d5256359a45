"""The command `bohb-nas import-hpbandster`: what an HpBandSter run recorded becomes a study."""

from pathlib import Path

import click

from bohb_nas.durations import counted
from bohb_nas.files import pasted
from bohb_nas.option_types import PATH


@click.command(name="import-hpbandster")
@click.argument("source", metavar="FROM", type=PATH)
@click.argument("directory", metavar="DIR", type=PATH)
@click.option("--space", metavar="S", help="What was searched: a name, FILE.py, ConfigSpace's JSON, YAML or PCS.  [FROM/configspace.json]")
@click.option("--budget-unit", "unit", metavar="U", help="What budgets count: s for seconds, epochs, …  [not said]")
def import_hpbandster(*, source: Path, directory: Path, space: str | None, unit: str | None) -> None:
    """Makes a study in DIR of the log of an HpBandSter run, configs.json and results.json in FROM, for analyze, status, best and export."""
    from bohb_nas.display import say
    from bohb_nas.imports.hpbandster import bring

    imported = bring(source, directory, space=space, unit=unit)
    for note in imported.notes:
        say(note)
    say(f"{counted(imported.n_evaluations, 'evaluation')}: {directory}")
    click.echo(f"next: bohb-nas status {pasted(directory)}")
