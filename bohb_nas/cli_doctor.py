"""The command `bohb-nas doctor`: what this machine can do, and what is wrong with its set-up."""

import json

import click


@click.command()
@click.option("--device", metavar="D", help="cpu, cuda or cuda:N.  [the first GPU, else the processor]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(*, device: str | None, as_json: bool) -> None:
    """Device, measured peak, expected images per second, and what is wrong with the set-up."""
    from bohb_nas.display import say
    from bohb_nas.doctor.report import examine, text
    from bohb_nas.report.terminal import show

    found = examine(device, say)
    if as_json:
        click.echo(json.dumps(found))
    else:
        show(text(found), wide=True)
