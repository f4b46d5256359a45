"""The port of the paper's pipeline computes the network that ours does, and its loader the same augmentation's parts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from paper_network import PaperNetwork  # noqa: E402
from paper_pipeline import Cutout, PaperStep, Pictures, transforms  # noqa: E402

from bohb_nas.layers import Layer  # noqa: E402
from bohb_nas.networks import zela2018  # noqa: E402
from bohb_nas.records import Value  # noqa: E402
from bohb_nas.training.networks import Network  # noqa: E402

NETWORKS = {
    "several branches": {"stem": 4, "widths": (4, 6, 8), "blocks": (1, 2, 1), "branches": (2, 3, 2), "death_rate": 0.0},
    "one branch": {"stem": 4, "widths": (6, 6, 5), "blocks": (2, 1, 2), "branches": (1, 1, 1), "death_rate": 0.5},
}


def described(*, stem: int, widths: tuple[int, ...], blocks: tuple[int, ...], branches: tuple[int, ...], death_rate: float) -> Layer:
    """Our network of the arguments of the port."""
    config: dict[str, Value] = {"initial_filters": stem, "death_rate": death_rate}
    for g, (into, out) in enumerate(zip((stem, *widths), widths, strict=False), start=1):
        config |= {f"widen_factor_{g}": out / into, f"nr_residual_blocks_{g}": blocks[g - 1], f"res_branches_{g}": branches[g - 1]}
    return zela2018.network(config)


def dealt(noise: Tensor) -> Iterator[Tensor]:
    """Rows of the noise of our network one by one: blocks have theirs in the order in which the port draws them."""
    return iter(noise[:, None])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_port_is_the_same_function_as_our_network(name: str) -> None:
    shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    ours = Network(described(**shape), image_shape=(8, 8, 3), n_classes=10, generator=generator).double()  # type: ignore[arg-type]
    noise = ours.noise(5, generator).double()
    rows = dealt(noise)
    port = PaperNetwork(**shape, draw=lambda n, _: torch.cat([next(rows) for _ in range(n)])).double()  # type: ignore[arg-type]
    port.take_weights(ours)
    images = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64)
    mine, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
    a, b = ours(mine, noise), port(theirs)
    a.square().sum().backward()
    b.square().sum().backward()
    torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(theirs.grad, mine.grad, rtol=1e-10, atol=1e-10)
    for p, q in zip(port.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-9)
    assert next(rows, None) is None, "all of the noise is used"


@pytest.mark.parametrize("name", NETWORKS)
def test_at_rest_too(name: str) -> None:
    shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    ours = Network(described(**shape), image_shape=(8, 8, 3), n_classes=10, generator=generator).double().eval()  # type: ignore[arg-type]
    port = PaperNetwork(**shape).double().eval()  # type: ignore[arg-type]
    port.take_weights(ours)
    images = torch.randn(3, 3, 8, 8, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(port(images), ours(images), rtol=1e-10, atol=1e-10)


def test_several_branches_are_computed_twice_and_one_once() -> None:
    counts = {}
    for name, shape in NETWORKS.items():
        port = PaperNetwork(**shape)  # type: ignore[arg-type]
        port(torch.randn(4, 3, 8, 8))
        state = port.blocks.state_dict()
        counts[name] = {int(n) for key, n in state.items() if ".branches." in key and key.endswith("num_batches_tracked")}
    assert counts == {"several branches": {2}, "one branch": {1}}


def test_cutout_leaves_a_square_of_zeros_cut_at_the_border() -> None:
    for seed in range(8):
        image = Cutout(4, np.random.default_rng(seed))(torch.ones(3, 8, 8))
        gone = np.argwhere(image[0].numpy() == 0)
        height, width = gone.max(0) - gone.min(0) + 1
        assert len(gone) == height * width
        assert 2 <= height <= 4
        assert 2 <= width <= 4


def test_pictures_are_normalised_images() -> None:
    images = np.full((2, 32, 32, 3), 255, dtype=np.uint8)
    pictures = Pictures(images, np.array([3, 4]), transforms(mean=(0.5, 0.5, 0.5), deviation=(0.25, 0.25, 0.25), length=0))
    image, label = pictures[1]
    assert (image.shape, label) == ((3, 32, 32), 4)
    assert set(np.unique(image.numpy())) <= {-2.0, 2.0}, "white is (1 - 0.5) / 0.25; what the crop adds is black"


def test_a_step_trains_and_counts_what_it_got_right() -> None:
    port = PaperNetwork(**NETWORKS["several branches"])  # type: ignore[arg-type]
    before = [parameter.clone() for parameter in port.parameters()]
    step = PaperStep(port, torch.device("cpu"), alpha=0.2)
    right = step(torch.randn(6, 3, 8, 8), torch.arange(6))
    assert 0 <= right <= 6
    assert not any(torch.equal(a, b) for a, b in zip(before, port.parameters(), strict=True) if a.requires_grad and a.dim() == 4)


@pytest.mark.slow
def test_the_script_compares_both_networks() -> None:
    command = [
        sys.executable,
        str(ROOT / "bench" / "paper_pipeline.py"),
        "--parts",
        "data",
        "steps",
        "--repetitions",
        "1",
        "--seconds",
        "0",
    ]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout
    assert "data path alone: paper " in out
    for name in ("1 block a group", "2 blocks a group"):
        (paper,) = [line for line in out.splitlines() if name in line and "paper" in line]
        assert paper.count("x 1.00 (1.00 to 1.00)") == 2
        assert any(name in line and "ours, fp32" in line for line in out.splitlines())
