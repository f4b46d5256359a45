"""What the nodes of DHA's cell keep: anything within reach, one operator to an edge; what tells codes where to go."""

import json
from collections.abc import Mapping

import numpy as np
import pytest
from dha_fakes import SPACE

from bohb_nas.networks import cell as cells
from bohb_nas.one_shot_settings import Dha
from bohb_nas.oneshot.cell_codes import CellCodes, columns_of
from bohb_nas.oneshot.chance import Chance
from bohb_nas.oneshot.credits import Credits
from bohb_nas.oneshot.sparse_coding import Node

COLUMNS = columns_of(SPACE)


def codes(seed: int = 0, **settings: float) -> CellCodes:
    return CellCodes(COLUMNS, Dha(**settings), Chance(seed))  # type: ignore[arg-type]


def everything() -> set[tuple[int, int]]:
    return {(target, column) for target, choices in COLUMNS.items() for column in range(len(choices))}


def kept(nodes: Mapping[int, Node]) -> set[tuple[int, int]]:
    return {(target, column) for target, node in nodes.items() for column in node.kept}


def test_columns_are_all_operators_but_none() -> None:
    edges = {(source, target) for target, choices in COLUMNS.items() for source, _ in choices}
    assert edges == set(cells.EDGES)
    assert all({operator for _, operator in choices} == set(cells.OPERATORS[1:]) for choices in COLUMNS.values())
    assert [len(COLUMNS[target]) for target in (1, 2, 3)] == [4, 8, 12]


@pytest.mark.parametrize("proj_dims", [7, 12])
def test_every_operator_is_kept_under_some_seed(proj_dims: int) -> None:
    assert set.union(*(kept(codes(seed, proj_dims=proj_dims).nodes) for seed in range(60))) == everything()


@pytest.mark.parametrize("proj_dims", [7, 12])
def test_every_operator_can_be_brought_in_by_the_code(proj_dims: int) -> None:
    """The last one of the list, too."""
    for target, column in everything():
        found = codes(proj_dims=proj_dims)
        found.nodes[target] = found.nodes[target].with_code(-2.0 * found.nodes[target].columns[:, column])
        found.recover()
        assert column in found.nodes[target].kept


def test_no_edge_ever_has_two_operators() -> None:
    for seed in range(60):
        found = codes(seed, explore=1.0)
        for nodes in (found.nodes, found.drawn(0.0, seed)[0]):
            for target, node in nodes.items():
                sources = [COLUMNS[target][column][0] for column in node.kept]
                assert len(sources) == len(set(sources)) == min(2, target)


def test_tried_operators_are_drawn_evenly() -> None:
    """Each node in a third of trials; on an edge each of four is as likely; node 3 keeps two of three edges: 2/3 of 1/4."""
    found = codes(explore=1.0)
    n = 3000
    drawn = [found.drawn(0.0, 4 * number) for number in range(n)]
    for target, chance in ((1, 1 / 4), (2, 1 / 4), (3, 1 / 6)):
        own = [nodes for nodes, tried in drawn if tried == target]
        assert len(own) / n == pytest.approx(1 / 3, abs=0.04)
        assert all(nodes[other] is node for nodes in own for other, node in found.nodes.items() if other != target)
        shares = np.bincount([column for nodes in own for column in nodes[target].kept], minlength=4 * target) / len(own)
        assert np.abs(shares - chance).max() < 4.5 * np.sqrt(chance * (1 - chance) / len(own))


@pytest.mark.parametrize("proj_dims", [7, 12])
def test_tried_operators_have_weights_of_one_with_the_signs_of_their_own(proj_dims: int) -> None:
    """Where the columns are at right angles, and where there is no room for that."""
    found = codes(explore=1.0, proj_dims=proj_dims)
    for number in range(40):
        nodes, tried = found.drawn(0.0, 4 * number)
        assert tried is not None
        node = found.nodes[tried]
        along = node.columns.T @ node.code
        assert nodes[tried].weights() == pytest.approx(np.sign(along[list(nodes[tried].kept)]))


def test_fewer_are_tried_as_the_search_goes_on_and_none_when_it_is_over() -> None:
    found = codes(explore=0.8, search_share=0.5)
    shares = [np.mean([found.drawn(u, 4 * number)[1] is not None for number in range(1000)]) for u in (0.0, 0.25, 0.5, 0.9)]
    assert shares[:2] == pytest.approx([0.8, 0.6], abs=0.06)
    assert shares[2:] == [0.0, 0.0]
    assert all(codes(explore=0.0).drawn(0.0, number)[1] is None for number in range(200))


def test_frozen_nodes_are_never_drawn_anew() -> None:
    found = codes(explore=1.0)
    found.frozen[3] = 0.1
    assert {found.drawn(0.0, 4 * number)[1] for number in range(40)} == {1, 2}
    found.frozen |= {1: 0.1, 2: 0.1}
    assert found.drawn(0.0, 0) == (found.nodes, None)


def test_without_exploration_only_ratios_of_weights_are_learnt() -> None:
    """The only operator of a node has no slope: a normalisation follows."""
    found = codes(explore=0.0)
    before = dict(found.nodes)
    found.learn(found.nodes, {1: [0.0], 2: [1.0, -1.0], 3: [0.5, 0.5]}, 1.0, tried=None, u=0.4)
    assert np.array_equal(found.nodes[1].code, before[1].code)
    for target, slopes in ((2, [1.0, -1.0]), (3, [0.5, 0.5])):
        node = before[target]
        gradient = node.columns[:, list(node.kept)] @ np.array(slopes) + 1e-3 * node.code
        step = found.nodes[target].code - node.code
        assert step == pytest.approx(-Dha().code_rate * np.sign(gradient), rel=1e-4)  # Adam's first


def test_nodes_that_do_not_reach_the_output_hear_no_slopes() -> None:
    found = codes(explore=0.0)
    before = dict(found.nodes)
    found.learn(found.nodes, {1: [0.0], 3: [0.5, 0.5]}, 1.0, tried=None, u=0.4)
    assert np.array_equal(found.nodes[2].code, before[2].code)


def test_nothing_is_learnt_while_convolutions_are_random() -> None:
    """In the first half of the search; and no node is frozen because it did not move."""
    found = codes(search_share=0.5, recover_every=1)
    before = found.state()
    for step in range(8):
        nodes, tried = found.drawn(0.2, step)
        found.learn(nodes, {target: [0.5] * len(node.kept) for target, node in nodes.items()}, 1.0, tried=tried, u=0.2)
        assert not found.due
    assert found.state() == before
    found.learn(found.nodes, {2: [0.5, 0.4]}, 1.0, tried=None, u=0.25)
    assert found.due


def test_nodes_that_hardly_moved_have_settled_and_those_that_nothing_moved_have_not() -> None:
    found = codes(settled=1e-3)
    for target, distance in ((2, 0.9e-3), (3, 1.1e-3)):
        node = found.nodes[target]
        found.nodes[target] = node.with_code(node.code + distance * node.columns[:, node.kept[0]])
    assert found.recover() == [2]
    assert found.swaps == 0
    node = found.nodes[3]
    other = next(column for column in range(len(COLUMNS[3])) if column not in node.kept)
    found.nodes[3] = node.with_code(2.0 * node.columns[:, other])
    assert (found.recover(), found.swaps) == ([], 1)


def test_an_operator_with_low_losses_takes_its_place() -> None:
    """One of each node is worth something; what else is in a network is noise."""
    rng = np.random.default_rng(0)
    wanted = {1: 3, 2: 6, 3: 11}
    found = codes(seed=1, explore=1.0)
    for step in range(900):
        nodes, tried = found.drawn(0.2, 4 * step)
        good = sum(column in nodes[target].kept for target, column in wanted.items())
        slopes = {target: [0.0] * len(node.kept) for target, node in nodes.items()}
        found.learn(nodes, slopes, 1 - 0.1 * good + 0.1 * rng.normal(), tried=tried, u=0.4)
        if step % 50 == 49:
            found.recover()
    assert all(column in found.nodes[target].kept for target, column in wanted.items())


def test_credits_are_losses_below_the_running_mean_in_usual_deviations() -> None:
    """By hand: means before 2, 1.5, 5/3; below 0, 1, -0.5; deviations 0, 1/2, 1/2."""
    worth = Credits({1: 2})
    worth.learn(1, [0], 2.0)
    worth.learn(1, [1], 1.0)
    assert worth.of(1) == pytest.approx([-1.0, 1.0])  # 0 and 1 / 0.5
    worth.learn(1, [0], 2.0)
    assert worth.of(1) == pytest.approx([-1.25, 1.25])  # (0 - 0.5 / 0.5) / 2 and 2


def test_no_single_loss_counts_for_more_than_three_deviations() -> None:
    worth = Credits({1: 2})
    for loss in (1.0, 1.1) * 20:
        worth.learn(1, [0], loss)
    usual = worth.of(1)[0]
    worth.learn(1, [1], -1e9)
    assert worth.of(1)[1] - worth.of(1)[0] == pytest.approx(3.0 - 2 * usual, abs=0.5)


def test_a_state_as_json_brings_everything_back() -> None:
    found = codes(seed=2)
    for step in range(12):
        nodes, tried = found.drawn(0.1, step)
        found.learn(nodes, {target: [0.1] * len(node.kept) for target, node in nodes.items()}, 1 / (1 + step), tried=tried, u=0.4)
    found.recover()
    found.frozen[1] = 0.25
    other = codes(seed=3)
    other.restore(json.loads(json.dumps(found.state())))
    assert other.state() == found.state()
    for one in (found, other):
        one.learn(one.nodes, {2: [0.3, -0.2]}, 0.4, tried=2, u=0.4)
        one.learn(one.nodes, {2: [0.3, -0.2]}, 0.4, tried=None, u=0.4)
    assert other.state() == found.state()
