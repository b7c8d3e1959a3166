"""Expectations on a real table and a real store: counted, shown, recorded before anything stops (P5)."""

import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from onerun.config.mistakes import Mistakes
from onerun.data.quality import checks
from onerun.data.validate import validate
from onerun.domain.errors import DataError, ExpectationsBroken
from onerun.domain.expectations import known_types
from onerun.domain.references import Snapshot, Validation
from onerun.tracking.runs import client

BETWEEN = "expect_column_values_to_be_between"
LATITUDE = {BETWEEN: {"column": "latitude", "min_value": 32, "max_value": 42}}
MAIN_HARM = "1,351 of 20,640 rows (6.5 %) are not as expected, e.g. 41.8 (row 1,851)"


@pytest.fixture
def snapshot(california: Path, tmp_path: Path) -> Snapshot:
    return stored(pyarrow.csv.read_csv(california), tmp_path)


def stored(table: pa.Table, folder: Path) -> Snapshot:
    path = folder / "table.parquet"
    pq.write_table(table, path)
    columns = {field.name: str(field.type) for field in table.schema}
    return Snapshot(
        uri=str(path), digest="0" * 64, rows=table.num_rows, columns=columns, source="housing.csv"
    )


def artifact(run_id: str, name: str) -> str:
    return Path(client().download_artifacts(run_id, f"validation/{name}")).read_text("utf-8")


def narrow(**more: Any) -> dict[str, dict[str, Any]]:
    """Returns: an expectation that 1,351 rows do not meet."""
    return {BETWEEN: {"column": "latitude", "min_value": 33, "max_value": 41.5, **more}}


def test_without_expectations_great_expectations_is_not_imported(snapshot: Snapshot) -> None:
    code = (
        "import sys; from onerun.data.validate import validate; from onerun.domain.references import Snapshot\n"
        f"validate('r', (), Snapshot.from_json({snapshot.model_dump_json()!r}))\n"
        "assert not {'great_expectations', 'mlflow', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_good_data_passes(run_id: str, snapshot: Snapshot) -> None:
    expectations = (
        LATITUDE,
        {"expect_table_column_count_to_equal": {"value": 10}},
        narrow(mostly=0.9),
    )
    assert validate(run_id, expectations, snapshot) == Validation(expectations=3)
    assert "all hold" in artifact(run_id, "data_docs.html")


def test_p5_a_critical_one_stops_after_its_result_is_kept(run_id: str, snapshot: Snapshot) -> None:
    with pytest.raises(ExpectationsBroken) as broken:
        validate(run_id, (LATITUDE, narrow(), narrow(severity="warning")), snapshot)
    assert f"latitude: {BETWEEN}(min_value=33, max_value=41.5): {MAIN_HARM}" in str(broken.value)
    assert str(broken.value).startswith("1 of 3 expectations do not hold")
    result = json.loads(artifact(run_id, "result.json"))
    assert [outcome["held"] for outcome in result["outcomes"]] == [True, False, False]
    assert result["outcomes"][1]["examples"][0] == {"value": 41.8, "row": 1851}
    assert len(result["outcomes"][1]["examples"]) == 20
    assert MAIN_HARM in artifact(run_id, "data_docs.html")


def test_a_warning_goes_on(
    run_id: str, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "onerun"):
        validation = validate(
            run_id, (narrow(severity="warning"), narrow(severity="info")), snapshot
        )
    assert (validation.failed_critical, validation.failed_warning) == (0, 2)
    assert MAIN_HARM in caplog.text


def test_an_expectation_that_raises_has_not_passed(run_id: str, snapshot: Snapshot) -> None:
    mean = {
        "expect_column_mean_to_be_between": {
            "column": "ocean_proximity",
            "min_value": 1,
            "severity": "warning",
        }
    }
    with pytest.raises(ExpectationsBroken, match=r"could not be checked: .*mean"):
        validate(run_id, (mean,), snapshot)


def test_a_missing_column_is_told_with_the_near_one(run_id: str, snapshot: Snapshot) -> None:
    lattitude = {BETWEEN: {"column": "lattitude", "min_value": 1}}
    with pytest.raises(
        DataError, match=f"0.{BETWEEN}: the table has no 'lattitude'; did you mean latitude?"
    ):
        validate(run_id, (lattitude,), snapshot)


def test_arguments_that_only_the_library_can_judge_are_mistakes(
    run_id: str, snapshot: Snapshot
) -> None:
    pairs = {"column_A": "latitude", "column_B": "longitude", "value_pairs_set": [[1, 2, 3]]}
    with pytest.raises(Mistakes, match="Great Expectations refuses it"):
        validate(run_id, ({"expect_column_pair_values_to_be_in_set": pairs},), snapshot)


def test_row_conditions_and_expectations_about_the_table(run_id: str, snapshot: Snapshot) -> None:
    inland = {"column": "latitude", "max_value": 42, "row_condition": 'ocean_proximity == "INLAND"'}
    expectations: tuple[dict[str, dict[str, Any]], ...] = (
        {"expect_column_max_to_be_between": inland},
        {"expect_table_row_count_to_equal": {"value": 20640}},
        {
            "expect_table_row_count_to_equal": {
                "value": 5,
                "row_condition": 'ocean_proximity == "ISLAND"',
            }
        },
        {"expect_column_to_exist": {"column": "nowhere", "severity": "warning"}},
        {"expect_column_type_to_be": {"column": "ocean_proximity", "type_": "str"}},
    )
    assert validate(run_id, expectations, snapshot).messages == (
        "nowhere: expect_column_to_exist() [warning]: does not hold",
    )


def test_kinds_of_columns_and_ugly_names(run_id: str, tmp_path: Path) -> None:
    table = pa.table(
        {
            "a [b], \"c'": pa.array([1, None, 3]),
            "größe": pa.array(["x", "y", None]).dictionary_encode(),
            "day": pa.array([date(2024, 1, 1), date(2024, 5, 1), None]),
            "at": pa.array([0, 10**15, None], pa.timestamp("us", "Europe/Berlin")),
            "yes": pa.array([True, None, False]),
            "nothing": pa.nulls(3),
        }
    )
    expectations: tuple[dict[str, dict[str, Any]], ...] = (
        {BETWEEN: {"column": "a [b], \"c'", "min_value": 1}},
        {"expect_column_values_to_be_in_set": {"column": "größe", "value_set": ["x", "y"]}},
        {BETWEEN: {"column": "day", "min_value": "2024-01-01", "max_value": "2024-06-01"}},
        {BETWEEN: {"column": "day", "min_value": "2024-02-01", "severity": "warning"}},
        {BETWEEN: {"column": "day", "min_value": date(2024, 1, 1)}},
        {
            BETWEEN: {
                "column": "at",
                "min_value": "1970-01-01T00:00:00",
                "max_value": datetime(2002, 1, 1),  # noqa: DTZ001
            }
        },
        {"expect_column_values_to_be_in_set": {"column": "yes", "value_set": [True, False]}},
        {"expect_column_values_to_be_null": {"column": "nothing"}},
    )
    [message] = validate(run_id, expectations, stored(table, tmp_path)).messages
    assert "1 of 3 rows (33 %)" in message
    assert "2024-01-01" in message


def test_nothing_leaves_the_machine(
    run_id: str, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: dialled.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: dialled.append(address))
    validate(run_id, (LATITUDE,), snapshot)
    assert dialled == []


def test_the_page_loads_nothing_and_runs_nothing(snapshot: Snapshot) -> None:
    partition = {"values": ["INLAND", "ISLAND"], "weights": [0.5, 0.5]}
    kl = {"column": "ocean_proximity", "partition_object": partition, "threshold": 0.1}
    expectations = (
        narrow(),
        {"expect_column_kl_divergence_to_be_less_than": kl},
        {BETWEEN: dict(narrow()[BETWEEN])},
    )
    page = checked(snapshot, expectations).page
    assert not re.findall(
        r"""(?:src|href|action)\s*=\s*["']?(?!["']?#)|url\(|@import|<script|<link|<iframe""", page
    )
    assert "default-src 'none'" in page
    assert page.count("unexpected values found") == 2


def checked(snapshot: Snapshot, expectations: Any) -> checks.QualityResult:
    table = pq.read_table(snapshot.uri)
    return checks.check_table(
        expectations, [*snapshot.columns], snapshot.rows, table.select, snapshot.source
    )


def test_results_are_the_same_when_columns_are_read_a_few_at_a_time(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    expectations = [
        {"expect_column_values_to_not_be_null": {"column": name}} for name in snapshot.columns
    ]
    at_once = checked(snapshot, expectations)
    monkeypatch.setattr(checks, "CELLS_AT_ONCE", 3 * snapshot.rows)
    assert checked(snapshot, expectations).outcomes == at_once.outcomes


def test_only_the_columns_that_are_named_are_read(snapshot: Snapshot) -> None:
    asked: list[str] = []

    def read(names: Sequence[str]) -> pa.Table:
        asked.extend(names)
        return pq.read_table(snapshot.uri).select(names)

    expectations: list[dict[str, dict[str, Any]]] = [
        {"expect_table_row_count_to_equal": {"value": 20640}},
        {"expect_table_columns_to_match_set": {"column_set": [*snapshot.columns]}},
        LATITUDE,
    ]
    outcomes = checks.check_table(
        expectations, [*snapshot.columns], snapshot.rows, read, "housing.csv"
    ).outcomes
    assert all(outcome.held for outcome in outcomes)
    assert asked == ["latitude"]


def test_the_table_of_types_is_the_installed_librarys() -> None:
    from onerun.data.quality.types import TABLE, as_text, generate

    generated = generate()
    assert known_types() == generated, "run: python -m onerun.data.quality.types"
    assert TABLE.read_text("utf-8") == as_text(generated)
