"""The findings of an analysis: what `bohb-nas analyze --json` prints, and all that figures and the report are drawn from.

Every entry is JSON. Losses are the study's, budgets in its unit, times in seconds since the first ask without the spans that nobody led.
None stands for what cannot be said; why not is said beside it. (Longer than other modules: the whole contract stands in one place.)
"""

from typing import Any, Literal, TypedDict

from bohb_nas.records import Value


class StudyFacts(TypedDict):
    """What was searched, and how far."""

    name: str
    """Of the study's directory."""
    space: str
    dataset: str | None
    worker: str
    method: str
    unit: str
    """Of budgets; "s" for seconds."""
    eta: float
    budgets: list[float]
    """All rungs, cheapest first, whether or not one has evaluations."""
    seed: int
    done: bool
    n_trials: int
    """Told, those beside the search included."""
    by_status: dict[str, int]
    by_origin: dict[str, int]
    devices: dict[str, int]
    """Evaluations by the model of the device; equal seconds on different ones are different budgets."""


class Hyperparameter(TypedDict):
    """One axis of the space."""

    name: str
    kind: Literal["float", "integer", "ordinal", "categorical", "constant"]
    log: bool
    lower: float | None
    """None but for floats and integers; so for `upper`."""
    upper: float | None
    choices: list[Value]
    """Of ordinals, in order, and categoricals; else empty."""
    parents: list[str]
    """Whose values decide whether it is active."""
    condition: str | None
    """When it is active, for people."""
    default: Value | None


class Curve(TypedDict):
    """A marginal: the mean loss over everything else at each value, where the hyperparameter is active."""

    at: list[Value]
    """(k,) values in the hyperparameter's own unit: levels, or points of a grid in rising order."""
    place: list[float]
    """(k,) the same on the axis of the search distribution, [0, 1]; for levels 0, 1, 2, …"""
    mean: list[float]
    """(k,) over the trees."""
    low: list[float]
    """(k,) the 5th percentile over the trees; `high` the 95th. A spread over trees is no confidence interval."""
    high: list[float]


class Parameter(TypedDict):
    """How much a hyperparameter matters at a budget; shares of the variance of the loss over the search distribution."""

    name: str
    main: float
    """Its main effect."""
    with_parents: float
    """Its main effect and its interactions with the hyperparameters that it depends on: what the ranking goes by."""
    total: float
    """Every effect that it takes part in."""
    p_active: float
    """How probable it is, in the space, that it is active."""
    n_active: int
    """Observations with it."""
    when_active: float | None
    """Its share where it is active, of the variance there."""
    spread: list[float]
    """[5th, 95th] percentile of `with_parents` over the trees: no confidence interval."""
    claimed: bool
    """Whether it is above the threshold that chance reaches."""
    curve: Curve | None


class PairMap(TypedDict):
    """The joint marginal of two hyperparameters on a grid, where both are active."""

    at: list[list[Value]]
    """Values of the first, (k), and of the second, (l)."""
    mean: list[list[float]]
    """(k, l)."""


class Pair(TypedDict):
    """An interaction of two hyperparameters, without their main effects."""

    names: list[str]
    share: float
    spread: list[float]
    map: PairMap | None
    """Of the strongest ones."""


class GoodRegion(TypedDict):
    """What makes configurations good, and better: the importance with every loss above the cut-off counting as the cut-off.

    All observations have a part in it: it is no importance within a region of the space.
    """

    cutoff: float
    rule: str
    """Where the cut-off comes from."""
    n_below: int
    threshold: float | None
    """What chance reaches, of the cut-off function: its own, from the same shuffles."""
    parameters: list[Parameter]
    """Without curves."""


class Importance(TypedDict):
    """The fANOVA of some observations."""

    n: int
    """Observations that it rests on."""
    refused: str | None
    """Why nothing is claimed: too few observations, a forest that predicts nothing; then the lists are empty."""
    oob_r2: float | None
    """Of the forest, on observations that a tree has not seen; with few of them it is uncertain itself."""
    threshold: float | None
    """The share that chance stays below in 95 of 100 shuffles, of the losses or, among few hyperparameters, of values."""
    parameters: list[Parameter]
    """By falling `with_parents`."""
    pairs: list[Pair]
    """By falling share."""
    good: GoodRegion | None


class Budget(Importance):
    """What is known at one budget."""

    budget: float
    n_told: int
    n_failed: int
    by_status: dict[str, int]
    by_origin: dict[str, int]
    losses: list[float] | None
    """[lowest, first quartile, median, third quartile, highest] of those that ended well and break no constraint."""
    n_promoted: int
    """Observations that came there by promotion."""
    selected: str | None
    """How its configurations were selected, where they were, and so whom its importance speaks of."""


class RankCorrelation(TypedDict):
    """How far one budget's order of configurations is another's."""

    low: float
    high: float
    n: int
    """Configurations with a loss at both."""
    spearman: float | None
    interval: list[float] | None
    """95 %."""
    p_value: float | None
    kendall: float | None
    kendall_p_value: float | None
    note: str | None
    """Of selection by promotion, or why there is no figure."""


class Shape(TypedDict):
    """The losses of one configuration by budget."""

    config_id: str
    origin: str
    """Of its first trial."""
    losses: list[list[float]]
    """[budget, loss] by rising budget."""


class Point(TypedDict):
    """An evaluation in the trajectory."""

    time: float
    """When it was told."""
    budget: float
    loss: float
    trial_id: str
    origin: str
    violates: bool
    """Whether it breaks a constraint."""


class Row(TypedDict):
    """A trial that was told, in full."""

    trial_id: str
    config_id: str
    config: dict[str, Value]
    budget: float
    bracket: int
    origin: str
    status: str
    loss: float | None
    asked: float
    """Time of the ask."""
    told: float
    train_s: float
    params: float | None
    flops: float | None
    device: str | None
    """Model of the device."""
    violates: bool
    """Whether its result breaks a constraint."""
    message: str | None


class ModelTest(TypedDict):
    """Model's picks against random ones of the same budget: configurations that entered there, none promoted."""

    budget: float
    n_model: int
    n_random: int
    median_model: float | None
    median_random: float | None
    better: float | None
    """How probable it is that a model's pick has the lower loss; 0.5 is no difference."""
    interval: list[float] | None
    """95 % of that."""
    p_value: float | None
    """Mann-Whitney, two-sided."""
    p_holm: float | None
    """The same over all budgets, Holm-adjusted."""


class RungHours(TypedDict):
    """Device hours spent at a budget, as they add up."""

    budget: float
    times: list[float]
    hours: list[float]
    """(k,) after each evaluation."""


class Pace(TypedDict):
    """How the time was used."""

    span_s: float
    """From the first ask to the last line, without spans that nobody led."""
    used_s: float
    """The same with those of them in which something was in training: what rates are over."""
    device_hours: float
    evaluations_per_hour: float | None
    """None where the search has told nothing."""
    n_workers: int
    """Different workers that answered."""
    train_share: float | None
    """Of the workers' time, spent in training."""
    idle_median_s: float | None
    """Of a worker, between two trials."""


class Incumbent(TypedDict):
    """The incumbent, and what its worker left for whoever draws it."""

    trial_id: str
    config_id: str
    config: dict[str, Value]
    budget: float
    loss: float
    origin: str
    params: float | None
    flops: float | None
    ready_to_use: bool
    """Whether its worker says that it left a trained network, and its loss is that network's."""
    model_there: bool
    """Whether such a network still lies in the study."""
    network: dict[str, Any] | None
    """The tree of its layers (`layers.drawing.draw`), where there is one."""
    curve: list[dict[str, float]]
    """Its learning curve as its worker wrote it: `step`, `seconds`, and measures."""


class AblationStep(TypedDict):
    """One change on the way."""

    names: list[str]
    """The hyperparameter that is changed, and those that come and go with it."""
    before: dict[str, Value | None]
    """Values of `names`; None where inactive."""
    after: dict[str, Value | None]
    loss: float
    """That the forest predicts after the change."""
    spread: list[float]


class Ablation(TypedDict):
    """From a known configuration to the incumbent, at each step the change that lowers the predicted loss most."""

    start: str
    """The name of the configuration that it starts from."""
    budget: float
    loss: float
    """Predicted at the start."""
    spread: list[float]
    steps: list[AblationStep]


class Compared(TypedDict):
    """One row of the comparison: a hand-designed network, or the incumbent."""

    name: str
    kind: Literal["baseline", "incumbent"]
    budget: float
    """In seconds where it was trained for good."""
    n_seeds: int
    error: float
    """Mean over seeds."""
    sd: float | None
    seed_interval: list[float] | None
    """95 % of the mean, by Student's t over seeds, no further than 0 and 1 where `wilson` is told; None where they do not differ."""
    wilson: list[float] | None
    """95 % of one seed's error over `n_images`; of the first seed."""
    n_images: int | None
    params: float | None
    flops: float | None
    train_s: float | None
    difference: float | None
    """Of the mean error from the incumbent's."""
    p_value: float | None
    p_holm: float | None
    test: str | None
    """Which test that was, or why there is none."""


class Comparison(TypedDict):
    """Hand-designed networks and the incumbent, trained by the same worker for equal time; or what was trained for good."""

    budget: float | None
    """Of every row; None where models were trained for good for different times."""
    measured: Literal["validation", "test"]
    rows: list[Compared]


class Sentence(TypedDict):
    """A statement of the summary."""

    about: Literal["importance", "budgets", "model", "comparison", "pace", "caution"]
    text: str
    holds: bool
    """Whether the statistics allow a claim; otherwise the text says that they do not."""


class Findings(TypedDict):
    """All of one study."""

    study: StudyFacts
    hyperparameters: list[Hyperparameter]
    budgets: list[Budget]
    """Those with evaluations, cheapest first."""
    over_budgets: Importance | None
    """Of all budgets together: an observation is a configuration, its loss the mean of its quantiles on the cheapest budget's scale; None
    with one budget."""
    rank_correlation: list[RankCorrelation]
    """Over what the search trained."""
    rank_probe: list[RankCorrelation]
    """Over probes alone: configurations drawn at random and trained at every budget."""
    shapes: list[Shape]
    """Configurations with a loss at several budgets."""
    trajectory: list[Point]
    """Of the search, those that ended well, in the order of telling."""
    incumbents: list[Point]
    """The incumbent whenever it changed."""
    trials: list[Row]
    """Everything that was told, in the order of telling."""
    model: list[ModelTest]
    hours: list[RungHours]
    pace: Pace
    incumbent: Incumbent | None
    ablation: Ablation | None
    comparison: Comparison | None
    tested: Comparison | None
    """Test errors of what `bohb-nas train` trained for good in the study."""
    sentences: list[Sentence]
