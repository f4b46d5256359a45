"""Which GPUs this process may see, as CUDA reads it."""

import os
from collections.abc import Mapping

NAME = "CUDA_VISIBLE_DEVICES"


def given(environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """The numbers and UUIDs that an environment names; empty where it hides every GPU, None where it says nothing.

    The list ends at what is no GPU, as -1 or NoDevFiles.
    """
    said = environment.get(NAME)
    if said is None:
        return None
    parts = [part.strip() for part in said.split(",")]
    end = next((n for n, part in enumerate(parts) if not (part.isdecimal() or part.startswith(("GPU-", "MIG-")))), len(parts))
    return parts[:end]
