"""Plots are real pictures, the same each time, of any labels and any number of rows."""

import sys
from subprocess import run

import numpy as np
import pytest

from onerun.domain.importance import Importance
from onerun.domain.plots import classification, regression, training
from onerun.domain.predictions import Predictions, TrueValues

PNG = b"\x89PNG\r\n"


def classes(kinds: int, rows: int = 300) -> tuple[TrueValues, Predictions]:
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, kinds, rows)
    probabilities = rng.dirichlet(np.ones(kinds), rows)
    names = tuple(f"$x_{kind}$ <b> {'long ' * 20}" for kind in range(kinds))
    return TrueValues(y_true, names), Predictions(probabilities.argmax(1), probabilities)


@pytest.mark.parametrize("rows", [1, 2, 300, 20_000])
def test_regression_is_drawn_for_any_number_of_rows(rows: int) -> None:
    y_true = np.random.default_rng(0).normal(1e6, 1e5, rows)
    drawn = regression.draw(TrueValues(y_true), Predictions(y_true * 1.1), "price in $ (100 %)")
    assert set(drawn) == {"predicted_vs_actual.png", "residuals.png", "residuals_histogram.png"}
    assert all(png.startswith(PNG) for png in drawn.values())


def test_a_constant_target_and_a_perfect_model_are_drawn() -> None:
    assert regression.draw(TrueValues(np.zeros(50)), Predictions(np.zeros(50)), "y")


@pytest.mark.parametrize("kinds", [2, 3, 40])
def test_classification_is_drawn_for_any_number_of_classes(kinds: int) -> None:
    y_true, said = classes(kinds)
    drawn = classification.draw(y_true, said, said)
    assert set(drawn) == {
        "confusion_matrix.png",
        "roc.png",
        "precision_recall.png",
        "calibration.png",
    }
    assert drawn == classification.draw(y_true, said, said)


def test_without_probabilities_only_the_confusion_matrix_is_drawn() -> None:
    y_true, said = classes(3)
    assert set(classification.draw(y_true, Predictions(said.values), None)) == {
        "confusion_matrix.png"
    }


def test_one_class_in_the_test_part_has_no_curves() -> None:
    y_true, said = classes(2)
    assert set(classification.draw(TrueValues(np.zeros(300, int), y_true.classes), said, None)) == {
        "confusion_matrix.png"
    }


def test_importance_and_learning_curve_are_drawn() -> None:
    values = {f"column $ {position} {'x' * 60}": 1.0 / (position + 1) for position in range(50)}
    assert training.draw_importance(Importance("gain", "share", values)).startswith(PNG)
    assert training.draw_curve(
        "rmse", {"training": [3, 2, 1], "validation": [3, 2.5, 2.6]}, 2
    ).startswith(PNG)


def test_the_global_state_of_matplotlib_stays_untouched() -> None:
    program = (
        "import sys, numpy as np\n"
        "from onerun.domain.plots import regression\nfrom onerun.domain.predictions import *\n"
        "regression.draw(TrueValues(np.arange(9.)), Predictions(np.arange(9.)), 'y')\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert run([sys.executable, "-c", program], check=False).returncode == 0
