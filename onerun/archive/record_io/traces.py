"""What MLflow's databases make of a trace's name and metadata: columns, for some of them."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

NAME, LONGEST_NAME = "mlflow.traceName", 4096  # a tag
SESSION, LONGEST_SESSION = "mlflow.trace.session", 250  # metadata


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns: the metadata as a database gives it back: of tokens and costs, the numbers that it has columns for."""
    from mlflow.store.tracking.utils import trace_analytics as analytics

    columns = analytics.analytics_columns_from_metadata(dict(metadata))
    others = {
        key: value
        for key, value in metadata.items()
        if key not in analytics.PROMOTED_TRACE_METADATA_KEYS
    }
    return others | in_columns(columns)


def in_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Returns: the metadata that stands in columns of a trace's row."""
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
