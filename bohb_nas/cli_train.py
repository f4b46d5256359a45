"""The command `bohb-nas train`: what was found, trained for good."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from bohb_nas.durations import counted
from bohb_nas.option_types import MOST_SEEDS, PATH, Duration, KeyValue, Named
from bohb_nas.store.study_dir import StudyDir


@click.command()
@click.argument("source", metavar="DIR|CONFIG.json", type=Named(path_type=Path, exists=True))
@click.option("--budget", type=Duration(), help="Training time of each seed.  [the study's dearest budget]")
@click.option("--seeds", "n_seeds", type=click.IntRange(1, MOST_SEEDS), default=3, show_default=True, help="How many trainings.")
@click.option("--dataset", metavar="D", help="Data set.  [the study's]")
@click.option("--data-dir", type=PATH, help="Where data sets are kept.")
@click.option("--skip-unreadable", is_flag=True, help="Leave unreadable images out instead of refusing them.  [as the study]")
@click.option("--worker-option", "worker_options", type=KeyValue(), multiple=True, help="As of `run`: network=FILE.py.  [the study's]")
@click.option("--out", type=PATH, help="Where the models go.  [DIR/trained, or ./trained]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def train(
    *, source: Path, n_seeds: int, worker_options: tuple[Any, ...], skip_unreadable: bool, out: Path | None, as_json: bool, **said: Any
) -> None:
    """Trains the incumbent, or a configuration, for good: all training images, one test per seed, models exported.

    Run it again, and only the seeds are trained that have no model yet.
    """
    from bohb_nas import standstill
    from bohb_nas.datasets import load_dataset, refuse_unreadable
    from bohb_nas.display import say
    from bohb_nas.report import tables
    from bohb_nas.report.final import read_source, summary
    from bohb_nas.report.terminal import show
    from bohb_nas.training.final import train_final
    from bohb_nas.training.policies import NONE
    from bohb_nas.training.policy_files import from_file
    from bohb_nas.workers.image_classifier import read_options

    standstill.watch()
    found = read_source(source, options=dict(worker_options), **said)
    options = read_options(found.options)
    policy = NONE if options.policy_file is None else from_file(Path(options.policy_file))
    folder = out if out is not None else found.folder / "trained"
    data = load_dataset(options.dataset, data_dir=options.folder)
    if not (skip_unreadable or found.skip_unreadable):
        refuse_unreadable(data, options.dataset)
    data.test_part(options.dataset if options.data_dir is None else f"{options.dataset} in {options.data_dir}")
    for remark in [*data.remarks, *([f"{counted(len(data.skipped), 'unreadable image')} left out"] if data.skipped else [])]:
        say(f"data set {data.name}: {remark}")
    if found.fingerprint not in (None, data.fingerprint):
        say(f"warning: data set {data.name} has changed since the study started; this trains on it as it is now")
    with _own_device(source, options.device), _threads(options.n_threads, options.device):
        rows = train_final(
            found.config,
            dataset=data,
            budget_s=found.budget,
            seeds=range(n_seeds),
            out=folder,
            schedule=options.schedule,
            rung=found.rung,
            device=options.device,
            precision=options.precision,
            compile=options.compile,
            min_steps=options.min_steps,
            max_steps=options.max_steps,
            network=options.network,
            policy=policy,
            say=say,
        )
    figures = summary([dataclasses.asdict(row) for row in rows], dataset=data.name, budget=found.budget)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        show(tables.final(figures))
        for row in rows:
            if (folder / f"seed-{row.seed}/model.pt2").is_file():
                click.echo(f"model: {folder}/seed-{row.seed}/model.pt2 with model.safetensors and model.json")
    if figures["test_error_mean"] is None or len(rows) < n_seeds:
        sys.exit(1)


@contextmanager
def _threads(n: int | None, device: str | None) -> Iterator[None]:
    """Lets torch use so many threads of the CPU; None takes what a worker would take on the device."""
    import torch

    from bohb_nas.display import say
    from bohb_nas.engine.devices import called, named_device, threads_spared

    before = torch.get_num_threads()
    if n is None:
        mine = named_device(called(device))
        n = int(mine.environment.get("OMP_NUM_THREADS", before))
        if note := threads_spared([mine]):
            say(note)
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _own_device(source: Path, said: str | None) -> AbstractContextManager[object]:
    """Keeps the study's workers off the device while something else trains there.

    Args:
        source: a study, or a configuration by itself, which nobody else trains.
        said: cpu, cuda or cuda:N; None is the first that there is.

    Raises:
        DeviceBusyError: one of them owns it.
    """
    from bohb_nas.engine.devices import called, own

    return own(StudyDir(source.absolute()), called(said)) if source.is_dir() else nullcontext()
