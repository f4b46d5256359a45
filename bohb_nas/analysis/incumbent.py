"""The incumbent with what its worker left for whoever draws it: network, learning curve, augmented images. All is read with suspicion."""

import math
import os
import struct
from itertools import islice
from typing import Any

from bohb_nas.analysis.findings import Incumbent
from bohb_nas.analysis.observations import Told
from bohb_nas.entries import is_number
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.store import notes
from bohb_nas.store.study_dir import StudyDir

_NETWORK_LIMIT = 2 * 2**20
_PICTURE_LIMIT = 2 * 2**20
_MOST_POINTS = 500
"""Of a learning curve; a longer one is thinned out evenly."""
_MOST_NAMES = 100
"""Of the measures of a learning curve, the first ones."""
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 24
"""Bytes of a PNG up to the end of its width and height."""
_MOST_PIXELS = 4096
"""Of a side: a small file may claim to be a picture that no memory holds."""


def describe(study: StudyDir, one: Told) -> Incumbent:
    """The incumbent's entry."""
    assert one.result.loss is not None
    return Incumbent(
        trial_id=one.trial.trial_id,
        config_id=one.trial.config_id,
        config=dict(one.config),
        budget=one.trial.budget,
        loss=one.result.loss,
        origin=str(one.trial.origin),
        params=one.result.metrics.get("params"),
        flops=one.result.metrics.get("flops"),
        ready_to_use=one.result.ready_to_use,
        model_there=study.model(one.trial.trial_id) is not None,
        network=_network(study, one.trial.trial_id),
        curve=_curve(study, one.trial.trial_id),
    )


def picture(study: StudyDir, trial_id: str) -> bytes | None:
    """The PNG of augmented images that the newest attempt with one left, or None."""
    data = _newest(study, trial_id, "samples.png", limit=_PICTURE_LIMIT)
    if data is None or not data.startswith(_PNG) or len(data) < _HEADER:
        return None
    size = struct.unpack(">II", data[_HEADER - 8 : _HEADER])  # of its header chunk, which every PNG begins with
    return data if all(0 < pixels <= _MOST_PIXELS for pixels in size) else None


def _newest(study: StudyDir, trial_id: str, name: str, *, limit: int) -> bytes | None:
    """A file of the newest attempt that has it; None where none has, or it is no regular file of at most `limit` bytes.

    No link is followed on the way from the study's trials to it.
    """
    folders = [] if os.path.islink(study.trials / trial_id) else study.attempts(trial_id)
    for folder in reversed([one for one in folders if not os.path.islink(one)]):
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
    data = _newest(study, trial_id, "curve.jsonl", limit=notes.CURVE_LIMIT_BYTES) or b""
    lines, kinds = data.splitlines(), dict[tuple[str, ...], list[int]]()
    for i, line in enumerate(lines):
        if line and (point := _point(line)):
            kinds.setdefault(tuple(sorted(point)), []).append(i)
    share = max(1, _MOST_POINTS // max(1, len(kinds)))  # of each kind of point: a measure of every hundredth would be lost among all
    left = sorted(i for places in kinds.values() for i in _thinned(places, share))
    points = [_point(lines[i]) for i in _thinned(left, _MOST_POINTS)]  # a million of them would take a GiB
    kept = {*islice(dict.fromkeys(name for point in points for name in ("step", "seconds", *point)), _MOST_NAMES)}
    return [{name: value for name, value in point.items() if name in kept} for point in points]


def _thinned(places: list[int], most: int) -> list[int]:
    """At most so many of them, evenly, the last among them."""
    return places[:: -(math.ceil(len(places) / most) or 1)][::-1]


def _point(line: bytes) -> dict[str, float]:
    """The numbers of a point by name, `t` as `seconds`; empty where it says no step."""
    note = notes.parse_note(line)
    numbers = {("seconds" if name == "t" else name): float(value) for name, value in note.items() if is_number(value)}
    return numbers if "step" in numbers else {}
