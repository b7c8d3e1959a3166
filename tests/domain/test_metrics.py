"""The metrics equal scikit-learn's, and what is not defined is left out."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from onerun.config.evaluation import CLASSIFICATION_METRICS, REGRESSION_METRICS
from onerun.domain.metrics import ORDERED, score, sums, value
from onerun.domain.predictions import Predictions, TrueValues, aligned, codes, union


def regression(rows: int, seed: int, weighted: bool) -> tuple[TrueValues, Predictions]:
    """Returns: rounded values, so that ties occur."""
    rng = np.random.default_rng(seed)
    y_true = rng.normal(1e5, 10, rows).round(1)
    weights = rng.uniform(0.1, 3, rows) if weighted else None
    return TrueValues(y_true, weights=weights), Predictions(
        (y_true + rng.normal(0, 5, rows)).round(1)
    )


def classification(
    rows: int, kinds: int, seed: int, weighted: bool
) -> tuple[TrueValues, Predictions]:
    """Returns: probabilities in hundredths, so that ties occur; labels by the largest."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, kinds, rows)
    probabilities = rng.dirichlet(np.ones(kinds), rows)
    probabilities[np.arange(rows), y_true] += 0.5
    probabilities = np.floor(probabilities / probabilities.sum(1, keepdims=True) * 100) / 100
    probabilities[:, -1] = 1 - probabilities[:, :-1].sum(1)
    weights = rng.uniform(0.1, 3, rows) if weighted else None
    return TrueValues(y_true, tuple("abcdef"[:kinds]), weights), Predictions(
        probabilities.argmax(1), probabilities
    )


def by_scikit_learn(y_true: TrueValues, predictions: Predictions) -> dict[str, float]:
    """Returns: every metric that scikit-learn defines on these rows."""
    y, p, w = y_true.values, predictions.values, y_true.weights
    if not y_true.classes:
        return {
            "rmse": theirs.root_mean_squared_error(y, p, sample_weight=w),
            "mae": theirs.mean_absolute_error(y, p, sample_weight=w),
            "r2": theirs.r2_score(y, p, sample_weight=w),
            "median_absolute_error": theirs.median_absolute_error(y, p, sample_weight=w),
        }
    kinds = list(range(len(y_true.classes)))
    probabilities: Any = predictions.probabilities
    ranked = probabilities[:, 1] if len(kinds) == 2 else probabilities
    return {
        "accuracy": theirs.accuracy_score(y, p, sample_weight=w),
        "balanced_accuracy": theirs.balanced_accuracy_score(y, p, sample_weight=w),
        "f1_macro": theirs.f1_score(y, p, sample_weight=w, average="macro"),
        "f1_weighted": theirs.f1_score(y, p, sample_weight=w, average="weighted"),
        "log_loss": theirs.log_loss(y, probabilities, sample_weight=w, labels=kinds),
        "roc_auc": theirs.roc_auc_score(
            y, ranked, sample_weight=w, multi_class="ovr", labels=kinds
        ),
        "average_precision": theirs.average_precision_score(y, ranked, sample_weight=w),
        "brier": theirs.brier_score_loss(y, probabilities, sample_weight=w, labels=kinds),
    }


@given(rows=st.integers(2, 200), seed=st.integers(0, 10**6), weighted=st.booleans())
@settings(max_examples=60, deadline=None)
def test_regression_metrics_equal_scikit_learn(rows: int, seed: int, weighted: bool) -> None:
    y_true, predictions = regression(rows, seed, weighted)
    ours = score(y_true, predictions)
    assert ours == pytest.approx(
        {k: v for k, v in by_scikit_learn(y_true, predictions).items() if k in ours}, rel=1e-7
    )
    assert set(REGRESSION_METRICS) - set(ours) <= ({"r2"} if np.ptp(y_true.values) == 0 else set())


@given(
    rows=st.integers(40, 300),
    kinds=st.integers(2, 5),
    seed=st.integers(0, 10**6),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_classification_metrics_equal_scikit_learn(
    rows: int, kinds: int, seed: int, weighted: bool
) -> None:
    y_true, predictions = classification(rows, kinds, seed, weighted)
    if len(np.unique(y_true.values)) == kinds:
        assert score(y_true, predictions) == pytest.approx(
            by_scikit_learn(y_true, predictions), rel=1e-7
        )


def test_a_class_that_training_never_saw_has_probability_zero() -> None:
    labels = ["a", "b", "c", "c"]
    classes = union(("a", "b"), labels)
    own = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]])
    y_true = TrueValues(codes(np.array(labels, dtype=object), classes), classes)
    predictions = Predictions(
        codes(np.array(["a", "b", "a", "b"], dtype=object), classes),
        aligned(own, ("a", "b"), classes),
    )
    measured = score(y_true, predictions)
    assert classes == ("a", "b", "c")
    assert measured["accuracy"] == 0.5
    assert measured["log_loss"] > 15
    assert set(measured) == set(CLASSIFICATION_METRICS)


def test_one_class_in_the_test_part_leaves_out_what_is_not_defined() -> None:
    y_true, predictions = classification(30, 2, 0, weighted=False)
    one = TrueValues(np.zeros_like(y_true.values), y_true.classes)
    assert set(score(one, predictions)) == set(CLASSIFICATION_METRICS) - {
        "roc_auc",
        "average_precision",
    }


def test_a_label_missing_from_the_test_part_counts_for_nothing() -> None:
    y_true, predictions = classification(300, 4, 1, weighted=False)
    rows = (y_true.values < 3) & (predictions.values < 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.f1_score(y_true.values[rows], predictions.values[rows], average="macro")
    measured = score(y_true.take(rows), predictions.take(rows))
    assert measured["f1_macro"] == pytest.approx(expected)
    assert np.isfinite([*measured.values()]).all()


def test_without_probabilities_only_metrics_of_labels_are_given() -> None:
    y_true, predictions = classification(50, 3, 2, weighted=False)
    assert set(score(y_true, Predictions(predictions.values))) == {
        "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted",
    }  # fmt: skip


def test_a_constant_target_has_no_r2() -> None:
    y_true = TrueValues(np.full(10, 0.1))
    assert set(score(y_true, Predictions(np.full(10, 0.2)))) == {
        "rmse",
        "mae",
        "median_absolute_error",
    }


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ((0, 1), [True, False]),
        ((False, True), [1, 0]),
        ((0, 1), ["1", "0"]),
        (("1", "2"), [2, 1]),
        ((0, 1), [1.0, 0.0]),
    ],
)
def test_labels_are_found_whatever_their_type(classes: tuple[Any, ...], labels: list[Any]) -> None:
    assert codes(np.array(labels), classes).tolist() == [1, 0]
    assert union(classes, labels) == classes


def test_a_label_that_is_missing_or_unknown_has_no_code() -> None:
    assert codes(np.array(["a", None, "z", float("nan")], dtype=object), ("a", "b")).tolist() == [
        0,
        -1,
        -1,
        -1,
    ]


@given(
    seed=st.integers(0, 10**6),
    cells=st.integers(1, 7),
    kinds=st.sampled_from([0, 2, 4]),
    weighted=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_sums_of_cells_add_up_to_the_metric(
    seed: int, cells: int, kinds: int, weighted: bool
) -> None:
    y_true, predictions = (
        classification(80, kinds, seed, weighted) if kinds else regression(80, seed, weighted)
    )
    cell = np.random.default_rng(seed).integers(0, cells, 80)
    for metric, whole in score(y_true, predictions).items():
        if metric not in ORDERED:
            added = sums(metric, y_true, predictions, cell, cells).sum(axis=0)
            assert value(metric, added) == pytest.approx(whole, rel=1e-9)
