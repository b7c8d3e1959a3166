"""Slices cover every row once, whatever the column holds."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onerun.domain.metrics import score
from onerun.domain.predictions import Predictions, TrueValues
from onerun.domain.slices import MISSING, MOST, OTHER, slices

NAMES = st.one_of(st.none(), st.text(max_size=3))


def of(values: Any) -> tuple[TrueValues, Predictions]:
    rng = np.random.default_rng(0)
    return TrueValues(rng.normal(size=len(values))), Predictions(rng.normal(size=len(values)))


@given(
    values=st.one_of(
        st.lists(NAMES, max_size=60),
        st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60),
    )
)
@settings(max_examples=60, deadline=None)
def test_every_row_lies_in_one_slice(values: list[Any]) -> None:
    found = slices("c", pd.Series(values), *of(values))
    assert sum(part.rows for part in found) == len(values)


def test_rare_values_are_put_together_and_missing_ones_apart() -> None:
    values = pd.Series(
        [f"v{number % 30}" for number in range(300)] + ["v1"] * 5 + [None], dtype="category"
    )
    found = slices("c", values, *of(values))
    assert found[0].value == "v1"
    assert [part.value for part in found[-2:]] == [OTHER, MISSING]
    assert len(found) == MOST + 2
    assert found[-1].rows == 1


def test_numbers_are_cut_into_quarters() -> None:
    found = slices("c", pd.Series(np.arange(100.0)), *of(range(100)))
    assert [part.rows for part in found] == [25, 25, 25, 25]
    assert found[0].value == "0 to 24.75"


def test_dates_are_cut_into_quarters_of_time() -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=100))
    assert slices("c", days, *of(days))[0].value.startswith("2024-01-01 to 2024-01-2")


def test_a_slice_has_the_metrics_of_its_rows() -> None:
    values = pd.Series(["a", "b"] * 50)
    y_true, said = of(values)
    first = slices("c", values, y_true, said)[0]
    rows = np.flatnonzero(values == first.value)
    assert first.metrics == pytest.approx(score(y_true.take(rows), said.take(rows)))
