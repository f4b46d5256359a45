"""Before any test's imports: the processor, whatever GPUs the machine has, and Triton's interpreter for tensors there."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Hides GPUs from the tests and from the programs that they start, but where `-m` asks for those that need one."""
    marks = config.getoption("markexpr")
    if "gpu" not in marks or "not gpu" in marks:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read as CUDA is first asked anything
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is first imported
