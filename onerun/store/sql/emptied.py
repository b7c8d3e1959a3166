"""Deleted experiments that hold nothing any more: their row goes, and only then."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onerun.config.policy import Policy
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.result import Outcome
from onerun.store.sql.database import Database, choose
from onerun.store.sql.protections import protected_experiments

if TYPE_CHECKING:
    from sqlalchemy import Connection

GO_WITH_IT = ("experiment_tags", "datasets")


def hard_delete_experiments(database: Database, items: Sequence[Item], policy: Policy) -> Outcome:
    """Whatever table still refers to an experiment keeps it: runs, models, traces, and those of a later MLflow."""
    left: dict[str, Reason] = {}
    for item in items:
        with database.writing() as connection:
            if word := _kept_by(connection, database, int(item.id), policy):
                left[item.id] = word
            else:
                _remove(connection, int(item.id))
    return Outcome(tuple(item.id for item in items if item.id not in left), left)


def _kept_by(
    connection: "Connection", database: Database, experiment: int, policy: Policy
) -> Reason | None:
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from sqlalchemy import exists

    query = choose(SqlExperiment.lifecycle_stage).where(SqlExperiment.experiment_id == experiment)
    stage = connection.execute(query if database.is_sqlite else query.with_for_update()).scalar()
    if stage != "deleted":
        return Reason(ReasonKind.MISSING if stage is None else ReasonKind.RESTORED)
    if word := protected_experiments(connection, [experiment], policy).get(str(experiment)):
        return word
    for table in Base.metadata.sorted_tables:
        if table.name not in GO_WITH_IT:
            for key in table.foreign_keys:
                if key.column.table.name == "experiments":
                    rows = choose(exists().where(table.c[key.parent.name] == experiment))
                    if connection.execute(rows).scalar():
                        return Reason(ReasonKind.NOT_EMPTY, table.name)
    return None


def _remove(connection: "Connection", experiment: int) -> None:
    """Sums over traces have no foreign key, and SQLite gives the number to another experiment."""
    from mlflow.store.tracking.dbmodels import models as m
    from sqlalchemy import delete

    sums = (
        m.SqlTraceRollupRebuild, m.SqlTraceMetricDailyRollup, m.SqlSpanCostDailyRollup, m.SqlAssessmentDailyRollup,
    )  # fmt: skip
    for table in (*sums, m.SqlExperimentTag, m.SqlDataset, m.SqlExperiment):
        connection.execute(delete(table).where(table.experiment_id == experiment))
