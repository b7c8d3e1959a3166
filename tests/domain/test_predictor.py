"""A raw column, however it was read, becomes the same numbers."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from onerun.domain.predictor import Encoder

NAN = np.nan


def encode(kind: str, values: pd.Series, **more: object) -> list[float]:
    spec = {
        "dtype": "float64",
        "missing": ["", "NA"],
        "columns": [{"name": "x", "kind": kind, **more}],
    }
    return Encoder(spec).encode(pd.DataFrame({"x": values}))[:, 0].tolist()


def same(found: list[float], expected: list[float]) -> bool:
    return bool(np.array_equal(np.array(found), np.array(expected), equal_nan=True))


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["a", "z", None, "b"], dtype="str"),
        pd.Series(["a", "z", None, "b"], dtype="object"),
        pd.Series(["a", "z", None, "b"], dtype="category"),
        pd.Series(["a", "z", NAN, "b"], dtype="string"),
        pd.Series([" a", "z ", None, "\tb "], dtype="str"),
        pd.Series([" a", "z ", None, "b "], dtype="category"),
    ],
)
def test_categories_however_they_were_read(values):
    assert same(encode("category", values, levels=["a", "b"]), [0, NAN, NAN, 1])


@pytest.mark.parametrize(
    "values", [[1, 2, 3], [1.0, 2.0, NAN], ["1", "2", ""], pd.Series([1, 2, 3], dtype="category")]
)
def test_levels_that_look_like_numbers(values):
    assert same(encode("category", pd.Series(values), levels=["1", "2"]), [0, 1, NAN])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([True, None, False], dtype="object"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1.0, NAN, 0.0]),
        pd.Series(["yes", "NA", "no"]),
        pd.Series(["TRUE", None, "f"]),
    ],
)
def test_booleans_however_they_were_read(values):
    assert same(encode("boolean", values), [1, NAN, 0])


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(pd.Series(["1970-01-02", None, "1969-12-31"])),
        pd.to_datetime(pd.Series(["1970-01-02", None, "1969-12-31"]), utc=True),
        pd.Series(["1970-01-02", "NA", "1969-12-31T00:00:00"]),
        pd.Series([date(1970, 1, 2), None, date(1969, 12, 31)]),
    ],
)
def test_dates_are_days(values):
    assert same(encode("date", values), [1, NAN, -1])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1.0, NAN, 3.0], dtype="float32"),
        pd.Series(["1", "NA", " 3"]),
        pd.Series([1, None, 3], dtype="object"),
        pd.Series([1, -np.inf, 3]),
    ],
)
def test_numbers_however_they_were_read(values):
    assert same(encode("number", values), [1, NAN, 3])


def test_a_column_of_nothing_is_missing():
    for kind in ("number", "boolean", "date", "category"):
        for nothing in (pd.Series([None, None]), pd.Series([NAN, NAN]), pd.Series(["", "NA"])):
            assert np.isnan(encode(kind, nothing, levels=["a"])).all()


def test_text_among_numbers_names_the_column_and_the_text():
    with pytest.raises(ValueError, match=r"column 'x' was a number in training .*'many'"):
        encode("number", pd.Series(["1", "many"]))


def test_it_imports_nothing_of_the_project_and_not_mlflow():
    source = Path(__file__).parents[2] / "onerun" / "domain" / "predictor.py"
    code = f"import runpy, sys; runpy.run_path({str(source)!r}); print('mlflow' in sys.modules, 'onerun' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.split() == ["False", "False"]
