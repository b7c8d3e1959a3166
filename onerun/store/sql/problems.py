"""What is wrong in the tables themselves: one query for each kind of problem."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onerun.domain.cleanup.findings import Finding
from onerun.store.sql.engine import choose

if TYPE_CHECKING:
    from sqlalchemy import Connection


def problems(connection: "Connection", registry: "Connection") -> Iterator[Finding]:
    """Yield everything that can be seen without looking at files."""
    yield from _runs_without_experiment(connection)
    yield from _models_without_run(connection)
    yield from _aliases_to_nothing(registry)
    yield from _duplicate_parameters(connection)
    yield from _conflicting_parameters(connection)


def _runs_without_experiment(connection: "Connection") -> Iterator[Finding]:
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    query = choose(R.run_uuid, R.experiment_id, R.start_time, R.artifact_uri)
    query = query.outerjoin(E, E.experiment_id == R.experiment_id).where(E.experiment_id.is_(None))
    for run, experiment, started, place in connection.execute(query):
        cause = f"there is no experiment {experiment}"
        yield Finding("run-without-experiment", run, None, started, cause, place=place or "")


def _models_without_run(connection: "Connection") -> Iterator[Finding]:
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    query = choose(M.model_id, M.source_run_id, M.creation_timestamp_ms, M.artifact_location)
    query = query.outerjoin(R, R.run_uuid == M.source_run_id)
    query = query.where(R.run_uuid.is_(None), M.source_run_id.is_not(None))
    for model, run, created, place in connection.execute(query):
        yield Finding(
            "model-without-run", model, None, created, f"there is no run {run}", place=place or ""
        )


def _aliases_to_nothing(registry: "Connection") -> Iterator[Finding]:
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion as V
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias as A
    from sqlalchemy import and_

    found = and_(
        V.name == A.name, V.version == A.version, V.current_stage != STAGE_DELETED_INTERNAL
    )
    query = choose(A.name, A.alias, A.version).outerjoin(V, found).where(V.name.is_(None))
    for name, alias, version in registry.execute(query):
        yield Finding(
            "alias-to-nothing", f"{name}@{alias}", None, None, f"there is no version {version}"
        )


def _duplicate_parameters(connection: "Connection") -> Iterator[Finding]:
    from mlflow.store.tracking.dbmodels.models import SqlParam as P
    from sqlalchemy import func

    lowered = func.lower(P.key)
    query = choose(P.run_uuid, lowered, func.count(), func.min(P.key), func.max(P.key))
    for run, _, count, one, other in connection.execute(
        query.group_by(P.run_uuid, lowered).having(func.count() > 1)
    ):
        yield _of_run(connection, "duplicate-parameter", run, f"{count} of them: {one}, {other}")


def _of_run(connection: "Connection", kind: str, run: str, cause: str) -> Finding:
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    about = connection.execute(
        choose(R.start_time, R.artifact_uri).where(R.run_uuid == run)
    ).one_or_none()
    started, place = about or (None, "")
    return Finding(kind, run, None, started, cause, place=place or "")


def _conflicting_parameters(connection: "Connection") -> Iterator[Finding]:
    """Yield parameters that a later attempt logged differently, kept as `<key>:attempt<n>`."""
    from mlflow.store.tracking.dbmodels.models import SqlParam as P
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    for run, key, later in connection.execute(
        choose(T.run_uuid, T.key, T.value).where(T.key.like("%:attempt%"))
    ):
        name, _, attempt = key.partition(":attempt")
        first = connection.execute(choose(P.value).where(P.run_uuid == run, P.key == name)).scalar()
        if attempt.isdigit() and first is not None and first != later:
            cause = f"{name} was {first[:60]}, and {(later or '')[:60]} at attempt {attempt}"
            yield _of_run(connection, "conflicting-parameter", run, cause)
