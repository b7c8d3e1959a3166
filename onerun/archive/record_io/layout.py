"""Which of MLflow's tables and columns hold which kind of record."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple


class RecordTable(NamedTuple):
    """A table with rows of a record; their `columns`, joined by a slash, are the record's id."""

    table: str
    columns: tuple[str, ...]


# The first table is the record itself, the last the one that may be long and is streamed.
PARTS: dict[str, tuple[RecordTable, ...]] = {
    "experiment": (
        RecordTable("experiments", ("experiment_id",)),
        RecordTable("experiment_tags", ("experiment_id",)),
    ),
    "run": tuple(
        RecordTable(table, ("run_uuid",))
        for table in ("runs", "params", "tags", "latest_metrics", "metrics")
    ),
    "dataset": (RecordTable("datasets", ("dataset_uuid",)),),
    "model": tuple(
        RecordTable(t, ("model_id",))
        for t in ("logged_models", "logged_model_params", "logged_model_tags")
    ),
    "link": (RecordTable("inputs", ("input_uuid",)), RecordTable("input_tags", ("input_uuid",))),
    "model-metrics": (RecordTable("logged_model_metrics", ("model_id", "run_id")),),
    "trace": (
        *(
            RecordTable(t, ("request_id",))
            for t in ("trace_info", "trace_tags", "trace_request_metadata", "trace_metrics")
        ),
        RecordTable("assessments", ("trace_id",)),
        RecordTable("entity_associations", ("source_id",)),
        RecordTable("spans", ("trace_id",)),
        RecordTable("span_metrics", ("trace_id",)),
    ),
    "registered-model": tuple(
        RecordTable(table, ("name",))
        for table in ("registered_models", "registered_model_aliases", "registered_model_tags")
    ),
    "model-version": (
        RecordTable("model_versions", ("name", "version")),
        RecordTable("model_version_tags", ("name", "version")),
    ),
}
REGISTRY = ("registered-model", "model-version")
# What an index needs to know of the main table's rows.
KNOWN: dict[str, tuple[str, ...]] = {
    "experiment": ("experiment_id", "name", "artifact_location"),
    "run": ("run_uuid", "experiment_id", "artifact_uri"),
    "dataset": ("dataset_uuid", "experiment_id", "name"),
    "model": ("model_id", "experiment_id", "source_run_id", "artifact_location"),
    "link": ("input_uuid", "source_type", "source_id", "destination_type", "destination_id"),
    "model-metrics": ("model_id", "run_id"),
    "trace": ("request_id", "experiment_id"),
    "registered-model": ("name",),
    "model-version": ("name", "version", "run_id", "source"),
}
# By what a store itself tells two records apart where their ids are made up anew each time.
NATURAL: dict[str, tuple[str, ...]] = {
    "dataset": ("experiment_id", "name", "digest"),
    "link": ("source_type", "source_id", "destination_type", "destination_id"),
}
PLACE_OF_TRACE = "mlflow.artifactLocation"  # the tag of a trace that says where its files lie
# Registered models of other workspaces may have the same names: they are left out, with a note.
WORKSPACE = "default"
DELETED = "Deleted_Internal"  # the stage of a deleted version, whose row keeps its number taken
ARCHIVED = frozenset(part.table for parts in PARTS.values() for part in parts)
# Of a trace's tags and metadata, databases hold some in columns.
TRACE_NAME, LONGEST_TRACE_NAME = "mlflow.traceName", 4096  # a tag
TRACE_SESSION, LONGEST_SESSION = "mlflow.trace.session", 250  # metadata
# Made by MLflow from others, or about what is running now. Secrets never leave the store.
NOT_KEPT = frozenset(
    {
        "jobs",
        "job_locks",
        "scheduler_leases",
        "secrets",
        "workspaces",
        "sql_trace_rollup_rebuild_queue",
    }
)


def identity(part: RecordTable, row: dict[str, object]) -> str:
    """Return the id of the record that the row belongs to."""
    return "/".join(str(row[column]) for column in part.columns)


def metadata_kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a trace's metadata as a database gives it back.

    Of tokens and costs: the numbers that it has columns for.
    """
    from mlflow.store.tracking.utils import trace_analytics as analytics

    columns = analytics.analytics_columns_from_metadata(dict(metadata))
    others = {
        key: value
        for key, value in metadata.items()
        if key not in analytics.PROMOTED_TRACE_METADATA_KEYS
    }
    return others | metadata_in_columns(columns)


def metadata_in_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata that a trace's row holds in columns."""
    from mlflow.store.tracking.utils import trace_analytics as analytics

    columns = (
        "session_id",
        *analytics.TOKEN_COLUMN_BY_KEY.values(),
        *analytics.COST_COLUMN_BY_KEY.values(),
    )
    return dict(
        analytics.compatibility_metadata_from_columns(
            SimpleNamespace(**{each: row.get(each) for each in columns})
        )
    )
