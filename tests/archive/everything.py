"""Everything that MLflow's API says of a store: two stores are the same when nothing here differs."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlflow import MlflowClient
from mlflow.entities import ViewType


def everything(uri: str, files: bool = True, registry: bool = True) -> dict[str, Any]:
    """Returns: what the API says, by experiment, run, logged model and registered model, files by digest."""
    client = MlflowClient(uri, uri)
    experiments = client.search_experiments(view_type=ViewType.ALL, max_results=1000)
    said: dict[str, Any] = {
        f"experiment {each.experiment_id}": _plain(each) for each in experiments
    }
    for experiment in experiments:
        for run in _pages(
            client.search_runs, [experiment.experiment_id], run_view_type=ViewType.ALL
        ):
            said[f"run {run.info.run_id}"] = _run(client, run.info.run_id, files)
        for model in _pages(client.search_logged_models, [experiment.experiment_id]):
            said[f"model {model.model_id}"] = _model(client, model.model_id, files)
        for trace in _pages(client.search_traces, locations=[experiment.experiment_id]):
            said[f"trace {trace.info.trace_id}"] = trace.to_json()
    return said | (_registry(client) if registry else {})


def _pages(search: Any, *arguments: Any, **named: Any) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = search(*arguments, **named, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _run(client: MlflowClient, run_id: str, files: bool) -> dict[str, Any]:
    run = client.get_run(run_id)
    histories = {
        key: sorted(
            (point.step, point.timestamp, repr(point.value))
            for point in client.get_metric_history(run_id, key)
        )
        for key in run.data.metrics
    }
    inputs = run.inputs.to_dictionary() if run.inputs else {}
    outputs = run.outputs.to_dictionary() if run.outputs else {}
    return {
        "info": _plain(run.info),
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
        "latest": {key: repr(value) for key, value in run.data.metrics.items()},
        "metrics": histories,
        "datasets": sorted(map(repr, inputs.get("dataset_inputs") or [])),
        "model inputs": sorted(map(repr, inputs.get("model_inputs") or [])),
        "outputs": sorted(map(repr, outputs.get("model_outputs") or [])),
        "files": _files(run.info.artifact_uri) if files else None,
    }


def _model(client: MlflowClient, model_id: str, files: bool) -> dict[str, Any]:
    model = client.get_logged_model(model_id)
    said = {key: value for key, value in model.to_dictionary().items() if key != "metrics"}
    said["metrics"] = sorted(repr(metric.to_dictionary()) for metric in model.metrics or [])
    return said | {"files": _files(model.artifact_location) if files else None}


def _registry(client: MlflowClient) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for model in client.search_registered_models(max_results=1000):
        whole = client.get_registered_model(model.name)
        said[f"registered {model.name}"] = _plain(whole) | {
            "aliases": dict(whole.aliases),
            "versions": {
                version.version: _plain(client.get_model_version(model.name, version.version))
                for version in client.search_model_versions(
                    f"name = '{model.name}'", max_results=1000
                )
            },
        }
    return said


def _plain(entity: Any) -> dict[str, Any]:
    return {key: repr(value) for key, value in dict(entity).items() if key != "latest_versions"}


def _files(place: str) -> dict[str, str]:
    root = Path(unquote(place.removeprefix("file://")))
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def comparable(said: Any) -> Any:
    """What a database, a server and a file store say of the same thing, without what they cannot help saying
    differently: nothing as None or as an empty text, a number as text, the logged model of a version twice."""
    if isinstance(said, dict):
        return {key: comparable(value) for key, value in said.items() if key != "model_id"}
    return (
        "" if said in (None, "None", "''") else str(said) if isinstance(said, int | str) else said
    )


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Returns: where two of these differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted(one.keys() | other.keys(), key=str)
            for line in differences(one.get(key), other.get(key), f"{path}/{key}")
        ]
    return [] if one == other else [f"{path}: {str(one)[:300]} | {str(other)[:300]}"]
