"""Looking again at runs right before they are changed: what is not as it was planned is left, with all its family."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain.cleanup.inventory import Version
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import GONE, left_with_family, protecting_tag, references
from onerun.store.sql.database import Database, among, choose
from onerun.store.sql.inventory import versions
from onerun.store.sql.prints import prints
from onerun.store.sql.protecting import PARENT, named_by_issues, pairs
from onerun.store.sql.tags import tag_condition

if TYPE_CHECKING:
    from sqlalchemy import Connection


def left_after_all(
    connection: "Connection",
    database: Database,
    registry: Database,
    items: Sequence[Item],
    policy: Policy,
    going: Collection[str],
    archived: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """Looks again, within the transaction that changes the runs. Args: going: ids of everything in the plan;
    archived: run id -> its print when the archive was begun.

    Returns: run id -> why it is left after all; their families are left with them.
    """
    ids = [item.id for item in items]
    _hold_still(connection, database, with_registry=registry is database)
    found = _changed(connection, database, items)
    words = [] if archived is None else _not_as_archived(connection, ids, archived)
    words += [*_tagged(connection, ids, policy), *_children(connection, ids, going)]
    words += [
        *_of_protected_experiments(connection, items, policy),
        *named_by_issues(connection, ids),
    ]
    if registry is database:
        words += _registered(connection, versions(connection), ids)
    else:
        with registry.reading() as other:
            words += _registered(connection, versions(other), ids)
    for run, word in words:
        found.setdefault(run, word)
    return left_with_family(found, ids, _parents_near(connection, ids)) if found else found


def _hold_still(connection: "Connection", database: Database, with_registry: bool) -> None:
    """On PostgreSQL nobody adds between our look and our end what no lock of a run's row holds up.

    Nothing but their words ties logged models, inputs and versions to runs. SQLite has one writer anyway.
    """
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlInput, SqlLoggedModel
    from sqlalchemy import text

    if not database.is_sqlite:
        tables: list[Any] = [
            SqlLoggedModel,
            SqlInput,
            *([SqlModelVersion] if with_registry else []),
        ]
        named = ", ".join(table.__tablename__ for table in tables)
        connection.execute(text(f"LOCK TABLE {named} IN SHARE ROW EXCLUSIVE MODE"))


def _changed(connection: "Connection", database: Database, items: Sequence[Item]) -> dict[str, str]:
    """Runs that are gone, live again, or were restored or deleted since. Their rows stay locked until the end."""
    from mlflow.store.tracking.dbmodels.models import SqlRun

    query = choose(SqlRun.run_uuid, SqlRun.status, SqlRun.lifecycle_stage, SqlRun.end_time)
    query = query.where(among(connection, SqlRun.run_uuid, [item.id for item in items])).order_by(
        SqlRun.run_uuid
    )
    if not database.is_sqlite:
        query = query.with_for_update()
    now = {run: values for run, *values in connection.execute(query)}
    found = {}
    for item in items:
        status, lifecycle, ended = now.get(item.id, ("", "gone", None))
        if lifecycle != item.lifecycle:
            found[item.id] = GONE if lifecycle == "gone" else f"{lifecycle} meanwhile"
        elif status in ("RUNNING", "SCHEDULED"):
            found[item.id] = f"reads {status} meanwhile"
        elif ended != item.ended:
            found[item.id] = "was resumed meanwhile"
    return found


def _not_as_archived(
    connection: "Connection", ids: Sequence[str], archived: Mapping[str, int]
) -> list[tuple[str, str]]:
    words = []
    for run, now in prints(connection, ids).items():
        if run not in archived:
            words.append((run, "is not in the archive"))
        elif archived[run] != now:
            words.append((run, "its records changed since they were archived"))
    return words


def _tagged(connection: "Connection", ids: Sequence[str], policy: Policy) -> list[tuple[str, str]]:
    """Runs that a tag protects, their own or one of a model that they logged."""
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelTag, SqlTag

    wanted, of_model = policy.protect.tags, SqlLoggedModelTag
    own = choose(SqlTag.run_uuid, SqlTag.key, SqlTag.value).where(tag_condition(wanted, SqlTag.key))
    logged = choose(M.source_run_id, of_model.tag_key, of_model.tag_value).join(
        M, M.model_id == of_model.model_id
    )
    found = []
    for run_of, query, of in (
        (SqlTag.run_uuid, own, ""),
        (
            M.source_run_id,
            logged.where(tag_condition(wanted, of_model.tag_key)),
            " of a logged model",
        ),
    ):
        for run, key, value in connection.execute(query.where(among(connection, run_of, ids))):
            if word := protecting_tag({key: value or ""}, wanted):
                found.append((run, f"{word}{of}"))
    return found


def protected_experiments(
    connection: "Connection", experiments: Collection[int], policy: Policy
) -> dict[int, str]:
    """Returns: experiment -> the tag that protects all of it, of those that have one."""
    from mlflow.store.tracking.dbmodels.models import SqlExperimentTag as T

    query = choose(T.experiment_id, T.key, T.value).where(
        among(connection, T.experiment_id, experiments)
    )
    rows = connection.execute(query.where(tag_condition(policy.protect.tags, T.key)))
    words = (
        (each, protecting_tag({key: value or ""}, policy.protect.tags)) for each, key, value in rows
    )
    return {each: f"{word} of the experiment" for each, word in words if word}


def _of_protected_experiments(
    connection: "Connection", items: Sequence[Item], policy: Policy
) -> Iterator[tuple[str, str]]:
    words = protected_experiments(connection, {int(item.experiment_id) for item in items}, policy)
    return (
        (item.id, words[int(item.experiment_id)])
        for item in items
        if int(item.experiment_id) in words
    )


def _registered(
    connection: "Connection", registered: Sequence[Version], ids: Sequence[str]
) -> list[tuple[str, str]]:
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelMetric as X

    of = {run: [run] for run in ids}  # what a version may name -> the runs that it needs
    for query in (
        choose(M.model_id, M.source_run_id).where(among(connection, M.source_run_id, ids)),
        choose(X.model_id, X.run_id).where(among(connection, X.run_id, ids)).distinct(),
    ):
        for model, run in connection.execute(query):
            of.setdefault(model, []).append(run)
    return [
        (run, each.words)
        for each in registered
        for named in references(each)
        for run in of.get(named, ())
    ]


def _children(
    connection: "Connection", ids: Sequence[str], going: Collection[str]
) -> list[tuple[str, str]]:
    """Parents that got a child which is not in the plan, and children whose parent is kept."""
    from mlflow.store.tracking.dbmodels.models import SqlTag

    query = choose(SqlTag.run_uuid, SqlTag.value).where(
        SqlTag.key == PARENT, among(connection, SqlTag.value, ids)
    )
    return [
        (parent, f"has child {child}")
        for child, parent in connection.execute(query)
        if child not in going
    ]


def _parents_near(connection: "Connection", ids: Sequence[str]) -> dict[str, str]:
    """Returns: run id -> its parent's, where one of the two is among the ids."""
    from mlflow.store.tracking.dbmodels.models import SqlTag
    from sqlalchemy import or_

    query = choose(SqlTag.run_uuid, SqlTag.value).where(
        SqlTag.key == PARENT,
        or_(among(connection, SqlTag.value, ids), among(connection, SqlTag.run_uuid, ids)),
    )
    return pairs(connection, query)
