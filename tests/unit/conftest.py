"""Before any test's imports: on a machine without a GPU, Triton's interpreter runs kernels on tensors of the processor."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is first imported
