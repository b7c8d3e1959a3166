"""Reading what a store holds in a few queries over sets, streamed experiment by experiment."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import joined, version_address
from onerun.domain.cleanup.inventory import Experiment, Group, LoggedModel, Run, Version
from onerun.store.sql.database import STREAMED, choose
from onerun.store.sql.tags import by_owner, tag_condition

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select


def groups(connection: "Connection", policy: Policy) -> Iterator[Group]:
    """Yields: every experiment with its runs and logged models; one experiment at a time is in memory."""
    runs = _by_experiment(connection, _runs(policy))
    models, tags = _by_experiment(connection, _models()), _tags_of_models(connection, policy)
    next_runs, next_models = next(runs, None), next(models, None)
    for experiment in sorted(experiments(connection), key=lambda each: int(each.id)):
        while next_runs and next_runs[0] < int(experiment.id):
            next_runs = next(runs, None)  # of an experiment that is gone: findings tell of them
        while next_models and next_models[0] < int(experiment.id):
            next_models = next(models, None)
        mine: list[Run] = []
        logged: list[LoggedModel] = []
        if next_runs and next_runs[0] == int(experiment.id):
            mine = _as_runs(next_runs[1], experiment.id)
            next_runs = next(runs, None)
        if next_models and next_models[0] == int(experiment.id):
            logged = [
                LoggedModel._make((*row[:2], experiment.id, *row[3:], tags.get(row[0], {})))
                for row in next_models[1]
            ]
            next_models = next(models, None)
        yield Group(experiment, mine, logged)


def experiments(connection: "Connection") -> list[Experiment]:
    """Returns: all experiments with their tags."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlExperimentTag as T

    tags: dict[int, dict[str, str]] = defaultdict(dict)
    for experiment, key, value in connection.execute(choose(T.experiment_id, T.key, T.value)):
        tags[experiment][key] = value or ""
    columns = (
        E.experiment_id,
        E.name,
        E.lifecycle_stage,
        E.artifact_location,
        E.creation_time,
        E.last_update_time,
    )
    return [
        Experiment(str(row[0]), row[1], row[2], row[3] or "", row[4], row[5], tags.get(row[0], {}))
        for row in connection.execute(choose(*columns))
    ]


def _by_experiment(
    connection: "Connection", query: "Select[Any]"
) -> Iterator[tuple[int, Sequence[Any]]]:
    rows = connection.execute(query.execution_options(yield_per=STREAMED))
    for experiment, group in groupby(chain.from_iterable(rows.partitions()), key=itemgetter(2)):
        yield int(experiment), list(group)


def _as_runs(rows: Sequence[Any], experiment: str) -> list[Run]:
    """Column by column: hundreds of thousands pass here, and a call for each would cost more than its query."""
    columns = list(zip(*rows, strict=True))
    metrics = zip(*columns[9:], strict=True) if columns[9:] else repeat(())
    return list(
        map(Run._make, zip(*columns[:2], repeat(experiment), *columns[3:9], metrics, strict=False))
    )


def _runs(policy: Policy) -> "Select[Any]":
    """Columns of the tables, not attributes of the mapped classes: a row costs half as much."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlRun
    from sqlalchemy import and_, case

    r: Any = SqlRun.__table__.c
    values: list[ColumnElement[Any]] = []
    joined: Any = SqlRun.__table__
    for best in policy.keep.best:
        latest: Any = SqlLatestMetric.__table__.alias()
        joined = joined.outerjoin(
            latest, and_(latest.c.run_uuid == r.run_uuid, latest.c.key == best.metric)
        )
        values.append(case((latest.c.is_nan, None), else_=latest.c.value))
    columns = (
        r.run_uuid, r.name, r.experiment_id, r.status, r.lifecycle_stage, r.start_time, r.end_time, r.deleted_time,
        r.artifact_uri,
    )  # fmt: skip
    return choose(*columns, *values).select_from(joined).order_by(r.experiment_id)


def _models() -> "Select[Any]":
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M

    columns = (
        M.model_id, M.name, M.experiment_id, M.source_run_id, M.artifact_location, M.creation_timestamp_ms,
        M.lifecycle_stage,
    )  # fmt: skip
    return choose(*columns).order_by(M.experiment_id)


def _tags_of_models(connection: "Connection", policy: Policy) -> dict[str, dict[str, str]]:
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelTag as T

    query = choose(T.model_id, T.tag_key, T.tag_value).where(
        tag_condition(policy.protect.tags, T.tag_key)
    )
    return by_owner(connection, query)


def versions(connection: "Connection") -> list[Version]:
    """Returns: all registered versions that are not deleted, with their aliases."""
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion as V
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias as A

    aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, alias, version in connection.execute(
        choose(A.name, A.alias, A.version).order_by(A.alias)
    ):
        aliases[name, int(version)].append(alias)
    query = choose(V.name, V.version, V.run_id, V.source, V.storage_location).where(
        V.current_stage != STAGE_DELETED_INTERNAL
    )
    return [
        Version(
            name,
            str(version),
            run,
            source or "",
            tuple(aliases[name, int(version)]),
            location or "",
        )
        for name, version, run, source, location in connection.execute(query)
    ]


def version_places(
    connection: "Connection", registry: "Connection"
) -> Iterator[tuple[Version, str | None]]:
    """Yields: every registered version, and where its files lie, as `version_address` says."""
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    def of_model(identity: str) -> str | None:
        return connection.execute(
            choose(M.artifact_location).where(M.model_id == identity)
        ).scalar()

    def of_run(identity: str, path: str) -> str | None:
        return joined(
            connection.execute(choose(R.artifact_uri).where(R.run_uuid == identity)).scalar(), path
        )

    for version in versions(registry):
        yield version, version_address(version, of_model, of_run)
