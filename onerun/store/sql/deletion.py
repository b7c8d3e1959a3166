"""Deletion in batches: each in one short transaction that first rechecks what protects."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.result import Outcome
from onerun.store.sql.engine import Database, among, choose
from onerun.store.sql.protections import protected_experiments, recheck_runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

GO_WITH_IT = ("experiment_tags", "datasets")  # tables whose rows go with an experiment


def soft_delete(
    database: Database,
    registry: Database,
    items: Sequence[Item],
    policy: Policy,
    going: Collection[str],
    now: int,
) -> Outcome:
    """Mark runs as deleted, as MLflow does. Args: going: ids of everything in the plan."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from sqlalchemy import update

    with database.writing() as connection:
        left = recheck_runs(connection, database, registry, items, policy, going)
        done = tuple(item.id for item in items if item.id not in left)
        values = {"lifecycle_stage": "deleted", "deleted_time": now}
        connection.execute(
            update(SqlRun).where(among(connection, SqlRun.run_uuid, done)).values(**values)
        )
    return Outcome(done, left)


def mark(
    database: Database,
    registry: Database,
    items: Sequence[Item],
    policy: Policy,
    going: Collection[str],
    tag: tuple[str, str],
) -> Outcome:
    """Tag runs and change nothing else."""
    from mlflow.store.tracking.dbmodels.models import SqlTag
    from sqlalchemy import delete, insert

    with database.writing() as connection:
        left = recheck_runs(connection, database, registry, items, policy, going)
        done = tuple(item.id for item in items if item.id not in left)
        connection.execute(
            delete(SqlTag).where(SqlTag.key == tag[0], among(connection, SqlTag.run_uuid, done))
        )
        rows = [{"key": tag[0], "value": tag[1], "run_uuid": run} for run in done]
        if rows:
            connection.execute(insert(SqlTag), rows)
    return Outcome(done, left)


def hard_delete(
    database: Database,
    registry: Database,
    items: Sequence[Item],
    policy: Policy,
    going: Collection[str],
    archived: Mapping[str, int],
) -> Outcome:
    """Remove the rows of runs and of the models that they logged, from every table. Traces stay.

    Args:
        archived: run id -> its fingerprint when the archive was begun; what is not as it was then,
            or not in it, is left.
    """
    with database.writing() as connection:
        left = recheck_runs(connection, database, registry, items, policy, going, archived)
        done = tuple(item.id for item in items if item.id not in left)
        if done:
            _remove_rows(connection, done)
    return Outcome(done, left)


def existing(database: Database, column: Any, ids: Sequence[Any]) -> set[Any]:
    """Return those of the ids that the column holds."""
    with database.reading() as connection:
        return set(
            connection.execute(choose(column).where(among(connection, column, ids))).scalars()
        )


def _remove_rows(connection: "Connection", runs: Sequence[str]) -> None:
    from mlflow.store.tracking.dbmodels import models as m
    from sqlalchemy import and_, delete, or_

    mine = among(connection, m.SqlLoggedModel.source_run_id, runs)
    logged = connection.execute(choose(m.SqlLoggedModel.model_id).where(mine)).scalars().all()
    begins = and_(
        m.SqlInput.source_type.in_(("RUN_INPUT", "RUN_OUTPUT")),
        among(connection, m.SqlInput.source_id, runs),
    )
    ends = and_(
        m.SqlInput.destination_type == "RUN", among(connection, m.SqlInput.destination_id, runs)
    )
    inputs = (
        connection.execute(choose(m.SqlInput.input_uuid).where(or_(begins, ends))).scalars().all()
    )
    if inputs:
        connection.execute(
            delete(m.SqlInputTag).where(among(connection, m.SqlInputTag.input_uuid, inputs))
        )
        connection.execute(
            delete(m.SqlInput).where(among(connection, m.SqlInput.input_uuid, inputs))
        )
    connection.execute(
        delete(m.SqlLoggedModelMetric).where(among(connection, m.SqlLoggedModelMetric.run_id, runs))
    )
    if logged:
        for table in (
            m.SqlLoggedModelMetric,
            m.SqlLoggedModelParam,
            m.SqlLoggedModelTag,
            m.SqlLoggedModel,
        ):
            connection.execute(delete(table).where(among(connection, table.model_id, logged)))
    for rows in (m.SqlMetric, m.SqlLatestMetric, m.SqlParam, m.SqlTag, m.SqlRun):
        connection.execute(delete(rows).where(among(connection, rows.run_uuid, runs)))


# Experiments


def hard_delete_experiments(database: Database, items: Sequence[Item], policy: Policy) -> Outcome:
    """Remove the rows of deleted experiments that hold nothing any more, one transaction each.

    Whatever table still refers to an experiment keeps it: runs, models, traces, and those of a
    later MLflow.
    """
    left: dict[str, Reason] = {}
    for item in items:
        with database.writing() as connection:
            if reason := _kept_by(connection, database, int(item.id), policy):
                left[item.id] = reason
            else:
                _remove_experiment(connection, int(item.id))
    return Outcome(tuple(item.id for item in items if item.id not in left), left)


def _kept_by(
    connection: "Connection", database: Database, experiment: int, policy: Policy
) -> Reason | None:
    """Return what protects an experiment now, or what it still holds."""
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from sqlalchemy import exists

    query = choose(SqlExperiment.lifecycle_stage).where(SqlExperiment.experiment_id == experiment)
    stage = connection.execute(query if database.is_sqlite else query.with_for_update()).scalar()
    if stage != "deleted":
        return Reason(ReasonKind.MISSING if stage is None else ReasonKind.RESTORED)
    if reason := protected_experiments(connection, [experiment], policy).get(str(experiment)):
        return reason
    for table in Base.metadata.sorted_tables:
        if table.name in GO_WITH_IT:
            continue
        for key in table.foreign_keys:
            if key.column.table.name == "experiments":
                rows = choose(exists().where(table.c[key.parent.name] == experiment))
                if connection.execute(rows).scalar():
                    return Reason(ReasonKind.NOT_EMPTY, table.name)
    return None


def _remove_experiment(connection: "Connection", experiment: int) -> None:
    """Remove the row and all that goes with it.

    Sums over traces have no foreign key, and SQLite gives the number to another experiment.
    """
    from mlflow.store.tracking.dbmodels import models as m
    from sqlalchemy import delete

    sums = (
        m.SqlTraceRollupRebuild,
        m.SqlTraceMetricDailyRollup,
        m.SqlSpanCostDailyRollup,
        m.SqlAssessmentDailyRollup,
    )
    for table in (*sums, m.SqlExperimentTag, m.SqlDataset, m.SqlExperiment):
        connection.execute(delete(table).where(table.experiment_id == experiment))
