"""Before any test's imports: the processor, whatever GPUs the machine has, and Triton's interpreter for tensors there."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Hides GPUs from the tests and from the programs that they start, but for `-m gpu`."""
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read as CUDA is first asked anything
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is first imported
