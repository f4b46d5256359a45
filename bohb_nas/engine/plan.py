"""From what a person typed to the record of a study: defaults, presets, contradictions. No file is read or written.

A new study takes the defaults for what was not typed; a resumed one takes what it was started with.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bohb_nas.engine import presets, typed_budgets
from bohb_nas.engine.knowledge_files import shipped
from bohb_nas.engine.paths import in_full
from bohb_nas.entries import refuse_own
from bohb_nas.errors import UsageError
from bohb_nas.knowledge import Constraint
from bohb_nas.one_shot_settings import SEARCHES
from bohb_nas.records import MOST_ETA, Budgets
from bohb_nas.refs import is_file
from bohb_nas.store.meta import IMAGE_WORKERS, ONE_SHOT, count_kept, options_kept, path_kept, seed_kept
from bohb_nas.store.study_dir import FORMAT

_DEFAULTS_OF_SEARCHES: dict[str, dict[str, str]] = {"autohas": {"worker": ONE_SHOT}, "dha": {"worker": ONE_SHOT, "space": "cell"}}
"""Defaults of methods that search in the worker."""
_OF_METHOD = ("search_s", "retrain")
"""Their options that are none of the worker's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed; None or empty means "not said"."""

    space: str | None = None
    dataset: str | None = None
    data_dir: Path | None = None
    skip_unreadable: bool = False
    worker: str | None = None
    command: str | None = None
    method: str | None = None
    controller: str | None = None
    budget_min: float | None = None
    budget_max: float | None = None
    eta: float | None = None
    budget_unit: str | None = None
    brackets: int | None = None
    trials: int | None = None
    total_s: float | None = None
    seed: int | None = None
    hard_limit_s: float | None = None
    promote: str | None = None
    preset: str | None = None
    worker_options: dict[str, Any] = field(default_factory=dict)
    method_options: dict[str, Any] = field(default_factory=dict)
    accept_changed_inputs: bool = False
    initial: str | None = None
    prior: Path | None = None
    warm_start: tuple[Path, ...] = ()
    constraints: tuple[str, ...] = ()
    max_params: float | None = None
    max_flops: float | None = None
    listen: str | None = None
    lock: str | None = None
    lease_s: float | None = None
    require_same_gpu: bool | None = None
    rank_probe: int | None = None

    @property
    def sizes_bounded(self) -> tuple[str, ...]:
        """The metrics that must be known before training."""
        return tuple(name for name, _ in _sizes(self))


def _sizes(request: Request) -> list[tuple[str, float]]:
    """What is bounded, and by what."""
    return [(name, bound) for name, bound in (("params", request.max_params), ("flops", request.max_flops)) if bound is not None]


def plan(request: Request, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """The record of the study that a request describes; what it leaves open comes from `base`, a preset, or the defaults.

    Raises:
        UsageError: a value is out of range, or two contradict each other.
    """
    given = base or {}
    preset = presets.preset(request.preset)
    earlier = given.get("budgets", {})
    if request.lock == "kernel" and request.lease_s is not None:
        raise UsageError("--lease-time: with --lock kernel there is no lease; leave it out, or --lock")
    unit = first(request.budget_unit, earlier.get("unit"), "s")
    typed_budgets.check(unit, {"--budget-min": request.budget_min, "--budget-max": request.budget_max}, new=not earlier)
    maximum = float(first(request.budget_max, earlier.get("max"), 10800.0))  # a plain one, as JSON has it
    eta = first(request.eta, earlier.get("eta"), 3.0)
    minimum = float(first(request.budget_min, earlier.get("min"), maximum / min(max(eta, 2), MOST_ETA) ** 3))
    budgets = Budgets(min=minimum, max=maximum, eta=eta, unit=unit)
    method = first(_said_or_kept(request.method, given.get("method"), _absolute), preset.get("method"), "bohb")
    stop = _stop(request, given, brackets=preset.get("brackets") if method == preset.get("method") else None)
    method_options = _method_options(request, given, method)
    if method in SEARCHES and request.promote == "continue":
        raise UsageError(f"--promote continue: method {method} promotes nothing, it is one training; leave it out")
    if unit == "s" and stop["total_s"] is not None:
        typed_budgets.check_total(stop["total_s"], budgets, method=method, options=method_options)
    return {
        "format": FORMAT,
        "preset": first(request.preset, given.get("preset")),
        "space": first(
            _said_or_kept(request.space, given.get("space"), _absolute),
            preset.get("space"),
            _DEFAULTS_OF_SEARCHES.get(method, {}).get("space"),
            "joint",
        ),
        "method": method,
        "method_options": options_kept("--method-option", method_options),
        **_worker(request, given, preset, unit=unit, top=maximum, method=method, search=_search(method, method_options)),
        "budgets": asdict(budgets),
        "seed": seed_kept(first(request.seed, given.get("seed"), 0)),
        "hard_limit_s": first(request.hard_limit_s, given.get("hard_limit_s")),
        "promote": first(request.promote, given.get("promote"), "restart"),
        "stop": stop,
        "rank_probe": _rank_probe(request, given, n_budgets=len(budgets.rungs)),
        **_knowledge(request, given, method),
        "listen": first(request.listen, given.get("listen"), "loopback"),
        "lease_s": first(request.lease_s, given.get("lease_s")),
        "require_same_gpu": first(request.require_same_gpu, given.get("require_same_gpu"), False),
        "skip_unreadable": request.skip_unreadable or given.get("skip_unreadable", False),
        "cwd": given["cwd"] if "cwd" in given else path_kept(str(Path.cwd())),
    }


def _knowledge(request: Request, given: dict[str, Any], method: str) -> dict[str, Any]:
    """What is known beforehand: where it is read from, and the constraints in one order; None for nothing."""
    bounds = [Constraint.parse(text) for text in request.constraints]
    if method not in SEARCHES:
        bounds += [Constraint(metric=name, relation="<=", bound=bound) for name, bound in _sizes(request)]
    kept, studies = given.get("warm_start") or [], request.warm_start
    pairs = zip(studies, kept if len(kept) == len(studies) else [None] * len(studies), strict=True)
    return {
        "initial": _said_or_kept(
            request.initial, given.get("initial"), lambda said, start: said if said in shipped() else in_full(said, start)
        ),
        "prior": _said_or_kept(request.prior, given.get("prior"), in_full),
        "warm_start": [_said_or_kept(said, before, in_full) for said, before in pairs] or given.get("warm_start"),
        "constraints": sorted({str(bound) for bound in bounds}) or given.get("constraints"),
    }


def first(*candidates: Any) -> Any:
    """The first candidate that is something, or None."""
    return next((c for c in candidates if c is not None), None)


def _absolute(reference: str, start: str = "") -> str:
    return in_full(reference, start) if is_file(reference) else reference


def _method_options(request: Request, given: dict[str, Any], method: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if method in SEARCHES:  # the worker keeps the bounds itself
        refuse_own("--method-option", request.method_options, "max_params", "max_flops")
        said = {f"max_{name}": bound for name, bound in _sizes(request)}
    if method == "autohas":
        refuse_own("--method-option", request.method_options, "controller")
        said |= {"controller": request.controller} if request.controller is not None else {}
    elif request.controller is not None:
        raise UsageError(f"--controller {request.controller}: method {method} has no controller; leave it out, or add --method autohas")
    return {**given.get("method_options", {}), **said, **request.method_options}


def _search(method: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """What the worker that searches by itself is told of its search; None with any other method."""
    if method not in SEARCHES:
        return None
    return {"method": method, **{name: value for name, value in options.items() if name not in _OF_METHOD}}


def _check_pair(method: str, worker: str) -> None:
    """Makes sure that a method that searches in the worker has a worker that searches, and the other way round.

    Raises:
        UsageError: it has not.
    """
    if method in SEARCHES and worker != ONE_SHOT and not is_file(worker) and ":" not in worker:
        raise UsageError(
            f"--method {method} searches in the worker, which {worker} does not: leave --worker out, or give {ONE_SHOT} or FILE.py"
        )
    if method not in SEARCHES and worker == ONE_SHOT:
        raise UsageError(
            f"--worker {ONE_SHOT} searches by itself, which --method {method} does not ask for; accepted are {', '.join(SEARCHES)}"
        )


def _worker(
    request: Request, given: dict[str, Any], preset: dict[str, Any], *, unit: str, top: float, method: str, search: dict[str, Any] | None
) -> dict[str, Any]:
    if request.command is not None and request.worker not in (None, "command"):
        raise UsageError(f"--command and --worker {request.worker} contradict each other; give one of them")
    worker = first(
        "command" if request.command is not None else None,
        _said_or_kept(request.worker, given.get("worker"), _absolute),
        _DEFAULTS_OF_SEARCHES.get(method, {}).get("worker"),
        "image_classifier",
    )
    _check_pair(method, worker)
    of_preset = preset.get("worker_options", {}) if worker == preset.get("worker") else {}
    options, said = dict(given.get("worker_options", {})), dict[str, Any]()
    if worker in IMAGE_WORKERS:
        if unit != "s":
            raise UsageError(f"--budget-unit {unit}: the worker {worker} trains for seconds; leave it out, or give another worker")
        refuse_own("--worker-option", request.worker_options, "dataset", "data_dir")
        options = {"dataset": "cifar10", "full_validation_from_s": top, **of_preset, **options}
        said = {
            "dataset": _said_or_kept(request.dataset, options["dataset"], _dataset, given.get("cwd", "")),
            "data_dir": _said_or_kept(request.data_dir, options.get("data_dir"), in_full, given.get("cwd", "")),
        }
        paths = {
            name: _said_or_kept(path, options.get(name), full)
            for name, full in {"policy_file": in_full, "network": _absolute}.items()
            if isinstance(path := request.worker_options.get(name), str)
        }
        request = replace(request, worker_options={**request.worker_options, **paths})
    elif request.dataset is not None or request.data_dir is not None or request.skip_unreadable:
        known = " or ".join(sorted(IMAGE_WORKERS))
        raise UsageError(
            f"--dataset, --data-dir and --skip-unreadable belong to the worker {known}, this study's is {worker}; leave them out"
        )
    if worker == "command":
        refuse_own("--worker-option", request.worker_options, "command", "hard_limit_s", "unit")
        said = {"command": request.command}
        if request.command is None and "command" not in options:
            raise UsageError('worker command needs --command, for example --command "python train.py --lr {lr} --seconds {budget}"')
    mine = method not in SEARCHES and (worker == "command" or is_file(worker))
    if mine and first(request.space, given.get("space"), preset.get("space")) is None:
        raise UsageError(
            f"--{'command' if worker == 'command' else 'worker'} without --space: the default space, joint, is that of the image "
            "classifier; say what yours is to be given, with --space FILE.py or a name of `bohb-nas list spaces`"
        )
    options |= {name: value for name, value in said.items() if value is not None} | request.worker_options
    if worker == ONE_SHOT:
        if "space_file" in request.worker_options:
            raise UsageError("--worker-option space_file: what is searched is the study's own space, said with --space; leave it out")
        if request.worker_options.get("search", search) != search:
            raise UsageError("--worker-option search: what the worker is to search by is said with --method and --method-option")
        options["search"] = search
    return {"worker": worker, "worker_options": options_kept("--worker-option", options)}


def _dataset(reference: str, start: str = "") -> str:
    kind, colon, path = reference.partition(":")
    return f"{kind}:{in_full(path, start)}" if colon and kind == "image_folder" else _absolute(reference, start)


def _said_or_kept(said: str | Path | None, kept: str | None, full: Callable[[str, str], str], start: str = "") -> str | None:
    """A path in full, or as the study has it where it is the same: earlier versions took some as they were typed, in `start`."""
    return kept if said is None or (kept is not None and full(kept, start) == full(str(said), "")) else full(str(said), "")


def _stop(request: Request, given: dict[str, Any], *, brackets: int | None) -> dict[str, Any]:
    said = {"brackets": request.brackets, "trials": request.trials, "total_s": request.total_s}
    for option, n in (("--brackets", request.brackets), ("--trials", request.trials)):
        if n is not None:
            count_kept(option, n)
    if any(v is not None for v in said.values()):
        return said
    return given.get("stop") or {**said, "brackets": brackets}


_MOST_PROBES = 10_000
"""Configurations of a rank probe; a few dozen settle what it asks."""


def _rank_probe(request: Request, given: dict[str, Any], *, n_budgets: int) -> int:
    """How many configurations are trained at every budget; it may grow when a study is resumed.

    Raises:
        UsageError: fewer than before, or there is only one budget.
    """
    asked, before = request.rank_probe, given.get("rank_probe", 0)
    if asked is None:
        return int(before)
    if not max(1, before) <= asked <= _MOST_PROBES:
        trained = f"; the study has {before}, and it may only grow" if before else ""
        raise UsageError(f"--rank-probe {asked}: accepted is a whole number from {max(1, before)} to {_MOST_PROBES}{trained}")
    if n_budgets < 2:
        raise UsageError(f"--rank-probe {asked}: it compares budgets, and there is only one; give a smaller --budget-min, or leave it out")
    return asked
