"""What is refused before a search begins, because its data set or its bounds do not allow it."""

from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace
from dha_fakes import bare

from bohb_nas.engine.plan import Request, plan
from bohb_nas.errors import OptionError, UsageError
from bohb_nas.search_spaces import cell, joint
from bohb_nas.workers.one_shot import check


def checked(space: ConfigurationSpace, search: dict[str, Any], **options: Any) -> list[str]:
    return check(space, search=search, dataset="digits", device="cpu", **options)


def test_what_a_search_does_not_decide_is_said_with_its_reason() -> None:
    lines = checked(cell.space(), {"method": "autohas"})
    assert "autohas: batch_size stays at 128: a reward after a few steps cannot rank it" in lines
    assert any(line.startswith("dha: cell_channels stays at") for line in checked(cell.space(), {"method": "dha"}))


def test_too_few_images_held_out_for_hypergradients() -> None:
    # digits: about 144 training images of each of 10 classes, of which 0.001 is rounded up to one each
    with pytest.raises(OptionError, match="10 validation images; accepted are 32 or more"):
        checked(cell.space(), {"method": "dha"}, valid_fraction=0.001)
    checked(cell.space(), {"method": "dha", "hyper_rate": 0.0}, valid_fraction=0.001)
    checked(cell.space(), {"method": "autohas"}, valid_fraction=0.001)


def test_spaces_of_several_families_are_taken() -> None:
    for method in ("dha", "autohas"):
        checked(joint.space(), {"method": method})


@pytest.mark.parametrize("method", ["dha", "autohas"])
def test_bounds_that_no_network_keeps(method: str) -> None:
    for bound in ({"max_params": 10}, {"max_flops": 10.0}):
        with pytest.raises(OptionError, match=r"accepted are larger bounds, or a space of smaller"):
            checked(cell.space(), {"method": method, **bound})
    checked(cell.space(), {"method": method, "max_params": 1e9, "max_flops": 1e12})


def test_the_largest_network_of_dha_drops_an_edge_of_the_last_node() -> None:
    # C channels: a 3x3 operator and its normalisation have 9 C^2 + 2 C parameters; a node keeps two edges at most, so 1 + 2 + 2 of them
    default = {name: cell.space()[name].default_value for name in ("cell_channels", "cell_repeats")}
    assert default == {"cell_channels": 16, "cell_repeats": 2}
    operators = sum(2 * 5 * (9 * c * c + 2 * c) for c in (16, 32, 64))
    stem = 9 * 1 * 16 + 2 * 16
    reductions = sum(9 * c * 2 * c + 2 * 2 * c + 9 * 2 * c * 2 * c + 2 * 2 * c + c * 2 * c for c in (16, 32))
    head = 2 * 64 + 64 * 10 + 10
    total = operators + stem + reductions + head
    for space in (cell.space(), bare()):  # what a space does not say is the default
        checked(space, {"method": "dha", "max_params": float(total)})
        with pytest.raises(OptionError, match=f"has {total:g} params where"):
            checked(space, {"method": "dha", "max_params": float(total - 1)})


def request(method: str, **more: Any) -> Request:
    return Request(method=method, **{"dataset": "digits", "budget_max": 27.0, **more})


def test_a_time_in_which_the_search_does_not_fit() -> None:
    for more in ({"total_s": 26.0}, {"total_s": 50.0, "method_options": {"search_s": 51}}):
        with pytest.raises(UsageError, match="nothing could be searched; give more time"):
            plan(request("dha", **more))
    assert plan(request("dha", total_s=27.0))["stop"]["total_s"] == 27.0
    assert plan(request("autohas", total_s=5.0, method_options={"search_s": 5}))["stop"]["total_s"] == 5.0
    assert plan(request("bohb", total_s=1.0))["stop"]["total_s"] == 1.0
    meant = plan(request("dha", total_s=5.0, method_options={"search_s": "soon"}))
    assert meant["method_options"] == {"search_s": "soon"}, "the method says what is wrong with it"


def test_the_file_of_the_space_is_the_studys_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="space_file: what is searched is the study's own space"):
        plan(request("dha", worker_options={"space_file": str(tmp_path)}))
