"""What a database holds, read in a few queries over sets and streamed experiment by experiment."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import joined, version_address
from onerun.domain.cleanup.inventory import Experiment, Group, LoggedModel, RegisteredVersion, Run
from onerun.domain.cleanup.protection import PIN
from onerun.store.sql.engine import STREAMED, choose

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

# Columns of the queries below, by position.
EXPERIMENT_ID = 2
FIRST_METRIC = 9


def groups(connection: "Connection", policy: Policy) -> Iterator[Group]:
    """Yield every experiment with its runs and logged models; one at a time is in memory."""
    runs = _Merged(connection, _runs(policy))
    models, tags = _Merged(connection, _models()), _tags_of_models(connection, policy)
    for experiment in sorted(experiments(connection), key=lambda each: int(each.id)):
        number = int(experiment.id)
        logged = [
            LoggedModel._make((*row[:2], experiment.id, *row[3:], tags.get(row[0], {})))
            for row in models.rows_of(number)
        ]
        yield Group(experiment, _as_runs(runs.rows_of(number), experiment.id), logged)


class _Merged:
    """Rows of a query in the order of their experiments, handed out experiment by experiment."""

    def __init__(self, connection: "Connection", query: "Select[Any]") -> None:
        rows = connection.execute(query.execution_options(yield_per=STREAMED))
        every = chain.from_iterable(rows.partitions())
        self._groups = groupby(every, key=itemgetter(EXPERIMENT_ID))
        self._next = next(self._groups, None)

    def rows_of(self, experiment: int) -> Sequence[Any]:
        """Return an experiment's rows; those of missing ones are skipped: `problems` lists them."""
        while self._next and int(self._next[0]) < experiment:
            self._next = next(self._groups, None)
        if not self._next or int(self._next[0]) != experiment:
            return []
        rows = list(self._next[1])
        self._next = next(self._groups, None)
        return rows


def experiments(connection: "Connection") -> list[Experiment]:
    """Return all experiments with their tags."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlExperimentTag as T

    tags = by_owner(connection, choose(T.experiment_id, T.key, T.value))
    query = choose(
        E.experiment_id,
        E.name,
        E.lifecycle_stage,
        E.artifact_location,
        E.creation_time,
        E.last_update_time,
    )
    return [
        Experiment(str(row[0]), row[1], row[2], row[3] or "", row[4], row[5], tags.get(row[0], {}))
        for row in connection.execute(query)
    ]


def _as_runs(rows: Sequence[Any], experiment: str) -> list[Run]:
    """Return runs, made column by column.

    Hundreds of thousands pass here, and a call for each would cost more than its query.
    """
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    measured = columns[FIRST_METRIC:]
    metrics = zip(*measured, strict=True) if measured else repeat(())
    values = zip(*columns[:2], repeat(experiment), *columns[3:FIRST_METRIC], metrics, strict=False)
    return list(map(Run._make, values))


def _runs(policy: Policy) -> "Select[Any]":
    """Return the query of all runs.

    It names columns of the tables, not attributes of the mapped classes: a row costs half as much.
    """
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
        *(r.run_uuid, r.name, r.experiment_id, r.status, r.lifecycle_stage),
        *(r.start_time, r.end_time, r.deleted_time, r.artifact_uri),
    )
    return choose(*columns, *values).select_from(joined).order_by(r.experiment_id)


def _models() -> "Select[Any]":
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M

    query = choose(
        M.model_id,
        M.name,
        M.experiment_id,
        M.source_run_id,
        M.artifact_location,
        M.creation_timestamp_ms,
        M.lifecycle_stage,
    )
    return query.order_by(M.experiment_id)


def _tags_of_models(connection: "Connection", policy: Policy) -> dict[str, dict[str, str]]:
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelTag as T

    query = choose(T.model_id, T.tag_key, T.tag_value).where(
        tag_condition(policy.protect.tags, T.tag_key)
    )
    return by_owner(connection, query)


def versions(connection: "Connection") -> list[RegisteredVersion]:
    """Return all registered versions that are not deleted, with their aliases."""
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
        RegisteredVersion(
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
) -> Iterator[tuple[RegisteredVersion, str | None]]:
    """Yield every registered version and where its files lie, as `version_address` says."""
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


# Tags that may protect


def tag_condition(patterns: Sequence[str], key: Any) -> "ColumnElement[bool]":
    """Return the condition that a tag's key may protect: a superset, the domain decides.

    Args:
        patterns: the policy's protecting tags.
        key: the column of the key.
    """
    from sqlalchemy import or_

    keys = [pattern.partition("=")[0] for pattern in patterns]
    plain = [PIN, *(each for each in keys if not set(each) & set("*?"))]
    globs = [each for each in keys if set(each) & set("*?")]
    likes = [key.like(_like(each), escape="\\") for each in globs]
    return or_(key.in_(plain), *likes)


def _like(glob: str) -> str:
    for special in "\\%_":
        glob = glob.replace(special, f"\\{special}")
    return glob.replace("*", "%").replace("?", "_")


def by_owner(connection: "Connection", query: "Select[Any]") -> dict[Any, dict[str, str]]:
    """Return owner -> key -> value for a query of these three columns."""
    found: dict[Any, dict[str, str]] = defaultdict(dict)
    for owner, key, value in connection.execute(query):
        found[owner][key] = value or ""
    return found
