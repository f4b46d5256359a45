"""The incumbent with what its worker left for whoever draws it: network, learning curve, augmented images. All is read with suspicion."""

import math
from typing import Any

from bohb_nas.analysis.findings import Incumbent
from bohb_nas.analysis.observations import Told
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.store import notes
from bohb_nas.store.study_dir import StudyDir

_NETWORK_LIMIT = 2 * 2**20
_CURVE_LIMIT = 2**20
_PICTURE_LIMIT = 2 * 2**20
_MOST_POINTS = 500
"""Of a learning curve; a longer one is thinned out evenly."""
_PNG = b"\x89PNG\r\n\x1a\n"


def describe(study: StudyDir, one: Told) -> Incumbent:
    """The incumbent's entry."""
    assert one.result.loss is not None
    return Incumbent(
        trial_id=one.trial.trial_id,
        config_id=one.trial.config_id,
        config=dict(one.result.config if one.result.config is not None else one.trial.config),
        budget=one.trial.budget,
        loss=one.result.loss,
        origin=str(one.trial.origin),
        params=one.result.metrics.get("params"),
        flops=one.result.metrics.get("flops"),
        network=_network(study, one.trial.trial_id),
        curve=_curve(study, one.trial.trial_id),
    )


def picture(study: StudyDir, trial_id: str) -> bytes | None:
    """The PNG of augmented images that the newest attempt with one left, or None."""
    data = _newest(study, trial_id, "samples.png", limit=_PICTURE_LIMIT)
    return data if data is not None and data.startswith(_PNG) else None


def _newest(study: StudyDir, trial_id: str, name: str, *, limit: int) -> bytes | None:
    """A file of the newest attempt that has it; None where none has, or it is no regular file of at most `limit` bytes."""
    for folder in reversed(study.attempts(trial_id)):
        try:
            return read_regular(folder / name, limit=limit, follow=False)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _network(study: StudyDir, trial_id: str) -> dict[str, Any] | None:
    data = _newest(study, trial_id, "network.json", limit=_NETWORK_LIMIT)
    try:
        said = parse_json(data) if data is not None else None
    except (ValueError, RecursionError):
        return None
    network = said.get("network") if isinstance(said, dict) else None
    return network if isinstance(network, dict) else None


def _curve(study: StudyDir, trial_id: str) -> list[dict[str, float]]:
    data = _newest(study, trial_id, "curve.jsonl", limit=_CURVE_LIMIT) or b""
    points = [point for line in data.splitlines() if (point := _point(line))]
    every = math.ceil(len(points) / _MOST_POINTS) or 1
    return points[::-every][::-1]


def _point(line: bytes) -> dict[str, float]:
    """The numbers of a point by name, `t` as `seconds`; empty where it says no step."""
    note = notes.parse_note(line)
    numbers = {("seconds" if name == "t" else name): float(value) for name, value in note.items() if _finite(value)}
    return numbers if "step" in numbers else {}


def _finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
