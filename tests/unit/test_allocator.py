"""Freed memory stays with a training process until the trial is over."""

import ctypes
import platform
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from bohb_nas.datasets import Dataset
from bohb_nas.training import allocator
from bohb_nas.training.device import choose
from bohb_nas.workers.image_classifier import ImageClassifier, Options

MIB = 2**20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is told nothing")
def test_freed_memory_is_kept_until_it_is_released() -> None:
    compute = choose("cpu")
    compute.release()
    before = resident_bytes()
    large = torch.ones(64 * MIB // 4)
    assert resident_bytes() - before > 60 * MIB
    del large
    assert resident_bytes() - before > 60 * MIB, "for the next step"
    compute.release()
    assert resident_bytes() - before < 4 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is told nothing")
def test_of_a_data_set_only_what_is_trained_on_stays() -> None:
    n = 64 * MIB // (32 * 32 * 3)

    def load(reference: str, *, data_dir: Path | None) -> Dataset:
        images, labels = np.ones((n, 32, 32, 3), dtype=np.uint8), np.arange(n) % 2
        return Dataset(name="own", classes=("a", "b"), train_images=images, train_labels=labels, fingerprint="own")

    worker = ImageClassifier(Options(device="cpu"), load=load)
    worker.compute.release()
    before = resident_bytes()
    loaded = worker.resident()
    assert resident_bytes() - before < 80 * MIB, "the images once, not twice"
    assert loaded.data.images.numel() == n * 32 * 32 * 3


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    allocator._library.cache_clear()
    try:
        allocator.keep()
        allocator.give_back()
        assert allocator._library() is None
    finally:
        allocator._library.cache_clear()
