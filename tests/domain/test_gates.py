"""Gates pass for the right reason, which they give; the bootstrap is honest about luck."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onerun.config.evaluation import (
    CLASSIFICATION_METRICS,
    GREATER_IS_BETTER,
    REGRESSION_METRICS,
    BetterThan,
    Gate,
    Threshold,
)
from onerun.config.recipe import Recipe
from onerun.domain import bootstrap
from onerun.domain.gates import Comparison, Scored, check_evaluation, check_gates, is_better
from onerun.domain.metrics import score
from onerun.domain.predictions import Predictions, TrueValues


def scored(y_true: TrueValues, predictions: Predictions, version: str | None = None) -> Scored:
    return Scored(score(y_true, predictions), predictions, version)


def comparison(
    noise: float, champion_noise: float | None, rows: int = 2000, seed: int = 0
) -> Comparison:
    """Returns: two models whose errors are of the given sizes, and the mean as the baseline."""
    rng = np.random.default_rng(seed)
    y_true = TrueValues(rng.normal(0, 1, rows))
    said = [
        Predictions(y_true.values + rng.normal(0, size, rows))
        for size in (noise, champion_noise or 1)
    ]
    baseline = scored(y_true, Predictions(np.zeros(rows)))
    champion = scored(y_true, said[1], "3") if champion_noise else None
    return Comparison(y_true, "rmse", scored(y_true, said[0]), baseline, champion)


def beats(on: str | None = None, by: float = 0.0, confidence: float | None = None) -> BetterThan:
    return BetterThan.model_validate(
        {"better_than": "champion", "on": on, "by": by, "confidence": confidence}
    )


def test_a_threshold_holds_within_its_bounds_and_says_the_number() -> None:
    of = comparison(0.5, None)
    results = check_gates(
        (
            Threshold(metric="r2", min=0.5),
            Threshold(metric="r2", min=0.9),
            Threshold(metric="rmse", max=0.1),
        ),
        of,
    )
    assert [result.held for result in results] == [True, False, False]
    assert results[0].reason.startswith("r2 is 0.7")
    assert results[1].reason.endswith("is below 0.9")
    assert results[2].reason.endswith("is above 0.1")


def test_a_first_model_has_no_champion_to_beat() -> None:
    (result,) = check_gates((beats(confidence=0.95),), comparison(0.5, None))
    assert (result.held, result.reason) == (True, "no champion yet")


def test_a_champion_that_cannot_be_scored_holds_the_gate_back_with_the_reason() -> None:
    of = comparison(0.5, 0.6)
    (result,) = check_gates(
        (beats(),),
        Comparison(
            of.y_true, of.primary, of.model, of.baseline, Scored(trouble="version 3 is broken")
        ),
    )
    assert (result.held, result.reason) == (False, "version 3 is broken")


def test_the_reason_tells_both_numbers_the_margin_and_the_confidence() -> None:
    (result,) = check_gates((beats(by=0.01, confidence=0.95),), comparison(0.5, 0.6))
    assert result.held
    assert result.reason.startswith("rmse 0.4981 is 16.1 % ")
    assert "% below the champion's (version 3) 0." in result.reason
    assert result.reason.endswith(
        "; needs 1 %; better by that in 100 % of 2,000 resamples, needs 95 %"
    )


def test_a_lead_within_luck_is_not_enough() -> None:
    lead = comparison(0.4999, 0.5, rows=100, seed=2)
    free, sure = check_gates((beats(), beats(confidence=0.95)), lead)
    assert free.held
    assert not sure.held


def test_every_gate_is_judged_even_when_the_first_does_not_hold() -> None:
    gates: tuple[Gate, ...] = (Threshold(metric="r2", min=2.0), beats(), beats(on="mae"))
    assert [result.held for result in check_gates(gates, comparison(0.5, 0.6))] == [
        False,
        True,
        True,
    ]


def test_a_metric_that_the_model_cannot_have_says_so() -> None:
    y_true = TrueValues(np.array([0, 1, 0, 1]), ("a", "b"))
    labels = scored(y_true, Predictions(np.array([0, 1, 0, 0])))
    (result,) = check_gates(
        (Threshold(metric="roc_auc", min=0.5),),
        Comparison(y_true, "accuracy", labels, labels, None),
    )
    assert not result.held
    assert "needs probabilities" in result.reason


def test_metrics_of_the_other_task_are_mistakes_of_the_recipe() -> None:
    recipe = Recipe.model_validate(
        {
            "data": {"source": "x.csv", "target": "y"},
            "model": {"estimator": "sklearn.linear_model.Ridge"},
            "evaluate": {"primary": "roc_auc"},
            "gates": [{"metric": "r2", "min": 0.5}, {"better_than": "baseline", "on": "accuracy"}],
        }
    )
    assert [mistake.key for mistake in check_evaluation(recipe, "regression")] == [
        "evaluate.primary",
        "gates.1.on",
    ]
    assert [mistake.key for mistake in check_evaluation(recipe, "classification")] == [
        "gates.0.metric"
    ]


@given(
    metric=st.sampled_from(REGRESSION_METRICS + CLASSIFICATION_METRICS),
    values=st.tuples(*[st.floats(-10, 10)] * 2),
    by=st.floats(0, 0.99),
    more=st.floats(0, 0.99),
)
def test_better_is_strict_never_mutual_and_harder_by_a_larger_margin(
    metric: str, values: tuple[float, float], by: float, more: float
) -> None:
    mine, theirs = map(np.array, values)
    assert not is_better(metric, mine, mine, by)
    assert not (is_better(metric, mine, theirs, 0) and is_better(metric, theirs, mine, 0))
    assert is_better(metric, mine, theirs, min(by, more)) or not is_better(
        metric, mine, theirs, max(by, more)
    )
    if mine != theirs:
        assert is_better(metric, mine, theirs, 0) == (
            (mine > theirs) == (metric in GREATER_IS_BETTER)
        )


@given(
    seed=st.integers(0, 1000), rows=st.integers(2, 60), metric=st.sampled_from(REGRESSION_METRICS)
)
@settings(max_examples=20, deadline=None)
def test_a_model_is_never_better_than_itself(seed: int, rows: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    y_true, said = TrueValues(rng.normal(size=rows)), Predictions(rng.normal(size=rows))
    mine, theirs = bootstrap.paired(metric, y_true, said, said)
    assert not is_better(metric, mine, theirs, 0).any()


@pytest.mark.parametrize(
    ("metric", "draws", "rows"),
    [("rmse", 150, 3000), ("mae", 150, 500), ("median_absolute_error", 60, 300)],
)
def test_two_equal_models_pass_a_95_percent_gate_about_one_time_in_twenty(
    metric: str, draws: int, rows: int
) -> None:
    """Some 3.2 standard deviations above one in twenty have a chance below 1 in 1,000."""
    passed = 0
    for seed in range(draws):
        (result,) = check_gates(
            (beats(on=metric, confidence=0.95),), comparison(0.5, 0.5, rows, seed)
        )
        passed += result.held
    assert passed <= draws * 0.05 + 3.2 * np.sqrt(draws * 0.05 * 0.95)


@pytest.mark.parametrize("rows", [400, 5000])
def test_cells_tell_the_same_spread_as_the_formula(rows: int) -> None:
    """The standard error of a difference of means is known; cells must find it to within 15 %."""
    of = comparison(0.5, 0.6, rows)
    assert of.model.predictions and of.champion and of.champion.predictions
    mine, theirs = bootstrap.paired("mae", of.y_true, of.model.predictions, of.champion.predictions)
    errors = [
        np.abs(of.y_true.values - said.values)
        for said in (of.model.predictions, of.champion.predictions)
    ]
    assert np.std(mine - theirs) == pytest.approx(
        np.std(errors[0] - errors[1]) / np.sqrt(rows), rel=0.15
    )


@pytest.mark.parametrize("metric", ["mae", "median_absolute_error"])
def test_rows_that_belong_together_are_less_evidence(metric: str) -> None:
    """100 rows, each counted 20 times, tell no more than 100 rows."""
    once = comparison(0.5, 0.6, 100)
    again = np.repeat(np.arange(100), 20)
    spreads = []
    for groups in (None, again):
        y_true = TrueValues(once.y_true.values[again], groups=groups)
        said = [
            of.predictions.take(again)
            for of in (once.model, once.champion)
            if of and of.predictions
        ]
        mine, theirs = bootstrap.paired(metric, y_true, *said)
        spreads.append(np.std(mine - theirs))
    assert spreads[1] == pytest.approx(spreads[0] * np.sqrt(20), rel=0.35)
    assert once.model.predictions and once.champion and once.champion.predictions
    alone = bootstrap.paired(metric, once.y_true, once.model.predictions, once.champion.predictions)
    assert spreads[1] == pytest.approx(np.std(alone[0] - alone[1]), rel=0.15)


def test_the_same_rows_give_the_same_answer() -> None:
    gates = (beats(confidence=0.95), beats(on="median_absolute_error", confidence=0.95))
    assert check_gates(gates, comparison(0.5, 0.51)) == check_gates(gates, comparison(0.5, 0.51))


@pytest.mark.parametrize("metric", CLASSIFICATION_METRICS)
def test_every_metric_of_classification_can_be_resampled(metric: str) -> None:
    rng = np.random.default_rng(0)
    y_true = TrueValues(rng.integers(0, 3, 400), ("a", "b", "c"))
    good, poor = (
        np.eye(3)[y_true.values] * size + rng.dirichlet(np.ones(3), 400) for size in (0.6, 0.2)
    )
    said = [Predictions(p.argmax(1), p / p.sum(1, keepdims=True)) for p in (good, poor)]
    mine, theirs = bootstrap.paired(metric, y_true, *said)
    assert is_better(metric, mine, theirs, 0).mean() > 0.99
    assert np.mean(mine) == pytest.approx(score(y_true, said[0])[metric], rel=0.1)
