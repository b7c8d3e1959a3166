"""Experiments, runs, models and versions of an MLflow server, read page by page through its API."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import joined, version_address
from onerun.domain.cleanup.inventory import DELETED, Experiment, LoggedModel, RegisteredVersion, Run
from onerun.tracking.runs import client

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel as MlflowModel
    from mlflow.entities import Run as MlflowRun

PARENT = "mlflow.parentRunId"
PAGE = 1000
ALL = 3  # MLflow's ViewType


def paged(search: Any, size: int = PAGE, **asked: Any) -> Iterator[Any]:
    """Yield everything that a search of MLflow's client finds."""
    token = None
    while True:
        page = search(max_results=size, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return


def experiments() -> Iterator[Experiment]:
    """Yield all experiments, deleted ones included."""
    for found in paged(client().search_experiments, view_type=ALL):
        yield Experiment(
            id=found.experiment_id,
            name=found.name,
            lifecycle=found.lifecycle_stage,
            location=found.artifact_location,
            created=found.creation_time,
            updated=found.last_update_time,
            tags=dict(found.tags),
        )


def runs(experiment: str) -> "Iterator[MlflowRun]":
    """Yield all runs of an experiment, deleted ones included."""
    return paged(client().search_runs, experiment_ids=[experiment], run_view_type=ALL)


def run(found: "MlflowRun", policy: Policy) -> Run:
    """Return the run, with its metrics of the policy's `keep.best`."""
    info, values = found.info, found.data.metrics
    return Run(
        id=info.run_id,
        name=info.run_name,
        experiment_id=info.experiment_id,
        status=info.status,
        lifecycle=info.lifecycle_stage,
        started=info.start_time,
        ended=info.end_time,
        deleted=info.end_time if info.lifecycle_stage == DELETED else None,  # the API hides when
        artifact_uri=info.artifact_uri,
        metrics=tuple(values.get(best.metric) for best in policy.keep.best),
    )


def models(experiment: str) -> Iterator[LoggedModel]:
    """Yield the logged models of an experiment; the API lists no deleted ones."""
    return map(model, paged(client().search_logged_models, size=50, experiment_ids=[experiment]))


def model(found: "MlflowModel") -> LoggedModel:
    """Return the logged model."""
    return LoggedModel(
        id=found.model_id,
        name=found.name,
        experiment_id=found.experiment_id,
        run_id=found.source_run_id,
        location=found.artifact_location,
        created=found.creation_timestamp,
        lifecycle="active",
        tags=dict(found.tags or {}),
    )


def aliases() -> dict[tuple[str, str], list[str]]:
    """Return model and version -> the aliases that name it, existing or not."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for registered in paged(client().search_registered_models, size=100):
        for alias, version in registered.aliases.items():
            found[registered.name, str(version)].append(alias)
    return found


def versions() -> Iterator[RegisteredVersion]:
    """Yield the registered versions; `location` is the logged model that one was made of."""
    named = aliases()
    for found in paged(client().search_model_versions):
        held = tuple(sorted(named[found.name, str(found.version)]))
        made_of = f"models:/{found.model_id}" if found.model_id else ""
        yield RegisteredVersion(
            model=found.name,
            version=str(found.version),
            run_id=found.run_id or None,
            source=found.source or "",
            aliases=held,
            location=made_of,
        )


def address_of(version: RegisteredVersion) -> str | None:
    """Return where a version's files lie, as `version_address` says."""
    address = version_address(version, _address_of_model, _address_in_run)
    if address == "":  # a copy of another version: the API names its files in another answer
        downloaded = str(client().get_model_version_download_uri(version.model, version.version))
        return version._replace(source=downloaded).address
    return address


def _address_of_model(identity: str) -> str | None:
    model = known(client().get_logged_model, identity)
    return model.artifact_location if model else None


def _address_in_run(identity: str, path: str) -> str | None:
    run = known(client().get_run, identity)
    return joined(run.info.artifact_uri, path) if run else None


def parents() -> dict[str, str]:
    """Return run id -> its parent's, of all runs of the server that have one."""
    ids = [experiment.id for experiment in experiments()]
    children = paged(
        client().search_runs,
        experiment_ids=ids,
        filter_string=f"tags.`{PARENT}` LIKE '%'",
        run_view_type=ALL,
    )
    return {child.info.run_id: child.data.tags[PARENT] for child in children}


def known(get: Any, identity: str) -> Any:
    """Return what `get` finds; None where there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return get(identity)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise
        return None
