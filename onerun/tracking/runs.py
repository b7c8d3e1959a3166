"""Runs: what is logged to them. Opening and ending one is the owner's business (ownership.py)."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.config.mistakes import Mistakes
from onerun.domain import names
from onerun.domain.errors import OnerunError
from onerun.domain.references import Snapshot
from onerun.storage import translated_errors
from onerun.tracking.database import make_whole, schema_explained
from onerun.tracking.retrying_client import retrying

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run, RunTag

PARAMS_PER_BATCH = 100  # MLflow's limits of one log_batch call
METRICS_PER_BATCH = 1000
LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000


def client() -> "MlflowClient":
    """Return a client of the store that the environment names; its calls wait for a store that went silent."""
    return retrying(_client)


def _client() -> "MlflowClient":
    """Making one is cheap: MLflow keeps its stores."""
    from mlflow import MlflowClient

    tracking, registry = os.environ["MLFLOW_TRACKING_URI"], os.environ.get("MLFLOW_REGISTRY_URI")
    make_whole(tracking)
    make_whole(registry or tracking)
    with schema_explained(tracking):
        return MlflowClient(tracking, registry)


def log_params(run_id: str, params: Mapping[str, Any], attempt: int = 1) -> None:
    """Log parameters. The same value again changes nothing; another one is kept as tag `<key>:attempt<n>` (P2)."""
    from mlflow.entities import Param

    text = {_key(key): _as_text(value)[:LONGEST_PARAM] for key, value in params.items()}
    known = client().get_run(run_id).data.params
    fresh = [Param(key, value) for key, value in text.items() if key not in known]
    for start in range(0, len(fresh), PARAMS_PER_BATCH):
        client().log_batch(run_id, params=fresh[start : start + PARAMS_PER_BATCH])
    conflicts = {key: value for key, value in text.items() if known.get(key, value) != value}
    set_tags(
        run_id,
        {
            names.TAG_CONFLICT.format(key=key, attempt=attempt): value
            for key, value in conflicts.items()
        },
    )


def log_metrics(run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log metrics in one call, which costs as much as one metric. The same again changes nothing (P2)."""
    log_history(run_id, {key: [value] for key, value in metrics.items()}, step)


def log_history(run_id: str, histories: Mapping[str, Sequence[float]], first_step: int = 0) -> None:
    """Log learning curves: the value at position i becomes step `first_step + i`. The same again is a no-op (P2).

    A point's time is the run's start plus its step in milliseconds, not now: a store keeps a point that differs only in
    its time as one more, and a stage that is repeated would draw its curve twice.
    """
    from mlflow.entities import Metric

    start = client().get_run(run_id).info.start_time
    rows = [
        Metric(_key(key), float(value), start + first_step + position, first_step + position)
        for key, values in histories.items()
        for position, value in enumerate(values)
    ]
    _in_batches(run_id, rows)


def _in_batches(run_id: str, rows: Sequence[Any]) -> None:
    for start in range(0, len(rows), METRICS_PER_BATCH):
        client().log_batch(run_id, metrics=rows[start : start + METRICS_PER_BATCH])


def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Set all tags in one call; a later value replaces an earlier one."""
    if tags:
        client().log_batch(run_id, tags=run_tags(tags))


def run_tags(tags: Mapping[str, str]) -> list["RunTag"]:
    """Return MLflow's tags, cut to what every store takes."""
    from mlflow.entities import RunTag

    return [RunTag(_key(key), value[:LONGEST_TAG]) for key, value in tags.items()]


def log_file(run_id: str, path: Path, folder: str = "") -> None:
    """Upload one local file into the run's artifact `folder`."""
    with stored(run_id):
        client().log_artifact(run_id, str(path), folder or None)


def log_folder(run_id: str, path: Path, folder: str = "") -> None:
    """Upload the content of a local folder into the run's artifact `folder`."""
    with stored(run_id):
        client().log_artifacts(run_id, str(path), folder or None)


def log_text(run_id: str, text: str, artifact: str) -> None:
    """Write `text` as the run's artifact of that path."""
    with stored(run_id):
        client().log_text(run_id, text, artifact)


@contextmanager
def stored(run_id: str) -> Iterator[None]:
    """Turn what an artifact store raises about credentials, permission and space into a sentence, within the block."""
    try:
        yield
    except (OnerunError, Mistakes):
        raise
    except (
        Exception
    ):  # each kind of store has its own family of errors; those not known there pass as they are
        with translated_errors(str(client().get_run(run_id).info.artifact_uri)):
            raise


def find_run(run_id: str) -> "Run | None":
    """Return the run, deleted ones included; None where there is no run of that id."""
    from mlflow.exceptions import MlflowException

    try:
        return client().get_run(run_id)
    except MlflowException as error:
        # a tag or a person can name anything
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def params_and_tags(run_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the run's parameters and tags; two empty dictionaries when the run is deleted for good."""
    from mlflow.exceptions import MlflowException

    try:
        data = client().get_run(run_id).data
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}, {}
    return dict(data.params), dict(data.tags)


def metric_names(run_id: str) -> list[str]:
    """Return the names of the run's metrics, sorted."""
    return sorted(client().get_run(run_id).data.metrics)


def history(run_id: str, key: str) -> list[float]:
    """Return the metric's values in the order of their steps; of a step logged twice, the last."""
    by_step = {
        metric.step: float(metric.value) for metric in client().get_metric_history(run_id, key)
    }
    return [by_step[step] for step in sorted(by_step)]


def log_snapshot(run_id: str, snapshot: Snapshot, context: str = "training") -> None:
    """Log the snapshot as the run's dataset input: name, digest, source, schema, rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    dataset = Dataset(
        name=Path(snapshot.source).name or snapshot.source,
        digest=snapshot.digest[:36],  # as long as MLflow's column
        source_type="local"
        if "://" not in snapshot.uri
        else "http"
        if snapshot.uri.startswith("http")
        else "s3",
        source=json.dumps({"uri": snapshot.uri}),
        schema=json.dumps(
            {"mlflow_colspec": [{"name": n, "type": t} for n, t in snapshot.columns.items()]}
        )[:65535],
        profile=json.dumps({"num_rows": snapshot.rows, "num_columns": len(snapshot.columns)}),
    )
    client().log_inputs(
        run_id, [DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)])]
    )


def _key(name: str) -> str:
    """Return the nearest key that MLflow takes; column names may hold anything."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:LONGEST_KEY]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
