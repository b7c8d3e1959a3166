"""Mistakes in expectations are told before anything is imported or read (P5)."""

import subprocess
import sys
from typing import Any

import pytest

from onerun.domain.expectations import check_expectations, columns_of, columns_to_read, groups

BETWEEN = "expect_column_values_to_be_between"


def told(name: str, **arguments: Any) -> str:
    return "\n".join(str(mistake) for mistake in check_expectations([{name: arguments}]))


def test_good_ones_have_no_mistakes() -> None:
    good: list[dict[str, dict[str, Any]]] = [
        {BETWEEN: {"column": "a", "min_value": 1, "mostly": 0.9, "severity": "warning"}},
        {BETWEEN: {"column": "a", "max_value": "2024-01-31", "strict_max": True, "notes": "why"}},
        {"expect_column_values_to_be_in_set": {"column": "a", "value_set": [1, "b", None]}},
        {"expect_table_row_count_to_equal": {"value": 10}},
        {
            "expect_column_mean_to_be_between": {
                "column": "a",
                "min_value": 1,
                "row_condition": "b > 3",
            }
        },
    ]
    assert check_expectations(good) == []


def test_an_unknown_type_is_told_with_its_key_and_the_near_one() -> None:
    good = {"expect_column_to_exist": {"column": "a"}}
    [mistake] = check_expectations(
        [good, good, {"expect_column_values_to_be_betwen": {"column": "a"}}]
    )
    assert str(mistake) == (
        "data.expectations.2.expect_column_values_to_be_betwen: not an expectation of Great Expectations; "
        "did you mean expect_column_values_to_be_between?"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"column": "a", "min_valu": 1, "max_value": 2},
            "min_valu: not an argument of .*; did you mean min_value?",
        ),
        ({"min_value": 1}, "column: missing; expected string"),
        ({"column": 3, "min_value": 1}, "column: expected string, came 3"),
        ({"column": "a", "min_value": "low"}, "min_value: expected date or number, came 'low'"),
        ({"column": "a", "min_value": True}, "min_value: expected date or number, came True"),
        ({"column": "a", "min_value": 2, "max_value": 1}, "min_value: 2 is above max_value, 1"),
        ({"column": "a"}, "min_value: min_value, max_value or both are needed"),
        (
            {"column": "a", "min_value": 1, "mostly": 1.5},
            "mostly: expected a number between 0.0 and 1.0, came 1.5",
        ),
        (
            {"column": "a", "min_value": 1, "severity": "warn"},
            "severity: .*warning.*; did you mean warning?",
        ),
        (
            {"column": "a", "min_value": 1, "row_condition": "@pd.io"},
            "row_condition: .* could run code",
        ),
        (
            {"column": "a", "min_value": 1, "result_format": "BASIC"},
            "result_format: not an argument",
        ),
    ],
)
def test_wrong_arguments_are_told(arguments: dict[str, Any], expected: str) -> None:
    import re

    assert re.search(expected.replace("?", r"\?"), told(BETWEEN, **arguments)), told(
        BETWEEN, **arguments
    )


def test_all_mistakes_at_once() -> None:
    assert (
        len(
            check_expectations(
                [{BETWEEN: {"colum": "a", "mostly": 2}}, {"nothing": {}}, {"a": {}, "b": {}}]
            )
        )
        == 6
    )


def test_what_needs_a_database_is_refused() -> None:
    assert "needs a database" in told(
        "expect_column_values_to_match_like_pattern", column="a", like_pattern="%"
    )


def test_the_columns_an_expectation_names() -> None:
    assert columns_of(
        "expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b"}
    ) == ["a", "b"]
    assert columns_of(
        "expect_multicolumn_sum_to_equal", {"column_list": ["a", "b"], "sum_total": 1}
    ) == ["a", "b"]
    assert columns_of("expect_column_to_exist", {"column": "a"}) == []
    read = columns_to_read(
        [{BETWEEN: {"column": "a", "row_condition": "`c d` > 3"}}], ["a", "b", "c d"]
    )
    assert read == ["a", "c d"]


def test_expectations_share_frames_of_bounded_width() -> None:
    columns = ["a", "b", "c"]
    asked = [{"expect_column_values_to_be_unique": {"column": column}} for column in "cabca"]
    wide = {"expect_compound_columns_to_be_unique": {"column_list": columns}}
    assert list(groups(asked, range(5), columns, 2)) == [[1, 4, 2], [0, 3]]
    assert list(groups(asked, range(5), columns, 3)) == [[1, 4, 2, 0, 3]]
    assert list(groups([wide, *asked[:1]], range(2), columns, 1)) == [[0], [1]]


def test_checking_imports_no_great_expectations() -> None:
    code = (
        "import sys; from onerun.domain.expectations import check_expectations;"
        f"check_expectations([{{'{BETWEEN}': {{}}}}]); assert 'great_expectations' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
