"""What the lines say, and what stops a training."""

from onerun.domain.expectations import Example, ExpectationResult, describe, summarise

BETWEEN = ExpectationResult(
    type="expect_column_values_to_be_between",
    arguments={"column": "latitude", "min_value": 32, "max_value": 42, "severity": "critical"},
    held=False,
    rows=20640,
    unexpected=12,
    examples=(Example(value=54.2, row=17), Example(value=31.0, row=1200)),
)


def test_a_line_counts_rows_and_shows_examples() -> None:
    assert describe(BETWEEN) == (
        "latitude: expect_column_values_to_be_between(min_value=32, max_value=42): "
        "12 of 20,640 rows (0.058 %) are not as expected, e.g. 54.2 (row 17), 31 (row 1,200), ..."
    )


def test_an_observed_value_is_shown() -> None:
    count = ExpectationResult(
        type="expect_table_row_count_to_equal", arguments={"value": 5}, held=False, observed=20640
    )
    assert describe(count) == "expect_table_row_count_to_equal(value=5): observed 20,640"


def test_long_values_are_cut() -> None:
    long = BETWEEN.model_copy(update={"examples": (Example(value="x" * 5000, row=1),)})
    assert len(describe(long)) < 400


def test_only_critical_ones_stop_and_what_could_not_be_checked() -> None:
    warning = BETWEEN.model_copy(update={"severity": "warning"})
    unchecked = warning.model_copy(update={"error": "no such thing"})
    held = BETWEEN.model_copy(update={"held": True})
    validation = summarise([BETWEEN, warning, unchecked, held])
    assert (validation.expectations, validation.failed_critical, validation.failed_warning) == (
        4,
        2,
        1,
    )
    assert len(validation.messages) == 3
    assert "[warning]: could not be checked: no such thing" in validation.messages[2]
