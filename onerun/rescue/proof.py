"""The proof: what the database says after the migration, as facts like those noted before it."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from onerun.archive.record_io import database, layout, migration, reader
from onerun.domain import names
from onerun.rescue.checksums import AFTER, Checksums, add_artifacts

Row = Mapping[str, Any]


class Fact(NamedTuple):
    """Which fact a row of a table is.

    kind: of which kind. owner: a format of the row's columns. key: a column. values: columns.
    """

    kind: str
    owner: str
    key: str
    values: str


# Columns that an old store does not know of are no facts. `experiment` is the old number.
FACTS = {
    "experiments": Fact(
        "experiment", "{experiment}", "", "name lifecycle_stage creation_time last_update_time"
    ),
    "experiment_tags": Fact("experiment tag", "{experiment}", "key", "value"),
    "runs": Fact(
        "run",
        "{run_uuid}",
        "",
        "experiment status name user_id start_time end_time lifecycle_stage source_name "
        "deleted_time",
    ),
    "params": Fact("parameter", "run {run_uuid}", "key", "value"),
    "tags": Fact("tag", "run {run_uuid}", "key", "value"),
    "metrics": Fact("metric", "run {run_uuid}", "key", "timestamp step value is_nan"),
    "datasets": Fact(
        "data set",
        "{experiment}",
        "name and digest",
        "dataset_source dataset_schema dataset_profile",
    ),
    "logged_models": Fact(
        "model",
        "{model_id}",
        "",
        "experiment name status source_run_id creation_timestamp_ms lifecycle_stage",
    ),
    "logged_model_params": Fact(
        "model's parameter", "model {model_id}", "param_key", "param_value"
    ),
    "logged_model_tags": Fact("model's tag", "model {model_id}", "tag_key", "tag_value"),
    "logged_model_metrics": Fact(
        "model's metric",
        "model {model_id}",
        "metric_name",
        "metric_timestamp_ms metric_value metric_step run_id dataset_name dataset_digest",
    ),
    "registered_models": Fact("registered model", "{name}", "", "description creation_time"),
    "registered_model_tags": Fact("registered model's tag", "{name}", "key", "value"),
    "registered_model_aliases": Fact("alias", "{name}", "alias", "version"),
    "model_versions": Fact(
        "version",
        "{name}",
        "version",
        "source run_id current_stage description status creation_time",
    ),
    "model_version_tags": Fact("version's tag", "{name} version {version}", "key", "value"),
    "trace_info": Fact(
        "trace",
        "{request_id}",
        "",
        "experiment timestamp_ms execution_time_ms status client_request_id request_preview "
        "response_preview",
    ),
    "trace_tags": Fact("trace's tag", "trace {request_id}", "key", "value"),
    "trace_request_metadata": Fact("trace's metadata", "trace {request_id}", "key", "value"),
    "assessments": Fact(
        "assessment",
        "trace {trace_id}",
        "assessment_id",
        "assessment_type value error name source_type source_id run_id span_id overrides "
        "rationale created_timestamp last_updated_timestamp valid assessment_metadata",
    ),
}


def prove(checksums: Checksums, uri: str, orphans: list[str]) -> list[str]:
    """Read the database at `uri` and compare. Return all that differs, in words.

    Args:
        checksums: with the list `before`; the list `after` is added.
        orphans: gets a line for each table with rows that refer to something that does not exist.
    """
    checksums.side = AFTER
    with database.engine(uri) as engine:
        databases = database.Databases(engine, engine)
        found = migration.orphans(engine).items()
        orphans += [f"{what}: {count}" for what, count in found]
        _add_all(checksums, databases)
    return checksums.differences()


def _add_all(checksums: Checksums, databases: database.Databases) -> None:
    entries = list(reader.entries(databases))
    ids: dict[str, list[str]] = {}
    for entry in entries:
        ids.setdefault(entry.kind, []).append(entry.id)
    rows = DatabaseFacts(
        checksums=checksums,
        experiments=_old_numbers(databases, ids.get("experiment", [])),
        datasets=_dataset_keys(databases, ids.get("dataset", [])),
    )
    for kind, of_kind in ids.items():
        for identity, table, batch in reader.rows(databases, kind, of_kind):
            for row in batch:
                rows.add(table, identity, row)
        rows.add_inputs()
    for entry in entries:
        if entry.kind in ("run", "model", "trace") and entry.place:
            add_artifacts(checksums, f"{entry.kind} {entry.id}", entry.place)


def _old_numbers(databases: database.Databases, ids: list[str]) -> dict[str, str]:
    """Return new -> old number of experiments that had to take another one."""
    return {
        identity: row["value"]
        for identity, table, rows in reader.rows(databases, "experiment", ids)
        for row in rows
        if table == "experiment_tags" and row["key"] == names.TAG_ARCHIVED_EXPERIMENT
    }


def _dataset_keys(databases: database.Databases, ids: list[str]) -> dict[str, str]:
    return {
        identity: f"{row['name']} {row['digest']}"
        for identity, _, rows in reader.rows(databases, "dataset", ids)
        for row in rows
    }


class DatabaseFacts:
    """Turns rows of MLflow's tables into facts."""

    def __init__(
        self, checksums: Checksums, experiments: Mapping[str, str], datasets: Mapping[str, str]
    ) -> None:
        self._checksums, self._experiments, self._datasets = checksums, experiments, datasets
        self._inputs: dict[str, Row] = {}
        self._input_tags: dict[str, dict[str, str]] = {}

    def add(self, table: str, identity: str, row: Row) -> None:
        """Add what a row of the record `identity` says."""
        if table == "inputs":
            self._add_link(identity, row)
        elif table == "input_tags":
            self._input_tags.setdefault(identity, {})[row["name"]] = row["value"]
        elif table in FACTS and not self._is_ours(table, row):
            fact, prepared = FACTS[table], self._prepared(table, row)
            key = str(prepared[fact.key]) if fact.key else ""
            values = [prepared[column] for column in fact.values.split()]
            self._checksums.add(fact.kind, fact.owner.format_map(prepared), key, *values)
        if table == "trace_info":
            self._add_columns_of_trace(f"trace {identity}", row)

    def _is_ours(self, table: str, row: Row) -> bool:
        """Return whether a restore wrote it, and not the old store."""
        return table == "experiment_tags" and row["key"] == names.TAG_ARCHIVED_EXPERIMENT

    def _prepared(self, table: str, row: Row) -> dict[str, Any]:
        """Return the row with values as the old store has them."""
        prepared = dict(row)
        if "experiment_id" in row:
            number = str(row["experiment_id"])
            prepared["experiment"] = self._experiments.get(number, number)
        if table == "metrics":
            prepared |= {"value": float(row["value"]), "is_nan": bool(row["is_nan"])}
        elif table == "datasets":
            prepared["name and digest"] = f"{row['name']} {row['digest']}"
        elif table == "logged_model_metrics":
            value = row["metric_value"]
            prepared["metric_value"] = float("nan") if value is None else float(value)
        elif table == "assessments":
            for column in ("value", "error", "assessment_metadata"):
                prepared[column] = json.loads(row[column] or "null")
            prepared["valid"] = bool(row["valid"])
        return prepared

    def _add_columns_of_trace(self, owner: str, row: Row) -> None:
        """Add the tag and the metadata that stand in columns of the trace's row."""
        if row["trace_name"] is not None:
            self._checksums.add("trace's tag", owner, layout.TRACE_NAME, row["trace_name"])
        for key, value in layout.metadata_in_columns(row).items():
            self._checksums.add("trace's metadata", owner, key, value)

    def _add_link(self, identity: str, row: Row) -> None:
        """Add an output; keep an input until its tags are known."""
        if row["source_type"] == "RUN_OUTPUT":
            owner = f"run {row['source_id']}"
            self._checksums.add("output", owner, row["destination_id"], row["step"])
        else:
            self._inputs[identity] = row

    def add_inputs(self) -> None:
        """Add the inputs together with their tags."""
        for identity, row in self._inputs.items():
            tags = self._input_tags.get(identity, {})
            if row["source_type"] == "DATASET":
                owner, key = row["destination_id"], self._datasets.get(row["source_id"], "?")
            else:
                owner, key = row["source_id"], f"model {row['destination_id']}"
            self._checksums.add("input", f"run {owner}", key, tags)
        self._inputs, self._input_tags = {}, {}
