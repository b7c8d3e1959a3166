"""Which columns there are, what they are, and which are features."""

import pyarrow as pa
import pytest

from onerun.config.recipe import Data
from onerun.domain.columns import common_type, features, kind, stored_type
from onerun.domain.errors import DataError

COLUMNS = {
    "a": "double",
    "b": "string",
    "day": "date32[day]",
    "w": "double",
    "g": "string",
    "y": "int64",
}


@pytest.mark.parametrize(
    ("arrow_type", "expected"),
    [
        (pa.int8(), "number"),
        (pa.uint64(), "number"),
        (pa.float32(), "number"),
        (pa.decimal128(10, 2), "number"),
        (pa.bool_(), "boolean"),
        (pa.date32(), "date"),
        (pa.timestamp("us", "UTC"), "date"),
        (pa.string(), "category"),
        (pa.dictionary(pa.int32(), pa.string()), "category"),
    ],
)
def test_kind_of_a_type(arrow_type: pa.DataType, expected: str) -> None:
    assert kind(str(arrow_type)) == expected


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (pa.decimal128(9, 3), pa.float64()),
        (pa.null(), pa.float64()),
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.int16()), pa.int16()),
        (pa.timestamp("s"), pa.timestamp("ms")),
        (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("ns", "UTC")),
        (pa.date64(), pa.date32()),
        (pa.list_(pa.int64()), None),
        (pa.struct([("x", pa.int64())]), None),
    ],
)
def test_kept_type(given: pa.DataType, kept: pa.DataType | None) -> None:
    assert stored_type(given) == kept


def test_wider_holds_both_or_there_is_none() -> None:
    assert common_type(pa.int32(), pa.int64()) == pa.int64()
    assert common_type(pa.int64(), pa.float32()) == pa.float64()
    assert common_type(pa.date32(), pa.timestamp("us")) == pa.timestamp("us")
    assert common_type(pa.string(), pa.int64()) is None


def test_target_and_roles_are_no_features() -> None:
    data = Data(source="x", target="y", weight="w", group="g", time="day")
    assert features(data, COLUMNS) == ["a", "b"]


def test_keep_and_drop() -> None:
    assert features(Data(source="x", target="y", keep=("g", "a", "y")), COLUMNS) == ["a", "g"]
    assert features(Data(source="x", target="y", drop=("a", "w")), COLUMNS) == ["b", "day", "g"]


def test_an_unknown_name_has_a_near_miss() -> None:
    with pytest.raises(DataError, match="'dya'; did you mean day"):
        features(Data(source="x", target="y", drop=("dya",)), COLUMNS)


def test_no_feature_left() -> None:
    with pytest.raises(DataError, match="no feature column is left"):
        features(Data(source="x", target="y", drop=("a", "b", "day", "w", "g")), COLUMNS)
