"""What is on record of a run, in one number that changes when anything is added or changed."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from onerun.store.sql.engine import among, choose

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

BATCH = 2_000  # runs whose records are in memory


def fingerprints(connection: "Connection", runs: Sequence[str]) -> Mapping[str, int]:
    """Return run id -> a number that this process alone can compare; none for missing runs."""
    found: dict[str, int] = {}
    for start in range(0, len(runs), BATCH):
        some = runs[start : start + BATCH]
        for kind, rows in chain(_of_runs(connection, some), _of_models(connection, some)):
            for run, *values in rows:
                # in whichever order the rows come
                found[run] = found.get(run, 0) ^ hash((kind, *values))
    return found


def _of_runs(
    connection: "Connection", runs: Sequence[str]
) -> Iterator[tuple[str, Iterable[Sequence[Any]]]]:
    """Yield rows that begin with a run's id. Append-only tables are compared by row count."""
    from mlflow.store.tracking.dbmodels.models import SqlInput, SqlMetric, SqlParam, SqlRun, SqlTag

    own = choose(
        SqlRun.run_uuid, SqlRun.name, SqlRun.status, SqlRun.lifecycle_stage, SqlRun.end_time
    )
    yield "run", connection.execute(own.where(among(connection, SqlRun.run_uuid, runs))).all()
    tags = choose(SqlTag.run_uuid, SqlTag.key, SqlTag.value)
    yield "tag", connection.execute(tags.where(among(connection, SqlTag.run_uuid, runs))).all()
    for table in (SqlParam, SqlMetric):
        yield (
            table.__tablename__,
            connection.execute(_counted(connection, table.run_uuid, runs)).all(),
        )
    for kind, run in (("RUN", SqlInput.destination_id), ("RUN_OUTPUT", SqlInput.source_id)):
        ends = SqlInput.destination_type if kind == "RUN" else SqlInput.source_type
        yield kind, connection.execute(_counted(connection, run, runs).where(ends == kind)).all()


def _of_models(
    connection: "Connection", runs: Sequence[str]
) -> Iterator[tuple[str, Iterable[Sequence[Any]]]]:
    """Yield rows that begin with the id of the run that logged the model."""
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelMetric, SqlLoggedModelTag

    own = choose(
        M.source_run_id, M.model_id, M.status, M.lifecycle_stage, M.last_updated_timestamp_ms
    )
    models = connection.execute(own.where(among(connection, M.source_run_id, runs))).all()
    yield "model", models
    run_of = {model: run for run, model, *_ in models}
    tag = SqlLoggedModelTag
    tags = choose(tag.model_id, tag.tag_key, tag.tag_value).where(
        among(connection, tag.model_id, run_of)
    )
    yield "model's tag", ((run_of[row[0]], *row) for row in connection.execute(tags))
    metrics = _counted(connection, SqlLoggedModelMetric.model_id, run_of)
    yield "model's metrics", ((run_of[row[0]], *row) for row in connection.execute(metrics))


def _counted(connection: "Connection", column: Any, ids: Collection[str]) -> "Select[Any]":
    from sqlalchemy import func

    return choose(column, func.count()).where(among(connection, column, ids)).group_by(column)
