"""Every space of the catalogue keeps the contract."""

import pytest

from bohb_nas import refs
from bohb_nas.space.encoding import Encoding
from bohb_nas.space.files import load_space
from bohb_nas.testing import Finding, check_space

NAMES = refs.names("space")


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    assert [finding for finding in check_space(load_space(name)) if finding.problem] == list[Finding]()


@pytest.mark.parametrize("name", NAMES)
def test_space_is_made_anew_each_time(name: str) -> None:
    first, second = load_space(name), load_space(name)
    assert first is not second
    assert first == second


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(refs.load_module("space", name), "size")])
def test_sizes_are_positive(name: str) -> None:
    size = refs.load_module("space", name).size
    encoding = Encoding(load_space(name))
    for seed in range(20):
        computed = size(encoding.sample(seed))
        assert computed["params"] > 0
        assert computed["flops"] > 0
