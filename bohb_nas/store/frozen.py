"""What was known before a study started, frozen in its directory: whatever becomes of the files it was read from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bohb_nas.errors import BohbNasError, StudyError
from bohb_nas.files import dump_json, write_atomic
from bohb_nas.knowledge import NOTHING, Belief, Constraint, Knowledge
from bohb_nas.reading import parse_json, read_regular
from bohb_nas.records import Evaluation
from bohb_nas.store.study_dir import StudyDir

_LIMIT_BYTES = 2**30


def freeze(study: StudyDir, knowledge: Knowledge) -> dict[str, str]:
    """Writes what is known into the study's inputs; returns the files' names with sha256, none where nothing is known.

    `size` is a function and stays with its space.

    Raises:
        StorageError: the disk refused.
    """
    texts = {}
    if knowledge.initial or knowledge.prior or knowledge.constraints:
        said = {
            "initial": [dict(config) for config in knowledge.initial],
            "prior": {name: asdict(belief) for name, belief in knowledge.prior.items()},
            "constraints": [str(constraint) for constraint in knowledge.constraints],
        }
        texts[study.knowledge_json] = json.dumps(said, indent=1, allow_nan=False) + "\n"
    if knowledge.history:
        texts[study.warm_start] = "".join(dump_json(evaluation.to_json()) + "\n" for evaluation in knowledge.history)
    for path, text in texts.items():
        write_atomic(path, text)
    return {path.name: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}


def recall(study: StudyDir, digests: Mapping[str, str]) -> Knowledge:
    """The inverse of `freeze`.

    Raises:
        StudyError: a file is gone or has changed.
    """
    texts = {path.name: _read(path, digests[path.name]) for path in (study.knowledge_json, study.warm_start) if path.name in digests}
    if not texts:
        return NOTHING
    try:
        said = parse_json(texts.get(study.knowledge_json.name, "{}"))
        return Knowledge(
            initial=tuple(said.get("initial", [])),
            prior={name: Belief(**belief) for name, belief in said.get("prior", {}).items()},
            constraints=tuple(Constraint.parse(text) for text in said.get("constraints", [])),
            history=tuple(Evaluation.from_json(parse_json(line)) for line in texts.get(study.warm_start.name, "").split("\n") if line),
        )
    except (BohbNasError, ValueError, TypeError, AttributeError, RecursionError) as e:
        raise StudyError(f"{study.inputs} holds what this version cannot read: {e}; upgrade bohb-nas") from e


def _read(path: Path, digest: str) -> str:
    try:
        data = read_regular(path, limit=_LIMIT_BYTES)
    except OSError as e:
        raise StudyError(f"{path} cannot be read: {e.strerror}; restore it, the search depends on it, or start a new study") from e
    if hashlib.sha256(data).hexdigest() != digest:
        raise StudyError(f"{path} has changed since the study started; restore it, or start a new study with what it says now")
    return data.decode()
