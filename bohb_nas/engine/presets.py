"""Named sets of defaults, and what of one a study does not have."""

from typing import Any

from bohb_nas.errors import UsageError

_PRESETS: dict[str, dict[str, Any]] = {
    "zela2018": {
        "space": "zela2018",
        "method": "bohb_2018",
        "brackets": 32,
        "worker": "image_classifier",
        "worker_options": {"schedule": "restarts"},
    },
}
"""The published runs. The brackets belong to the method, the options to the worker: with others they are none of the study's."""


def preset(name: str | None) -> dict[str, Any]:
    """What a preset sets; nothing where none was asked for.

    Raises:
        UsageError: there is none of this name.
    """
    if name is not None and name not in _PRESETS:
        raise UsageError(f"unknown preset {name!r}; known: {', '.join(_PRESETS)}")
    return _PRESETS.get(name or "", {})


def remarks(meta: dict[str, Any]) -> list[str]:
    """What a study does not have of the preset that its record names, which would pass for the published run: a line, or none."""
    own = _PRESETS.get(meta.get("preset") or "")
    if own is None:
        return []
    brackets, options = f"brackets {own['brackets']}", [f"{name}={value}" for name, value in own["worker_options"].items()]
    lacks = [] if meta["space"] == own["space"] else [f"space {own['space']}"]
    if meta["method"] != own["method"]:
        lacks.append(f"method {own['method']} with {brackets}")
    if meta["worker"] != own["worker"]:
        lacks.append(f"worker {own['worker']} with {', '.join(options)}")
    else:
        has = meta["worker_options"]
        lacks += [f"worker option {name}={value}" for name, value in own["worker_options"].items() if has.get(name) != value]
    if meta["method"] == own["method"] and meta["stop"]["brackets"] != own["brackets"]:
        lacks.append(brackets)
    return [f"of the preset {meta['preset']} this study does not have: {', '.join(lacks)}"] if lacks else []
