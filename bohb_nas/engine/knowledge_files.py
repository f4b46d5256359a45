"""Reads the files in which people write down what they know: configurations to try first, and a prior. JSON or YAML."""

import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ConfigSpace import ConfigurationSpace

import bohb_nas.search_spaces
from bohb_nas.errors import KnowledgeError, SpaceError
from bohb_nas.files import check_once, load_json
from bohb_nas.knowledge import Belief
from bohb_nas.reading import read_text
from bohb_nas.records import Value
from bohb_nas.space.encoding import no_such
from bohb_nas.space.legality import complete, legal_value

FILE_LIMIT_BYTES = 8 * 2**20
CONFIDENCES = {"low": 0.25, "medium": 0.5, "high": 0.75}
"""What the words for a confidence mean."""

_INITIAL = 'a list of configurations, each an object of hyperparameters or {"name": …, "config": {…}}'
_PRIOR = 'an object {hyperparameter: {"center": value, "confidence": a number above 0 and below 1, or low, medium, high}}'


def shipped() -> dict[str, Path]:
    """The files of configurations that come with the package, by name."""
    folder = Path(bohb_nas.search_spaces.__path__[0])
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def read_initial(reference: str, space: ConfigurationSpace) -> tuple[list[dict[str, Value]], list[str]]:
    """The configurations of a file, complete and in its order, and how to call each.

    Args:
        reference: NAME of a shipped file, or a path.
        space: what they must fit.

    Raises:
        KnowledgeError: the file cannot be read, or a configuration does not fit.
    """
    path = shipped().get(reference, Path(reference))
    content = _read(path, accepted=_INITIAL, known=f"; shipped are {', '.join(shipped())}")
    if content is None:
        raise KnowledgeError(
            f"{path} holds no configuration, as `bohb-nas best --json` prints it of a study that has no incumbent; accepted is {_INITIAL}"
        )
    entries = [content] if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise KnowledgeError(f"{path}: {reprlib.repr(content)}; accepted is {_INITIAL}")
    configs: list[dict[str, Value]] = []
    called: list[str] = []
    for number, entry in enumerate(entries, start=1):
        named = isinstance(entry, dict) and isinstance(entry.get("config"), dict)
        config = entry["config"] if named else entry
        name = f"{number} ({entry['name']})" if named and isinstance(entry.get("name"), str) else f"{number}"
        if not isinstance(config, dict):
            raise KnowledgeError(f"{path}, configuration {name}: {reprlib.repr(entry)}; accepted is {_INITIAL}")
        try:
            full = complete(space, {str(key): value for key, value in config.items()})
        except SpaceError as e:
            raise KnowledgeError(f"{path}, configuration {name}: {e}") from e
        if full in configs:
            raise KnowledgeError(f"{path}, configuration {name}: the same as configuration {called[configs.index(full)]}; leave one out")
        configs.append(full)
        called.append(name)
    return configs, called


def read_prior(path: Path, space: ConfigurationSpace) -> dict[str, Belief]:
    """The beliefs of a file.

    Raises:
        KnowledgeError: the file cannot be read, or a belief does not fit the space.
    """
    content = _read(path, accepted=_PRIOR)
    if not isinstance(content, dict) or not content:
        raise KnowledgeError(f"{path}: {reprlib.repr(content)}; accepted is {_PRIOR}")
    return {str(name): _belief(path, str(name), said, space) for name, said in content.items()}


def _belief(path: Path, name: str, said: object, space: ConfigurationSpace) -> Belief:
    if name not in space:
        raise KnowledgeError(f"{path}: {no_such([name], [*space])}")
    if not isinstance(said, Mapping) or set(said) != {"center", "confidence"}:
        raise KnowledgeError(f"{path}, {name}: {reprlib.repr(said)}; accepted is {_PRIOR}")
    try:
        center = legal_value(space[name], said["center"])
    except SpaceError as e:
        raise KnowledgeError(f"{path}, {name}, center: {e}") from e
    word = said["confidence"]
    try:
        return Belief(center=center, confidence=CONFIDENCES[word] if isinstance(word, str) and word in CONFIDENCES else word)
    except KnowledgeError as e:
        raise KnowledgeError(f"{path}, {name}: {e}, or {', '.join(CONFIDENCES)}") from e


def _read(path: Path, *, accepted: str, known: str = "") -> Any:
    """What a JSON or YAML file holds."""
    try:
        text = read_text(path, limit=FILE_LIMIT_BYTES)
    except FileNotFoundError as e:
        raise KnowledgeError(f"{path} does not exist; accepted is a JSON or YAML file with {accepted}{known}") from e
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else e
        raise KnowledgeError(f"{path} cannot be read: {why}; accepted is a JSON or YAML file with {accepted}") from e
    is_yaml = path.suffix in (".yaml", ".yml")
    try:
        return yaml.load(text, Loader=_Yaml) if is_yaml else load_json(text)  # noqa: S506 - a safe loader
    except (ValueError, yaml.YAMLError, RecursionError) as e:
        kind = "YAML" if is_yaml else "JSON"
        raise KnowledgeError(f"{path} is not {kind}: {e}; accepted is {accepted} (YAML in a file that ends in .yaml)") from e


class _Yaml(yaml.SafeLoader):
    """Scalars as YAML 1.2 reads them: `on` and `off` are words and 1e-3 is a number, which YAML 1.1 turns around."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> Any:
        """An object, in which every name stands once."""
        node = super().compose_mapping_node(anchor)
        check_once([name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)])
        return node


_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"), list("-+.0123456789")
)
