"""A store read through MLflow's API, a server or an old file store, as rows of a database.

Not there is what the API does not show: when something was deleted, where a run was started from,
traces.
"""

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from onerun.archive.record_io.layout import WORKSPACE
from onerun.archive.record_io.reader import LINE, Rows
from onerun.domain.archives import RecordEntry
from onerun.tracking.database import identity_of

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

LARGEST_FLOAT = 1.7976931348623157e308
Row = dict[str, Any]


class Api:
    """A store behind MLflow's client. Links and data sets, without ids there, get ids of ours."""

    def __init__(self, uri: str, registry: str) -> None:
        from mlflow import MlflowClient

        self.uri = uri
        self._client: MlflowClient = MlflowClient(uri, registry)
        self._links: dict[str, tuple[Row, list[Row]]] = {}
        self._datasets: dict[str, Row] = {}

    @property
    def identity(self) -> str:
        """See Source."""
        first = self._client.search_experiments(
            view_type=3, max_results=1, order_by=["experiment_id ASC"]
        )
        return identity_of(self.uri, first[0].creation_time if first else None)

    def entries(self) -> Iterator[RecordEntry]:
        """See Source."""
        for experiment in self._experiments():
            identity = str(experiment.experiment_id)
            yield RecordEntry(
                "experiment",
                identity,
                identity,
                name=experiment.name,
                place=experiment.artifact_location,
            )
            for run in _pages(
                self._client.search_runs, [identity], run_view_type=3
            ):  # ViewType.ALL
                yield RecordEntry("run", run.info.run_id, identity, place=run.info.artifact_uri)
                # A server's search leaves out the models that a run read.
                yield from self._links_of(self._client.get_run(run.info.run_id))
            for model in _pages(self._client.search_logged_models, [identity]):
                where = model.artifact_location
                yield RecordEntry(
                    "model", model.model_id, identity, run=model.source_run_id or None, place=where
                )
                for run_id in {metric.run_id for metric in model.metrics or []}:
                    yield RecordEntry(
                        "model-metrics",
                        f"{model.model_id}/{run_id}",
                        run=run_id,
                        model=model.model_id,
                    )
        yield from self._registry()

    def _experiments(self) -> Iterator[Any]:
        yield from _pages(self._client.search_experiments, view_type=3)

    def _links_of(self, run: "Run") -> Iterator[RecordEntry]:
        run_id, experiment = run.info.run_id, str(run.info.experiment_id)
        for each in run.inputs.dataset_inputs if run.inputs else []:
            dataset = self._dataset(int(experiment), each.dataset)
            yield RecordEntry("dataset", dataset, experiment, name=each.dataset.name)
            tags = [{"name": tag.key, "value": tag.value} for tag in each.tags]
            link = self._link("DATASET", dataset, "RUN", run_id, 0, tags)
            yield RecordEntry("link", link, run=run_id, dataset=dataset)
        for model in run.inputs.model_inputs or [] if run.inputs else []:
            link = self._link("RUN_INPUT", run_id, "MODEL_INPUT", model.model_id, 0, [])
            yield RecordEntry("link", link, run=run_id, model=model.model_id)
        for made in run.outputs.model_outputs or [] if run.outputs else []:
            link = self._link("RUN_OUTPUT", run_id, "MODEL_OUTPUT", made.model_id, made.step, [])
            yield RecordEntry("link", link, run=run_id, model=made.model_id)

    def _dataset(self, experiment: int, dataset: Any) -> str:
        identity = _made_up(str(experiment), dataset.name, dataset.digest)
        self._datasets[identity] = {
            "dataset_uuid": identity,
            "experiment_id": experiment,
            "name": dataset.name,
            "digest": dataset.digest,
            "dataset_source_type": dataset.source_type,
            "dataset_source": dataset.source,
            "dataset_schema": dataset.schema,
            "dataset_profile": dataset.profile,
        }
        return identity

    def _link(
        self, kind: str, source: str, to: str, target: str, step: int, tags: list[Row]
    ) -> str:
        identity = _made_up(kind, source, to, target)
        row = {
            "source_type": kind,
            "source_id": source,
            "destination_type": to,
            "destination_id": target,
            "step": step,
        }
        marked = [{**tag, "input_uuid": identity} for tag in tags]
        self._links[identity] = ({"input_uuid": identity, **row}, marked)
        return identity

    def _registry(self) -> Iterator[RecordEntry]:
        for model in _pages(self._client.search_registered_models):
            yield RecordEntry("registered-model", model.name, name=model.name)
            quoted = model.name.replace("'", "''")
            for each in _pages(self._client.search_model_versions, f"name = '{quoted}'"):
                source = each.source or ""
                logged = (
                    source.removeprefix("models:/") if source.startswith("models:/m-") else None
                )
                identity = f"{model.name}/{each.version}"
                yield RecordEntry(
                    "model-version",
                    identity,
                    run=each.run_id or None,
                    model=logged,
                    name=model.name,
                )

    def rows(self, kind: str, ids: Sequence[str]) -> Iterator[Rows]:
        """See Source."""
        if not ids:
            return
        read: Callable[[str], Iterator[tuple[str, list[Row]]]] = getattr(
            self, f"_rows_of_{kind.replace('-', '_')}"
        )
        for identity in ids:
            for table, rows in read(identity):
                for start in range(0, len(rows), LINE):
                    yield identity, table, rows[start : start + LINE]

    def _rows_of_experiment(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        experiment = self._client.get_experiment(identity)
        keys = ("name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time")
        row = {"experiment_id": int(identity), "workspace": WORKSPACE}
        yield "experiments", [row | {key: getattr(experiment, key) for key in keys}]
        yield "experiment_tags", _pairs(experiment.tags, experiment_id=int(identity))

    def _rows_of_run(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        run = self._client.get_run(identity)
        keys = ("status", "start_time", "end_time", "lifecycle_stage", "artifact_uri", "user_id")
        row = {
            "run_uuid": identity,
            "name": run.info.run_name,
            "experiment_id": int(run.info.experiment_id),
        }
        yield (
            "runs",
            [row | {key: getattr(run.info, key) for key in keys} | {"source_type": "LOCAL"}],
        )
        yield "params", _pairs(run.data.params, run_uuid=identity)
        yield "tags", _pairs(run.data.tags, run_uuid=identity)
        for key in run.data.metrics:
            points = {_unique(row): row for row in self._points(identity, key)}
            newest = max(
                points.values(), key=lambda row: (row["step"], row["timestamp"], row["value"])
            )
            yield "latest_metrics", [newest]
            yield "metrics", list(points.values())

    def _points(self, run_id: str, key: str) -> Iterator[Row]:
        for point in self._client.get_metric_history(run_id, key):
            nan = math.isnan(point.value)
            value = 0.0 if nan else min(max(point.value, -LARGEST_FLOAT), LARGEST_FLOAT)
            row = {"key": key, "value": value, "timestamp": point.timestamp, "step": point.step}
            yield row | {"is_nan": nan, "run_uuid": run_id}

    def _rows_of_dataset(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        yield "datasets", [self._datasets[identity]]

    def _rows_of_link(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        row, tags = self._links[identity]
        yield "inputs", [row]
        yield "input_tags", tags

    def _rows_of_model(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        model = self._client.get_logged_model(identity)
        experiment = {"model_id": identity, "experiment_id": int(model.experiment_id)}
        yield (
            "logged_models",
            [
                experiment
                | {
                    "name": model.name,
                    "artifact_location": model.artifact_location,
                    "creation_timestamp_ms": model.creation_timestamp,
                    "last_updated_timestamp_ms": model.last_updated_timestamp,
                    "status": model.status.to_int(),
                    "lifecycle_stage": "active",
                    "model_type": model.model_type or None,
                    "source_run_id": model.source_run_id or None,
                    "status_message": model.status_message or None,
                }
            ],
        )
        yield (
            "logged_model_params",
            [experiment | {"param_key": k, "param_value": v} for k, v in model.params.items()],
        )
        yield (
            "logged_model_tags",
            [experiment | {"tag_key": k, "tag_value": v} for k, v in model.tags.items()],
        )

    def _rows_of_model_metrics(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        model_id, _, run_id = identity.partition("/")
        model = self._client.get_logged_model(model_id)
        points = [metric for metric in model.metrics or [] if metric.run_id == run_id]
        yield (
            "logged_model_metrics",
            [self._model_point(model_id, int(model.experiment_id), each) for each in points],
        )

    def _model_point(self, model_id: str, experiment: int, point: "Metric") -> Row:
        dataset = _made_up(str(experiment), point.dataset_name or "", point.dataset_digest or "")
        return {
            "model_id": model_id,
            "experiment_id": experiment,
            "run_id": point.run_id,
            "metric_name": point.key,
            "metric_timestamp_ms": point.timestamp,
            "metric_step": point.step,
            "metric_value": point.value,
            "dataset_uuid": dataset if dataset in self._datasets else None,
            "dataset_name": point.dataset_name or None,
            "dataset_digest": point.dataset_digest or None,
        }

    def _rows_of_registered_model(self, name: str) -> Iterator[tuple[str, list[Row]]]:
        model = self._client.get_registered_model(name)
        row = {"workspace": WORKSPACE, "name": name, "description": model.description or None}
        times = {
            "creation_time": model.creation_timestamp,
            "last_updated_time": model.last_updated_timestamp,
        }
        yield "registered_models", [row | times]
        aliases = [
            {"alias": alias, "version": int(number)} for alias, number in model.aliases.items()
        ]
        yield (
            "registered_model_aliases",
            [{"workspace": WORKSPACE, "name": name, **each} for each in aliases],
        )
        yield "registered_model_tags", _pairs(model.tags, workspace=WORKSPACE, name=name)

    def _rows_of_model_version(self, identity: str) -> Iterator[tuple[str, list[Row]]]:
        name, _, number = identity.rpartition("/")
        found = self._client.get_model_version(name, number)
        keys = ("user_id", "run_id", "run_link", "status_message", "source")
        row = {
            "workspace": WORKSPACE,
            "name": name,
            "version": int(number),
            "current_stage": found.current_stage,
        }
        times = {
            "creation_time": found.creation_timestamp,
            "last_updated_time": found.last_updated_timestamp,
        }
        storage = self._client.get_model_version_download_uri(name, number)
        said = {key: getattr(found, key) or None for key in keys} | {
            "description": found.description
        }
        yield (
            "model_versions",
            [row | times | said | {"status": str(found.status), "storage_location": storage}],
        )
        yield (
            "model_version_tags",
            _pairs(found.tags, workspace=WORKSPACE, name=name, version=int(number)),
        )

    def left_out(self) -> list[str]:
        """See Source."""
        shown = (
            "read through MLflow's API, which does not show when something was deleted, "
            "and from where a run was started"
        )
        traces = [
            f"traces of experiment {each.experiment_id} are not part of an archive "
            "made through the API"
            for each in self._experiments()
            if self._client.search_traces(
                locations=[str(each.experiment_id)], max_results=1, include_spans=False
            )
        ]
        return [shown, *traces]

    def versions(self) -> dict[str, str]:
        """See Source."""
        return {"mlflow": version("mlflow"), "schema": "api"}


def _pages(search: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(*arguments, **named, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _pairs(values: Mapping[str, str], **owner: Any) -> list[Row]:
    return [{"key": key, "value": value, **owner} for key, value in values.items()]


def _unique(row: Row) -> tuple[Any, ...]:
    """Return what tells points apart: a database holds a point once."""
    return row["timestamp"], row["step"], row["value"], row["is_nan"]


def _made_up(*parts: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(parts)).hex
