"""What an MLflow server's API tells, page by page, in the maintenance's own words."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain.cleanup.inventory import DELETED, Experiment, LoggedModel, Run, Version
from onerun.tracking.runs import client

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel as MlflowModel
    from mlflow.entities import Run as MlflowRun

PARENT = "mlflow.parentRunId"
PAGE = 1000
ALL = 3  # MLflow's ViewType


def paged(search: Any, size: int = PAGE, **asked: Any) -> Iterator[Any]:
    """Yields: everything that a search of MLflow's client finds."""
    token = None
    while True:
        page = search(max_results=size, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return


def experiments() -> Iterator[Experiment]:
    """Yields: all of them, deleted ones included."""
    for found in paged(client().search_experiments, view_type=ALL):
        yield Experiment(
            found.experiment_id, found.name, found.lifecycle_stage, found.artifact_location, found.creation_time,
            found.last_update_time, dict(found.tags),
        )  # fmt: skip


def runs(experiment: str) -> "Iterator[MlflowRun]":
    """Yields: all runs of an experiment, deleted ones included."""
    return paged(client().search_runs, experiment_ids=[experiment], run_view_type=ALL)


def run(found: "MlflowRun", policy: Policy) -> Run:
    """Returns: the run, with its metrics of the policy's `keep.best`."""
    info, values = found.info, found.data.metrics
    deleted = (
        info.end_time if info.lifecycle_stage == DELETED else None
    )  # the API does not say when
    return Run(
        info.run_id, info.run_name, info.experiment_id, info.status, info.lifecycle_stage, info.start_time,
        info.end_time, deleted, info.artifact_uri, tuple(values.get(best.metric) for best in policy.keep.best),
    )  # fmt: skip


def models(experiment: str) -> Iterator[LoggedModel]:
    """Yields: the logged models of an experiment; the API tells of no deleted ones."""
    return map(model, paged(client().search_logged_models, size=50, experiment_ids=[experiment]))


def model(found: "MlflowModel") -> LoggedModel:
    """Returns: the logged model."""
    return LoggedModel(
        found.model_id, found.name, found.experiment_id, found.source_run_id, found.artifact_location,
        found.creation_timestamp, "active", dict(found.tags or {}),
    )  # fmt: skip


def aliases() -> dict[tuple[str, str], list[str]]:
    """Returns: model and version -> the aliases that name them, whether or not there is such a version."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for registered in paged(client().search_registered_models, size=100):
        for alias, version in registered.aliases.items():
            found[registered.name, str(version)].append(alias)
    return found


def versions() -> Iterator[Version]:
    """Yields: the registered versions; `location` is the logged model that one was made of."""
    named = aliases()
    for found in paged(client().search_model_versions):
        held = tuple(sorted(named[found.name, str(found.version)]))
        made_of = f"models:/{found.model_id}" if found.model_id else ""
        yield Version(
            found.name, str(found.version), found.run_id or None, found.source or "", held, made_of
        )


def parents() -> dict[str, str]:
    """Returns: run id -> its parent's, of all runs of the server that have one."""
    ids = [experiment.id for experiment in experiments()]
    children = paged(
        client().search_runs,
        experiment_ids=ids,
        filter_string=f"tags.`{PARENT}` LIKE '%'",
        run_view_type=ALL,
    )
    return {child.info.run_id: child.data.tags[PARENT] for child in children}


def known(get: Any, identity: str) -> Any:
    """Returns: what `get` finds; None where there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return get(identity)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise
        return None
