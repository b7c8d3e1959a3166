"""What a model of any make may answer, and the words for what is of no use."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from onerun.domain.errors import ModelUnusable
from onerun.domain.predictions import class_output, numeric_output

WIDE = np.array([[0.9, 0.1], [0.3, 0.7]])


@pytest.mark.parametrize(
    "given", [[1, 2.5], np.array([[1], [2.5]]), pd.DataFrame({"p": [1, 2.5]}), pd.Series([1, 2.5])]
)
def test_numbers_may_come_in_any_container(given: Any) -> None:
    assert numeric_output(given, 2).coded(()).values.tolist() == [1, 2.5]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1.0], "1 rows for 2 rows; it must give one answer per row"),
        (3.0, "float for 2 rows"),
        ([1.0, np.nan], "no finite number in 1 of 2 rows"),
        ([1.0, np.inf], "no finite number in 1 of 2 rows"),
        (["a", "b"], "a regression needs numbers"),
        (WIDE, "2 values per row; a regression needs one"),
    ],
)
def test_a_regression_of_no_use_is_told_in_words(given: Any, words: str) -> None:
    with pytest.raises(ModelUnusable, match=words):
        numeric_output(given, 2)


@pytest.mark.parametrize(
    "given",
    [
        ["no", "yes"],
        np.array([["no"], ["yes"]], dtype=object),
        WIDE,
        pd.DataFrame(WIDE[:, ::-1], columns=["yes", "no"]),
        np.array([0.1, 0.7]),
        np.array([[0.1], [0.7]], dtype=np.float32),
    ],
)
def test_labels_tables_and_single_probabilities_mean_the_same(given: Any) -> None:
    answer = class_output(given, 2, ("no", "yes"))
    assert answer.coded(("no", "yes")).values.tolist() == [0, 1]
    if answer.probabilities is not None:
        assert answer.coded(("no", "yes")).probabilities == pytest.approx(WIDE)


def test_labels_0_and_1_as_floats_are_labels_and_no_probabilities() -> None:
    answer = class_output(np.array([0.0, 1.0]), 2, (0, 1))
    assert answer.probabilities is None
    assert answer.coded((0, 1)).values.tolist() == [0, 1]


def test_a_label_that_training_never_saw_is_a_wrong_answer_and_no_failure() -> None:
    answer = class_output(["no", "maybe"], 2, ("no", "yes"))
    assert answer.classes == ("no", "yes", "maybe")
    assert answer.coded(answer.classes).values.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.array([[2.0, -1.0], [0.1, 0.9]]), "not probabilities"),
        (np.array([[0.9, np.nan], [0.1, 0.9]]), "not probabilities"),
        (np.ones((2, 3)) / 3, "3 columns for 2 classes"),
        (["no"], "1 rows for 2 rows"),
    ],
)
def test_a_classification_of_no_use_is_told_in_words(given: Any, words: str) -> None:
    with pytest.raises(ModelUnusable, match=words):
        class_output(given, 2, ("no", "yes"))


def test_a_missing_label_makes_a_model_unusable() -> None:
    with pytest.raises(ModelUnusable, match="no label in 1 of 2 rows"):
        class_output(np.array(["no", None], dtype=object), 2, ("no", "yes")).coded(("no", "yes"))
