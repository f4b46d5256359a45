"""Which GPUs this process may see, as CUDA reads it."""

import os

NAME = "CUDA_VISIBLE_DEVICES"


def given() -> list[str] | None:
    """The numbers and UUIDs that the environment names; empty where it hides every GPU, None where it says nothing.

    The list ends at what is no GPU, as -1 or NoDevFiles.
    """
    said = os.environ.get(NAME)
    if said is None:
        return None
    parts = [part.strip() for part in said.split(",")]
    end = next((n for n, part in enumerate(parts) if not (part.isdecimal() or part.startswith(("GPU-", "MIG-")))), len(parts))
    return parts[:end]
