"""Shared weights: what candidates have in common, how a bank grows, and that a candidate is the network that it says."""

from pathlib import Path

import pytest
import torch
from oneshot_fakes import CPU, IMAGE_SHAPE, LARGE, N_CLASSES, SMALL, at_rest, bank, batch, copied, layers, noise, ordinary, same
from safetensors.torch import load_file, save_file

from bohb_nas.errors import OptionError
from bohb_nas.layers import Activation, Conv, Norm, Sum, chain, named
from bohb_nas.layers.arithmetic import size
from bohb_nas.oneshot import steps
from bohb_nas.oneshot.bank import KEPT, Bank


@pytest.mark.parametrize("family", SMALL)
def test_a_candidate_is_the_network_of_its_layers(family: str) -> None:
    shared = bank()
    shared.candidate(layers(LARGE[family]))
    candidate = shared.candidate(layers(SMALL[family]))
    x, _ = batch()
    network, drawn = ordinary(candidate), noise(candidate)
    expected = network.train()(x, drawn)
    out, moved = steps.logits(candidate.network, candidate.weights(), candidate.statistics(), x, drawn, CPU)
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
    buffers = dict(network.named_buffers())
    for name, tensor in moved.items():
        torch.testing.assert_close(tensor, buffers[name], rtol=1e-6, atol=1e-6)
    still = at_rest(candidate.network, candidate.weights(), moved, x)
    torch.testing.assert_close(still, network.eval()(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", SMALL)
def test_all_that_is_trained_has_a_place(family: str) -> None:
    shared, described = bank(), layers(LARGE[family])
    candidate = shared.candidate(described)
    params = size(described, image_shape=IMAGE_SHAPE, n_classes=N_CLASSES)["params"]
    assert sum(w.numel() for w in candidate.weights().values()) == sum(w.numel() for w in shared.weights.values()) == params
    assert set(shared.momenta) == set(shared.weights)


def test_a_narrower_candidate_has_the_first_channels_of_a_wider_one() -> None:
    shared = bank()
    wide, narrow = shared.candidate(chain(Conv(6), Conv(4))), shared.candidate(chain(Conv(2), Conv(8)))
    ours, theirs = narrow.weights(), wide.weights()
    ours["body.1.weight"][3, 1, 0, 0] = 7.0
    assert float(theirs["body.1.weight"][3, 1, 0, 0]) == float(shared.weights["1/conv_3x3"][3, 1, 0, 0]) == 7
    assert shared.weights["1/conv_3x3"].shape == (8, 6, 3, 3)
    assert ours["body.0.weight"].data_ptr() == theirs["body.0.weight"].data_ptr() == shared.weights["0/conv_3x3"].data_ptr()
    assert shared.weights["head/weight"].shape == (N_CLASSES, 8)


def test_a_kernel_and_a_depthwise_convolution_have_places_of_their_own() -> None:
    shared = bank()
    for layer in (Conv(6), Conv(6, 5), Conv(6, groups=3), Conv(3, groups=3)):
        shared.candidate(named({"a": layer}))
    assert [key for key in shared.weights if "head" not in key] == ["a/conv_3x3", "a/conv_5x5", "a/conv_3x3_in_3", "a/depthwise_3x3"]


def test_two_uses_of_one_layer_are_two_places() -> None:
    block = chain(Conv(4), Norm())
    weights = bank().candidate(named({"one": block, "two": block, "three": block})).weights()
    assert not torch.equal(weights["body.1.0.weight"], weights["body.2.0.weight"])


def test_parts_that_meet_in_one_place_are_refused() -> None:
    with pytest.raises(OptionError, match="two parts of a network are named a/conv_3x3"):
        bank().candidate(Sum((named({"a": Conv(3)}), named({"a": Conv(3)})), ("", "")))


def test_a_grown_bank_keeps_what_it_had() -> None:
    shared = bank()
    small = shared.candidate(named({"conv": Conv(4), "norm": Norm()}))
    for tensors in (shared.weights, shared.momenta, shared.statistics):
        for tensor in tensors.values():
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(3)))
    had = [copied(tensors) for tensors in (small.weights(), small.momenta(), small.statistics())]
    large = shared.candidate(named({"conv": Conv(6), "norm": Norm()}))
    assert all(same(new, old) for new, old in zip((small.weights(), small.momenta(), small.statistics()), had, strict=True))
    assert large.weights()["body.0.weight"][4:].abs().min() > 0
    assert (large.momenta()["body.0.weight"][4:] == 0).all()
    assert large.weights()["body.1.weight"][4:].tolist() == large.statistics()["body.1.running_var"][4:].tolist() == [1, 1]
    assert large.weights()["body.1.bias"][4:].tolist() == large.statistics()["body.1.running_mean"][4:].tolist() == [0, 0]


def test_what_is_drawn_belongs_to_seed_place_and_size() -> None:
    one, other = named({"a": Conv(4), "b": Conv(4)}), named({"b": Conv(3)})
    first, second, third = bank(), bank(), bank(seed=1)
    for shared, order in ((first, (one, other)), (second, (named({"a": Conv(4)}), one)), (third, (one,))):
        for described in order:
            shared.candidate(described)
    assert torch.equal(first.weights["b/conv_3x3"], second.weights["b/conv_3x3"])
    assert not torch.equal(first.weights["b/conv_3x3"], third.weights["b/conv_3x3"])
    assert not torch.equal(first.weights["a/conv_3x3"][:, :3], first.weights["b/conv_3x3"][:, :3])


def test_initial_weights_have_the_deviation_of_an_ordinary_network() -> None:
    shared = bank()
    shared.candidate(named({"full": Conv(64), "deep": Conv(64, 5, groups=64)}))
    assert float(shared.weights["full/conv_3x3"].std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)
    assert float(shared.weights["deep/depthwise_5x5"].std()) == pytest.approx((2 / 25) ** 0.5, rel=0.1)
    assert 0.9 / 8 < float(shared.weights["head/weight"].abs().max()) <= 1 / 8


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_restored_bank_goes_on_as_the_one_that_was_saved(layout: torch.memory_format, tmp_path: Path) -> None:
    saved, other = (
        Bank(image_shape=IMAGE_SHAPE, n_classes=N_CLASSES, seed=0, device=torch.device("cpu"), memory_format=layout) for _ in range(2)
    )
    candidate = saved.candidate(layers(SMALL["cell"]))
    candidate.write({}, {name: torch.ones_like(m) for name, m in candidate.momenta().items()}, {})
    save_file(saved.tensors(), tmp_path / "bank.safetensors")
    other.candidate(layers(LARGE["cell"]))
    known = other.candidate(layers(SMALL["cell"]))
    other.restore(load_file(tmp_path / "bank.safetensors"))
    assert same(other.tensors(), saved.tensors())
    assert same(known.weights(), candidate.weights())
    assert all(w.is_contiguous(memory_format=layout) for w in other.weights.values() if w.dim() == 4)
    for shared in (saved, other):
        shared.candidate(layers(LARGE["cell"]))
    assert same(other.tensors(), saved.tensors())


def test_what_is_no_bank_is_refused_and_the_bank_stays() -> None:
    shared = bank()
    shared.candidate(Conv(4))
    before = copied(shared.tensors())
    for tensors, said in (({"weights/a": torch.ones(1)}, "named 'weights/a'"), ({"weight/a": torch.ones(1)}, "their momenta differ")):
        with pytest.raises(OptionError, match=said):
            shared.restore(tensors)
    assert same(shared.tensors(), before)


def test_what_is_written_is_what_others_find() -> None:
    shared = bank()
    wide, narrow = (shared.candidate(named({"conv": Conv(n), "norm": Norm(), "relu": Activation()})) for n in (6, 4))
    written = [
        {name: torch.full_like(t, value) for name, t in tensors.items()}
        for value, tensors in ((2.0, narrow.weights()), (3.0, narrow.momenta()), (4.0, narrow.statistics()))
    ]
    narrow.write(*written)
    for value, tensors in ((2.0, wide.weights()), (3.0, wide.momenta())):
        assert (tensors["body.0.weight"][:4] == value).all()
        assert (tensors["body.0.weight"][4:] != value).all()
    assert wide.statistics()["body.1.running_mean"].tolist() == [4] * 4 + [0] * 2


def test_temporary_steps_leave_the_bank_as_it_is() -> None:
    shared = bank()
    candidate = shared.candidate(layers(SMALL["multi_branch"]))
    before = copied(shared.tensors())
    weights, momenta, statistics = candidate.weights(), candidate.momenta(), candidate.statistics()
    x, targets = batch()
    for _ in range(2):
        drawn = noise(candidate)
        _, _, slopes, statistics = steps.gradients(candidate.network, weights, statistics, x, targets, drawn, CPU, label_smoothing=0.1)
        weights, momenta = steps.sgd(weights, momenta, slopes, rate=0.1, momentum=0.9, weight_decay=1e-3)
    steps.logits(candidate.network, weights, statistics, x, None, CPU)
    assert same(shared.tensors(), before)
    assert not torch.equal(weights["head.weight"], candidate.weights()["head.weight"])
    candidate.write(weights, momenta, statistics)
    assert same(candidate.weights(), weights)
    assert same(candidate.statistics(), statistics)


def test_a_candidate_is_built_once_as_long_as_it_is_kept() -> None:
    shared = bank()
    first = shared.candidate(Conv(1, 1))
    assert shared.candidate(Conv(1, 1)) is first
    for out in range(2, KEPT + 1):
        shared.candidate(Conv(out, 1))
    assert shared.candidate(Conv(1, 1)) is first
    for out in range(2, KEPT + 2):
        shared.candidate(Conv(out, 1))
    assert shared.candidate(Conv(1, 1)) is not first


def test_a_candidate_has_no_storage_of_its_own() -> None:
    network = bank().candidate(layers(SMALL["wrn"])).network
    assert {p.device.type for p in network.parameters()} == {b.device.type for b in network.buffers()} == {"meta"}
