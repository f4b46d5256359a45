"""The command `bohb-nas simulate`: optimizers on benchmark problems under a virtual clock."""

import json
from typing import Any

import click

from bohb_nas.option_types import MOST_SEEDS, PATH

_MOST_WORKERS = 10_000
"""A run pays for each worker, and remembers each seed, before it can end."""


@click.command()
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Where runs are kept; finished ones are reused.")
@click.option(
    "--method", "methods", multiple=True, metavar="M", help="NAME, FILE.py or module:attribute, perhaps with options: bohb[weighted=false]."
)
@click.option("--method-option", "options", multiple=True, metavar="[M:]K=V", help="An option for the methods that know it, or for one.")
@click.option("--problem", "problems", multiple=True, metavar="P", help="A problem of `bohb-nas list problems`.")
@click.option("--suite", metavar="S", help="Problems by the dozen: quick, standard, tuning, confirmation, synthetic.")
@click.option(
    "--workers", multiple=True, type=click.IntRange(1, _MOST_WORKERS), metavar="W", help="Workers at once; several are compared apart.  [4]"
)
@click.option("--seeds", "n_seeds", type=click.IntRange(1, MOST_SEEDS), metavar="N", help="Paired seeds.  [20]")
@click.option("--first-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the N.")
@click.option("--horizon", type=click.FloatRange(min=0, min_open=True, max=1e6), help="End, in mean costs of a full training.  [20]")
@click.option("--promote", type=click.Choice(["restart", "continue"]), help="What promoted configurations pay.  [restart]")
@click.option("--overhead", type=click.Choice(["none", "measured"]), help="Whether CPU seconds of the method pass on the clock.  [none]")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="J", help="Processes.")
@click.option("--report", is_flag=True, help="Run nothing: tables and figures of what is stored.")
@click.option("--results", type=PATH, multiple=True, metavar="DIR", help="Runs of another folder, read beside --out.")
@click.option("--reference", metavar="M", help="What the others are tested against.  [bohb_2018, else random_search, else the first]")
@click.option("--figures/--no-figures", default=True, show_default=True, help="Whether to draw.")
@click.option("--accept-changed-code", is_flag=True, help="Reuse runs although the code of method or problem has changed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def simulate(*, as_json: bool, **said: Any) -> None:
    """Compares methods on benchmark problems under a virtual clock: runs what DIR lacks, prints tables, draws figures."""
    from bohb_nas.display import say
    from bohb_nas.report.terminal import show
    from bohb_nas.simulation import tables
    from bohb_nas.simulation.request import Request, carry_out

    request = Request(**said)
    figures = carry_out(request, say)
    if as_json:
        click.echo(json.dumps({"comparisons": figures}))
    else:
        show(*map(tables.standings, figures), wide=True)
