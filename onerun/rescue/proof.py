"""The proof: what the database says after the migration, as facts like those that were noted before it."""

import json
from collections.abc import Mapping
from typing import Any

from onerun.archive.record_io import database, migration, reading, traces
from onerun.domain import names
from onerun.domain.archives import Entry
from onerun.rescue.facts import Facts
from onerun.rescue.places import add_facts

Row = Mapping[str, Any]


def prove(facts: Facts, uri: str, reported: list[str]) -> list[str]:
    """Reads the database at `uri`. Returns: in words, all that differs; empty when nothing does."""
    facts.side = "after"
    with database.engine(uri) as engine:
        databases = database.Databases(engine, engine)
        reported += [f"{what}: {count}" for what, count in migration.orphans(engine).items()]
        _add(facts, databases)
    return facts.differences()


def _add(facts: Facts, databases: database.Databases) -> None:
    entries = list(reading.entries(databases))
    ids: dict[str, list[str]] = {}
    for entry in entries:
        ids.setdefault(entry.kind, []).append(entry.id)
    numbers = _old_numbers(databases, ids.get("experiment", []))
    after = After(facts, numbers, _datasets(databases, ids.get("dataset", [])))
    for kind, of_kind in ids.items():
        tags: dict[str, dict[str, str]] = {}
        for identity, table, rows in reading.rows(databases, kind, of_kind):
            for row in rows:
                if table == "input_tags":
                    tags.setdefault(identity, {})[row["name"]] = row["value"]
                else:
                    after.add(table, identity, row)
        after.finish_links(tags)
    for entry in entries:
        _add_files(facts, entry)


def _add_files(facts: Facts, entry: Entry) -> None:
    if entry.kind in ("run", "model", "trace") and entry.place:
        add_facts(facts, f"{entry.kind} {entry.id}", entry.place)


def _old_numbers(databases: database.Databases, ids: list[str]) -> dict[str, str]:
    """An experiment that had to take another number is compared under its old one."""
    return {
        identity: row["value"]
        for identity, table, rows in reading.rows(databases, "experiment", ids)
        for row in rows
        if table == "experiment_tags" and row["key"] == names.TAG_ARCHIVED_EXPERIMENT
    }


def _datasets(databases: database.Databases, ids: list[str]) -> dict[str, str]:
    return {
        identity: f"{row['name']} {row['digest']}"
        for identity, _, rows in reading.rows(databases, "dataset", ids)
        for row in rows
    }


class After:
    """Rows of MLflow's tables, as facts."""

    def __init__(
        self, facts: Facts, numbers: Mapping[str, str], datasets: Mapping[str, str]
    ) -> None:
        self._facts, self._numbers, self._datasets = facts, numbers, datasets
        self._links: dict[str, Row] = {}

    def _experiment(self, row: Row) -> str:
        identity = str(row["experiment_id"])
        return self._numbers.get(identity, identity)

    def add(self, table: str, identity: str, row: Row) -> None:
        """Notes what a row says; tables that an old store has no word for say nothing."""
        fact = getattr(self, "_data_sets" if table == "datasets" else f"_{table}", None)
        if fact:
            fact(identity, row)

    def _experiments(self, _: str, row: Row) -> None:
        keys = ("name", "lifecycle_stage", "creation_time", "last_update_time")
        self._facts.add("experiment", self._experiment(row), "", *(row[key] for key in keys))

    def _experiment_tags(self, _: str, row: Row) -> None:
        if row["key"] != names.TAG_ARCHIVED_EXPERIMENT:
            self._facts.add("experiment tag", self._experiment(row), row["key"], row["value"])

    def _runs(self, identity: str, row: Row) -> None:
        keys = (
            "name",
            "user_id",
            "start_time",
            "end_time",
            "lifecycle_stage",
            "source_name",
            "deleted_time",
        )
        values = (self._experiment(row), row["status"], *(row[key] for key in keys))
        self._facts.add("run", identity, "", *values)

    def _params(self, identity: str, row: Row) -> None:
        self._facts.add("parameter", f"run {identity}", row["key"], row["value"])

    def _tags(self, identity: str, row: Row) -> None:
        self._facts.add("tag", f"run {identity}", row["key"], row["value"])

    def _metrics(self, identity: str, row: Row) -> None:
        point = (row["timestamp"], row["step"], float(row["value"]), bool(row["is_nan"]))
        self._facts.add("metric", f"run {identity}", row["key"], *point)

    def _inputs(self, identity: str, row: Row) -> None:
        if row["source_type"] == "RUN_OUTPUT":
            self._facts.add("output", f"run {row['source_id']}", row["destination_id"], row["step"])
        else:
            self._links[identity] = row

    def finish_links(self, tags: Mapping[str, dict[str, str]]) -> None:
        """Inputs are noted together with their tags."""
        for identity, row in self._links.items():
            dataset = row["source_type"] == "DATASET"
            run = row["destination_id"] if dataset else row["source_id"]
            what = (
                self._datasets.get(row["source_id"], "?")
                if dataset
                else f"model {row['destination_id']}"
            )
            self._facts.add("input", f"run {run}", what, tags.get(identity, {}))
        self._links = {}

    def _data_sets(self, _: str, row: Row) -> None:
        said = (row["dataset_source"], row["dataset_schema"], row["dataset_profile"])
        self._facts.add("data set", self._experiment(row), f"{row['name']} {row['digest']}", *said)

    def _logged_models(self, identity: str, row: Row) -> None:
        keys = ("name", "status", "source_run_id", "creation_timestamp_ms", "lifecycle_stage")
        self._facts.add("model", identity, "", self._experiment(row), *(row[key] for key in keys))

    def _logged_model_params(self, identity: str, row: Row) -> None:
        self._facts.add(
            "model's parameter", f"model {identity}", row["param_key"], row["param_value"]
        )

    def _logged_model_tags(self, identity: str, row: Row) -> None:
        self._facts.add("model's tag", f"model {identity}", row["tag_key"], row["tag_value"])

    def _logged_model_metrics(self, _: str, row: Row) -> None:
        value = float("nan") if row["metric_value"] is None else float(row["metric_value"])
        point = (row["metric_timestamp_ms"], value, row["metric_step"], row["run_id"])
        where = (row["dataset_name"], row["dataset_digest"])
        self._facts.add(
            "model's metric", f"model {row['model_id']}", row["metric_name"], *point, *where
        )

    def _registered_models(self, identity: str, row: Row) -> None:
        self._facts.add("registered model", identity, "", row["description"], row["creation_time"])

    def _registered_model_tags(self, identity: str, row: Row) -> None:
        self._facts.add("registered model's tag", identity, row["key"], row["value"])

    def _registered_model_aliases(self, identity: str, row: Row) -> None:
        self._facts.add("alias", identity, row["alias"], row["version"])

    def _model_versions(self, _: str, row: Row) -> None:
        keys = ("source", "run_id", "current_stage", "description", "status", "creation_time")
        self._facts.add("version", row["name"], str(row["version"]), *(row[key] for key in keys))

    def _model_version_tags(self, _: str, row: Row) -> None:
        self._facts.add(
            "version's tag", f"{row['name']} version {row['version']}", row["key"], row["value"]
        )

    def _trace_info(self, identity: str, row: Row) -> None:
        keys = ("timestamp_ms", "execution_time_ms", "status", "client_request_id")
        previews = (row["request_preview"], row["response_preview"])
        self._facts.add(
            "trace", identity, "", self._experiment(row), *(row[key] for key in keys), *previews
        )
        if row["trace_name"] is not None:
            self._facts.add("trace's tag", f"trace {identity}", traces.NAME, row["trace_name"])
        for key, value in traces.in_columns(row).items():
            self._facts.add("trace's metadata", f"trace {identity}", key, value)

    def _trace_tags(self, identity: str, row: Row) -> None:
        self._facts.add("trace's tag", f"trace {identity}", row["key"], row["value"])

    def _trace_request_metadata(self, identity: str, row: Row) -> None:
        self._facts.add("trace's metadata", f"trace {identity}", row["key"], row["value"])

    def _assessments(self, identity: str, row: Row) -> None:
        value, error, metadata = (
            json.loads(row[key] or "null") for key in ("value", "error", "assessment_metadata")
        )
        texts = ("name", "source_type", "source_id", "run_id", "span_id", "overrides", "rationale")
        said = (
            *(row[key] for key in texts),
            row["created_timestamp"],
            row["last_updated_timestamp"],
        )
        kind = (row["assessment_type"], value, error)
        self._facts.add(
            "assessment",
            f"trace {identity}",
            row["assessment_id"],
            *kind,
            *said,
            bool(row["valid"]),
            metadata,
        )
