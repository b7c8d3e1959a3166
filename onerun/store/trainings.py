"""Trainings and models of a store, counted: in a few queries, or through MLflow's client."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from onerun.domain import names
from onerun.domain.ledger import Move
from onerun.domain.monitoring.seen import ENDED, EndedTraining, Registered, Trainings
from onerun.store.sql.engine import BACKENDS, among, choose, open_database
from onerun.tracking.running import experiments_named, search
from onerun.tracking.runs import client

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from sqlalchemy import ColumnElement, Connection, Select

STAGE_SECONDS = {f"{names.PREFIX_STAGE_SECONDS}{stage}": stage for stage in names.STAGES}
EVALUATION, PROMOTION = (names.TAG_STAGE.format(stage=stage) for stage in ("evaluate", "promote"))


def count_trainings(since: int) -> Trainings:
    """Return the trainings of the store that the environment names.

    Args:
        since: milliseconds since 1970; what ended later is recent.

    Raises: Mistakes, StoreUnreachable.
    """
    uri = os.environ["MLFLOW_TRACKING_URI"]
    if not uri.startswith(BACKENDS):
        return count_by_client(since)
    with closing(open_database(uri)) as database, database.reading() as connection:
        return _count_in_sets(connection, since)


def count_models() -> list[Registered]:
    """Return all registered models with their aliases and the finished moves of these.

    Raises: StoreUnreachable.
    """
    found: list[Registered] = []
    token = None
    while True:
        page = client().search_registered_models(page_token=token)
        for model in page:
            aliases = {alias: str(version) for alias, version in model.aliases.items()}
            found.append(Registered(model.name, aliases, _finished_moves(model.tags)))
        token = page.token
        if not token:
            return found


def _finished_moves(tags: Mapping[str, str]) -> list[Move]:
    keys = sorted(key for key in tags if key.startswith(names.PREFIX_MOVE))
    moves = [Move.from_json(tags[key]) for key in keys]
    return [move for move in moves if move.state == "done"]


# Through MLflow's client, training by training


def count_by_client(since: int) -> Trainings:
    """Return the trainings as every kind of store answers. Args: see `count_trainings`."""
    named = experiments_named(())
    counts: Counter[tuple[str, str]] = Counter()
    ends: dict[tuple[str, str], int] = {}
    last: dict[str, EndedTraining] = {}
    recent = []
    for run in search(named, f"tags.`{names.TAG_FLOW_RUN_ID}` LIKE '%'"):
        key = recipe, state = named[run.info.experiment_id], run.info.status
        counts[key] += 1
        if state not in ENDED or not run.info.end_time:
            continue
        ended = _ended(run, recipe)
        ends[key] = max(ends.get(key, 0), ended.ended)
        if state == "FINISHED" and ended.ended == ends[key]:
            last[recipe] = ended
        if ended.ended >= since:
            recent.append(ended)
    return Trainings(counts, ends, last, recent)


def _ended(run: "MlflowRun", recipe: str) -> EndedTraining:
    info, tags, metrics = run.info, run.data.tags, run.data.metrics
    return EndedTraining(
        recipe,
        info.status,
        info.start_time or info.end_time,
        info.end_time,
        {stage: metrics[key] for key, stage in STAGE_SECONDS.items() if key in metrics},
        tags.get(EVALUATION, ""),
        tags.get(PROMOTION, ""),
    )


# In sets: only those that ended lately, and the last of each recipe, are read one by one


def _count_in_sets(connection: "Connection", since: int) -> Trainings:
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
    recent = _runs(connection, R.status.in_(ENDED), R.end_time >= since)
    last = _last(connection, newest)
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


def _last(
    connection: "Connection", newest: Collection[tuple[str, int]]
) -> dict[str, EndedTraining]:
    """Return the last finished training of each recipe. Args: newest: recipes and these times."""
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    ends = among(connection, R.end_time, [end for _, end in newest])
    found = _runs(connection, R.status == "FINISHED", ends)
    return {run: each for run, each in found.items() if (each.recipe, each.ended) in newest}


def _runs(connection: "Connection", *conditions: "ColumnElement[bool]") -> dict[str, EndedTraining]:
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    query = _ours(R.run_uuid, E.name, R.status, R.start_time, R.end_time).where(*conditions)
    return {
        run: EndedTraining(recipe, state, started or ended, ended, {})
        for run, recipe, state, started, ended in connection.execute(query)
        if ended
    }


def _with_details(
    connection: "Connection", runs: dict[str, EndedTraining]
) -> dict[str, EndedTraining]:
    """Add what the stages left: their seconds, the verdicts of the gates, the decision."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric as M
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for run, key, value in _of(connection, M, list(STAGE_SECONDS), runs):
        seconds[run][STAGE_SECONDS[key]] = value
    for run, key, text in _of(connection, T, [EVALUATION, PROMOTION], runs):
        tags[run][key] = text or ""
    return {
        run: each._replace(
            stages=seconds[run],
            evaluation=tags[run].get(EVALUATION, ""),
            promotion=tags[run].get(PROMOTION, ""),
        )
        for run, each in runs.items()
    }


def _of(connection: "Connection", table: Any, keys: Sequence[str], runs: Collection[str]) -> Any:
    query = choose(table.run_uuid, table.key, table.value)
    of_runs = among(connection, table.run_uuid, runs)
    return connection.execute(query.where(table.key.in_(keys), of_runs))


def _ours(*columns: Any) -> "Select[Any]":
    """Return a SELECT of the runs that name their flow run."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlRun as R
    from mlflow.store.tracking.dbmodels.models import SqlTag as T
    from sqlalchemy import and_

    named = and_(T.run_uuid == R.run_uuid, T.key == names.TAG_FLOW_RUN_ID)
    query = choose(*columns).select_from(R).join(T, named)
    query = query.join(E, E.experiment_id == R.experiment_id)
    return query.where(R.lifecycle_stage == "active")
