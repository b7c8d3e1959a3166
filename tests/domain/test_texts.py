"""What texts mean, decided by all of them."""

import pyarrow as pa
import pytest

from onerun.domain.text_columns import MOMENT, TextColumn, clean, parse_declared


def seen(*batches: list[str | None]) -> TextColumn:
    column = TextColumn()
    for batch in batches:
        column.add(clean(pa.array(batch, pa.string()), ("", "NA")))
    return column


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([["1", None, " -2 "], ["+3"]], pa.int64()),
        ([["1"], ["2.5", "1e5", "-inf"]], pa.float64()),
        ([["99999999999999999999"]], pa.float64()),
        ([["true"], ["False", "NA"]], pa.bool_()),
        ([["yes"], ["no"]], pa.string()),
        ([["2020-01-01"], ["2020-02-29"]], pa.date32()),
        ([["2020-01-01"], ["2020-01-01 10:30"]], MOMENT),
        ([["2020-01-01T10:30:00Z"]], pa.timestamp("us", "UTC")),
        ([["1"], ["true"]], pa.string()),
        ([["1"], ["2020-01-01"]], pa.string()),
        ([["2020-02-30"]], pa.string()),
        ([[None, "", " NA"]], pa.float64()),
    ],
)
def test_the_type_fits_all_values(batches: list[list[str | None]], expected: pa.DataType) -> None:
    assert seen(*batches).type == expected


def test_mostly_numbers_are_counted_and_the_others_shown() -> None:
    column = seen(["1", "2"], ["x", None, "3.5"], ["n.a.", "4"])
    assert column.is_mostly_numbers
    assert (column.numbers, column.values) == (4, 6)
    assert column.offenders == [(3, "x"), (6, "n.a.")]
    assert not seen(["a", "1"]).is_mostly_numbers


@pytest.mark.parametrize(
    ("texts", "wanted", "values"),
    [
        (["YES", "f", "1", None], pa.bool_(), [True, False, True, None]),
        (["3.0", "+4", "x", "2.5"], pa.int64(), [3, 4, None, None]),
        (["1", "x", "x", ".5"], pa.float64(), [1.0, None, None, 0.5]),
    ],
)
def test_a_declared_column_keeps_what_fits(
    texts: list[str | None], wanted: pa.DataType, values: list[object]
) -> None:
    found, misfits = parse_declared(pa.array(texts, pa.string()), wanted)
    assert found.to_pylist() == values
    assert misfits.tolist() == [
        v is None and t is not None for t, v in zip(texts, values, strict=True)
    ]
