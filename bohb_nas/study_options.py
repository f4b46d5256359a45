"""The options that say what a study is, and how machines work together: shared by the commands that can make one."""

from collections.abc import Callable
from typing import Any

import click

from bohb_nas.option_types import PATH, Budget, Count, Duration, KeyValue, options


def _settings(context: click.Context, parameter: click.Parameter, pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    del context, parameter
    return dict(pairs)


study_options = options(
    click.option("--space", metavar="S", help="Search space: a name, FILE.py, ConfigSpace's YAML or JSON.  [joint; of dha: cell]"),
    click.option("--dataset", metavar="D", help="Data set: a name, image_folder:PATH, or FILE.py.  [cifar10]"),
    click.option("--data-dir", type=PATH, help="Where data sets are kept."),
    click.option("--skip-unreadable", is_flag=True, help="Leave unreadable images out, with a warning, instead of refusing them."),
    click.option(
        "--worker",
        metavar="W",
        help="What trains a configuration: a name or FILE.py.  [image_classifier; of autohas and dha: one_shot]",
    ),
    click.option("--command", metavar="C", help='Any program as the worker: "python train.py --lr {lr} --seconds {budget}".'),
    click.option("--method", metavar="M", help="How to search: a name or FILE.py.  [bohb]"),
    click.option("--controller", metavar="C", help="Of --method autohas: robust, paper, differentiable, uniform, random.  [robust]"),
    click.option("--preset", metavar="P", help="A published run's settings: zela2018."),
    click.option("--budget-min", type=Budget(), help="Cheapest budget.  [budget-max / eta^3]"),
    click.option("--budget-max", type=Budget(), help="Dearest budget.  [3h]"),
    click.option("--budget-unit", metavar="U", help="What budgets count when not seconds; given as plain numbers.  [s]"),
    click.option("--eta", type=float, help="Ratio of neighbouring budgets; 1 in eta is promoted.  [3]"),
    click.option("--brackets", type=int, metavar="N", help="Stop after N brackets.  [32]"),
    click.option("--trials", type=int, metavar="N", help="Stop after N trials."),
    click.option(
        "--total-time",
        "total_s",
        type=Duration(),
        help="Stop after this time under a master, over all resumes, or once the next trial could not end in it.",
    ),
    click.option("--rank-probe", type=int, metavar="K", help="Beside it, train K random configurations at every budget.  [none]"),
    click.option("--seed", type=click.IntRange(min=0), help="Of the search.  [0]"),
    click.option(
        "--hard-limit",
        "hard_limit_s",
        type=Duration(),
        help="Stop a trial after this time.  [a command: 1.5 x budget + 60 s, none when budgets are not seconds]",
    ),
    click.option("--promote", type=click.Choice(["restart", "continue"]), help="How promoted configurations train.  [restart]"),
    click.option("--worker-option", "worker_options", type=KeyValue(), multiple=True, callback=_settings, help="An option of the worker."),
    click.option("--method-option", "method_options", type=KeyValue(), multiple=True, callback=_settings, help="An option of the method."),
    click.option("--accept-changed-inputs", is_flag=True, help="Go on although files of this study have changed."),
    click.option("--initial", metavar="FILE", help="Configurations to try first: JSON, YAML, or a name such as joint_hand_designed."),
    click.option("--prior", type=PATH, metavar="FILE", help="Where good values are expected, and how surely: JSON or YAML."),
    click.option("--warm-start", multiple=True, type=PATH, metavar="DIR", help="Learn from an earlier study, also of another space."),
    click.option("--constraint", "constraints", multiple=True, metavar="C", help="A bound on a metric: 'params<=5M', 'latency<=0.01'."),
    click.option("--max-params", type=Count(), metavar="N", help="Train nothing with more parameters: 5e6, 5M."),
    click.option("--max-flops", type=Count(), metavar="N", help="Train nothing with more FLOPs per image: 5e8, 500M."),
)
"""Adds the options that say what a study is to a command; their values are the fields of `Request`, under its names."""


def cluster_options(*, listen: str) -> Callable[[Any], Any]:
    """Adds the options that say how machines work together to a command; their values are fields of `Request`.

    Args:
        listen: where the command lets others reach this machine unless it is said.
    """
    return options(
        click.option("--listen", metavar="WHERE", help=f"Where other machines reach this one: host, an interface, an address.  [{listen}]"),
        click.option(
            "--lock",
            type=click.Choice(["kernel", "lease"]),
            help="How masters keep each other out.  [kernel; lease where locks do not reach other machines]",
        ),
        click.option("--lease-time", "lease_s", type=Duration(), metavar="T", help="After which a lease ends unless renewed.  [60s]"),
        click.option("--require-same-gpu/--mixed-gpus", default=None, help="Refuse workers on another model than the first's.  [mixed]"),
    )
