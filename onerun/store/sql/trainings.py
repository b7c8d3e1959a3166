"""Trainings in the tables: counted in sets; only those that ended lately, and the last of each recipe, one by one."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from onerun.domain import names
from onerun.domain.monitoring.seen import ENDED, Ended, Trainings
from onerun.store.sql.database import among, choose

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

STAGE_SECONDS = {f"{names.PREFIX_STAGE_SECONDS}{stage}": stage for stage in names.STAGES}
EVALUATION, PROMOTION = (names.TAG_STAGE.format(stage=stage) for stage in ("evaluate", "promote"))


def trainings(connection: "Connection", since: int) -> Trainings:
    """Returns: what the store holds. Args: since: milliseconds since 1970; what ended later is recent."""
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    counts: Counter[tuple[str, str]] = Counter()
    ends: dict[tuple[str, str], int] = {}
    newest = set()
    for recipe, state, count, end in connection.execute(_by_experiment_and_state()):
        counts[recipe, state] += count
        if state in ENDED and end:
            ends[recipe, state] = max(end, ends.get((recipe, state), 0))
            if state == "FINISHED":
                newest.add((recipe, end))
    recent, last = (
        _runs(connection, R.status.in_(ENDED), R.end_time >= since),
        _last(connection, newest),
    )
    ended = _with_details(connection, recent | last)
    return Trainings(
        counts,
        ends,
        {ended[run].recipe: ended[run] for run in sorted(last)},
        [ended[run] for run in recent],
    )


def _by_experiment_and_state() -> "Select[Any]":
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlRun as R
    from sqlalchemy import func

    columns = (E.name, R.status)
    return _ours(*columns, func.count(), func.max(R.end_time)).group_by(*columns)


def _last(connection: "Connection", newest: Collection[tuple[str, int]]) -> dict[str, Ended]:
    """Args: newest: recipes, and when the last training of each finished."""
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    ends = among(connection, R.end_time, [end for _, end in newest])
    found = _runs(connection, R.status == "FINISHED", ends)
    return {run: each for run, each in found.items() if (each.recipe, each.ended) in newest}


def _runs(connection: "Connection", *conditions: "ColumnElement[bool]") -> dict[str, Ended]:
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    query = _ours(R.run_uuid, E.name, R.status, R.start_time, R.end_time).where(*conditions)
    return {
        run: Ended(recipe, state, started or ended, ended, {})
        for run, recipe, state, started, ended in connection.execute(query)
        if ended
    }


def _with_details(connection: "Connection", runs: dict[str, Ended]) -> dict[str, Ended]:
    """Adds what the stages left: their seconds, what the gates said, what was decided."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric as M
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for run, key, value in _of(connection, M, list(STAGE_SECONDS), runs):
        seconds[run][STAGE_SECONDS[key]] = value
    for run, key, text in _of(connection, T, [EVALUATION, PROMOTION], runs):
        said[run][key] = text or ""
    return {
        run: each._replace(
            stages=seconds[run],
            evaluation=said[run].get(EVALUATION, ""),
            promotion=said[run].get(PROMOTION, ""),
        )
        for run, each in runs.items()
    }


def _of(connection: "Connection", table: Any, keys: Sequence[str], runs: Collection[str]) -> Any:
    query = choose(table.run_uuid, table.key, table.value)
    return connection.execute(
        query.where(table.key.in_(keys), among(connection, table.run_uuid, runs))
    )


def _ours(*columns: Any) -> "Select[Any]":
    """A run of ours names its flow run."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlRun as R
    from mlflow.store.tracking.dbmodels.models import SqlTag as T
    from sqlalchemy import and_

    named = and_(T.run_uuid == R.run_uuid, T.key == names.TAG_FLOW_RUN_ID)
    query = (
        choose(*columns).select_from(R).join(T, named).join(E, E.experiment_id == R.experiment_id)
    )
    return query.where(R.lifecycle_stage == "active")
