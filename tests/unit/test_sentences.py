"""Sentences claim what the statistics allow, and say so where they do not."""

from typing import Any, cast

import pytest

from bohb_nas.analysis.findings import Budget, Comparison, ModelTest, Parameter, RankCorrelation
from bohb_nas.analysis.sentences import of_budgets, of_comparison, of_importance, of_model, of_pace

NAMES = {1.0: "6m", 3.0: "18m", 9.0: "1h"}


def parameter(name: str, share: float, *, claimed: bool) -> Parameter:
    numbers = {"main": share, "with_parents": share, "total": share, "p_active": 1.0, "n_active": 9, "when_active": share}
    return cast(Parameter, numbers | {"name": name, "spread": [share / 2, share + 0.1], "claimed": claimed, "curve": None})


def budget(*parameters: Parameter, refused: str | None = None, n_promoted: int = 0) -> Budget:
    return Budget(
        n=20,
        refused=refused,
        oob_r2=0.5,
        threshold=0.12,
        parameters=list(parameters),
        pairs=[],
        good=None,
        budget=3.0,
        n_told=20,
        n_failed=0,
        by_status={},
        by_origin={},
        losses=None,
        n_promoted=n_promoted,
        selected=None,
    )


def said(found: Any) -> list[tuple[str, bool]]:
    return [(sentence["text"], sentence["holds"]) for sentence in found]


def test_what_is_above_chance_is_named() -> None:
    lr, width = parameter("learning_rate", 0.48, claimed=True), parameter("width", 0.1, claimed=False)
    assert said(of_importance([budget(lr, width)], NAMES)) == [
        (
            "At 18m `learning_rate` explains 48 % (spread 24 to 58 %) of the variation; "
            "nothing else is above what chance reaches (12 %), n = 20",
            True,
        )
    ]


def test_no_more_than_three_are_named() -> None:
    five = [parameter(f"x{k}", 0.2, claimed=True) for k in range(5)]
    ((text, holds),) = said(of_importance([budget(*five, n_promoted=15)], NAMES))
    assert text.startswith(
        "At 18m, among 20 mostly promoted configurations, `x0` explains 20 % (spread 10 to 30 %) of the variation, `x1` 20 % (10 to 30 %)"
    )
    assert "x3" not in text
    assert "; 2 more are above what chance reaches" in text
    assert holds


@pytest.mark.parametrize(("n_promoted", "begins"), [(10, "At 18m no"), (11, "At 18m, among 20 mostly promoted configurations, no")])
def test_more_than_half_promoted_is_mostly_promoted(n_promoted: int, begins: str) -> None:
    ((text, _),) = said(of_importance([budget(n_promoted=n_promoted)], NAMES))
    assert text.startswith(f"{begins} hyperparameter explains")


def test_where_chance_reaches_as_far_nothing_is_named() -> None:
    ((text, holds),) = said(of_importance([budget(parameter("width", 0.11, claimed=False))], NAMES))
    assert text == "At 18m no hyperparameter explains more of the variation than chance reaches (12 %), n = 20"
    assert not holds
    assert said(of_importance([budget(refused="3 observations")], NAMES)) == [
        ("At 18m nothing can be said of importance: 3 observations", False)
    ]


def pair(rho: float | None, interval: list[float] | None, *, high: float = 3.0, note: str | None = None) -> RankCorrelation:
    return RankCorrelation(
        low=1.0, high=high, n=27, spearman=rho, interval=interval, p_value=0.01, kendall=rho, kendall_p_value=0.01, note=note
    )


@pytest.mark.parametrize(
    ("interval", "promoted", "begins", "holds"),
    [
        ([0.62, 0.91], True, "6m ranks configurations like 18m: Spearman 0.70 [0.62, 0.91], n = 27 after promotion", True),
        ([0.62, 0.91], False, "6m ranks configurations like 18m: Spearman 0.70 [0.62, 0.91], n = 27", True),
        ([0.45, 0.91], False, "Whether 6m ranks configurations like 18m cannot be told", False),
        ([-0.1, 0.45], False, "6m does not rank configurations like 18m", True),  # noise alone may do that: nothing misleads
        ([-0.8, -0.1], False, "6m misleads: it ranks configurations against 18m", True),
        ([-0.1, 0.45], True, "Whether 6m ranks configurations like 18m cannot be told", False),  # selection alone may do that
        ([-0.8, -0.1], True, "Whether 6m ranks configurations like 18m cannot be told", False),
    ],
)
def test_what_the_interval_says_of_a_budget(interval: list[float], *, promoted: bool, begins: str, holds: bool) -> None:
    ((text, claimed),) = said(of_budgets([pair(0.7, interval, note="promoted" if promoted else None)], [], NAMES))
    assert text.startswith(begins)
    assert claimed is holds
    assert ("rank-probe" in text) == (promoted and not holds)


def test_probes_are_believed_before_what_was_promoted() -> None:
    ((text, holds),) = said(of_budgets([pair(0.9, [0.8, 0.95], note="promoted")], [pair(0.0, [-0.3, 0.3])], NAMES))
    assert text == "6m does not rank configurations like 18m: Spearman 0.00 [-0.30, 0.30], n = 27 probes"
    assert holds


def test_what_was_promoted_is_heard_where_probes_cannot_tell() -> None:
    unclear = pair(0.4, [-0.7, 0.95])
    assert said(of_budgets([pair(0.9, [0.8, 0.95], note="promoted")], [unclear], NAMES)) == [
        ("6m ranks configurations like 18m: Spearman 0.90 [0.80, 0.95], n = 27 after promotion", True)
    ]
    ((text, holds),) = said(of_budgets([pair(0.4, [0.1, 0.6], note="promoted")], [unclear], NAMES))
    assert text.endswith("probes")
    assert not holds


def test_too_few_probes_alone_are_said_to_be_too_few() -> None:
    assert said(of_budgets([], [pair(None, None, note="too few: 3")], NAMES)) == [
        ("Whether 6m ranks configurations like 18m cannot be told: too few: 3", False)
    ]


def test_a_budget_is_held_against_the_next_and_against_the_dearest_that_it_can_be() -> None:
    pairs = [pair(0.9, [0.8, 0.95], high=high) for high in (3.0, 5.0, 9.0)]
    names = {**NAMES, 5.0: "30m"}
    assert [text.partition(":")[0] for text, _ in said(of_budgets(pairs, [], names))] == [
        "6m ranks configurations like 18m",
        "6m ranks configurations like 1h",
    ]


def test_too_few_are_said_to_be_too_few() -> None:
    assert said(of_budgets([pair(None, None, note="too few: 3")], [], NAMES)) == [
        ("Whether 6m ranks configurations like 18m cannot be told: too few: 3", False)
    ]


def picks(better: float | None, p_holm: float | None) -> ModelTest:
    return ModelTest(
        budget=1.0,
        n_model=30,
        n_random=20,
        median_model=0.1,
        median_random=0.2,
        better=better,
        interval=None if better is None else [0.5, 0.7],
        p_value=p_holm,
        p_holm=p_holm,
    )


@pytest.mark.parametrize(
    ("better", "p_holm", "word", "holds"),
    [(0.64, 0.003, "better than", True), (0.36, 0.003, "worse than", True), (0.64, 0.06, "not told apart from", False)],
)
def test_whether_the_model_helps(better: float, p_holm: float, word: str, *, holds: bool) -> None:
    ((text, claimed),) = said(of_model([picks(better, p_holm)], NAMES))
    assert text.startswith(f"At 6m the model's picks are {word} random ones: the lower loss in {100 * better:.0f} % of pairs [50, 70 %]")
    assert claimed is holds


def test_where_no_budget_has_enough_picks_one_sentence_says_so() -> None:
    assert said(of_model([picks(None, None)], NAMES)) == [
        ("Whether the model helps cannot be told: no budget has 4 of its picks and 4 random ones", False)
    ]
    assert said(of_model([], NAMES)) == []


def compared(difference: float, p_holm: float | None, *, n_seeds: int = 3) -> Comparison:
    row: dict[str, Any] = dict.fromkeys(("sd", "seed_interval", "wilson", "n_images", "params", "flops", "train_s", "p_value"))
    row["budget"] = 9.0
    own = row | {"name": "t1", "kind": "incumbent", "n_seeds": 1, "error": 0.1, "difference": None, "p_holm": None, "test": None}
    other = row | {
        "name": "wrn",
        "kind": "baseline",
        "n_seeds": n_seeds,
        "error": 0.1 + difference,
        "difference": difference,
        "p_holm": p_holm,
    }
    return Comparison(budget=9.0, measured="validation", rows=[other | {"test": "z-test" if p_holm is not None else "no test"}, own])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("difference", "p_holm", "begins", "holds"),
    [
        (0.05, 0.001, "At 1h the incumbent beats wrn: 0.1 against 0.15", True),
        (
            0.05,
            0.002,
            "At 1h the incumbent, chosen among 30, and wrn are not told apart",
            False,
        ),  # the lowest of 30
        (-0.05, 0.04, "At 1h wrn beats the incumbent: 0.1 against 0.05", True),
        (-0.05, 0.06, "At 1h the incumbent, chosen among 30, and wrn are not told apart", False),
        (0.05, None, "At 1h the incumbent has 0.1 against 0.15 of wrn; no test", False),
    ],
)
def test_what_beats_a_baseline(difference: float, p_holm: float | None, begins: str, *, holds: bool) -> None:
    ((text, claimed),) = said(of_comparison(compared(difference, p_holm), NAMES, n_searched=30, incumbent="t1"))
    assert text.startswith(begins)
    assert claimed is holds


def test_one_seed_each_allows_no_claim() -> None:
    ((text, claimed),) = said(of_comparison(compared(0.05, 1e-9, n_seeds=1), NAMES, n_searched=30, incumbent="t1"))
    assert text.startswith("At 1h the incumbent has 0.1 against 0.15 of wrn, one seed each, which allows no claim; p < 0.001")
    assert not claimed


def test_the_best_at_a_budget_is_not_called_the_incumbent_where_another_is() -> None:
    ((text, _),) = said(of_comparison(compared(0.05, 0.001), NAMES, n_searched=30, incumbent="t2"))
    assert text.startswith("At 1h t1, the best of the search there, beats wrn")
    ((text, _),) = said(of_comparison(compared(-0.05, 0.001), NAMES, n_searched=30, incumbent="t2"))
    assert text.startswith("At 1h wrn beats t1, the best of the search there: 0.1 against 0.05")


def test_without_a_comparison_nothing_is_compared() -> None:
    assert said(of_comparison(None, NAMES, n_searched=0, incumbent=None)) == []


def test_pace() -> None:
    figures: Any = {"device_hours": 12.34, "used_s": 14400.0, "evaluations_per_hour": 30.0, "train_share": 0.97}
    assert said(of_pace(figures)) == [("12.3 device hours in 4h, 30 evaluations an hour; workers trained 97 % of their time", True)]
    assert said(of_pace({**figures, "evaluations_per_hour": None})) == []  # type: ignore[typeddict-item]
