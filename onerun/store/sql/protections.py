"""What protects runs in the tables: for the plan, and again within the transaction that changes
them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.inventory import (
    UNFINISHED_STATES,
    Experiment,
    RegisteredVersion,
    SnapshotUse,
)
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import (
    Protections,
    of_experiment,
    protecting_tag,
    protections_of,
    references,
)
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.recheck import RunNow, recheck_all
from onerun.store.sql.engine import Database, among, choose
from onerun.store.sql.fingerprints import fingerprints
from onerun.store.sql.inventory import by_owner, tag_condition, versions

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

PARENT = "mlflow.parentRunId"


def store_protections(
    connection: "Connection", registry: "Connection", policy: Policy, live: Collection[str]
) -> Protections:
    """Return everything that protects. Args: live: ids of flow runs that are not over."""
    registered = versions(registry)
    named = sorted(
        {each for version in registered for each in references(version) if each.startswith("m-")}
    )
    found = protections_of(
        versions=registered,
        models_of_runs=_runs_of_models(connection, named),
        tags=_protecting_tags(connection, policy),
        live=_runs_of_flows(connection, sorted(live)),
        apart=_families_apart(connection),
        parents=_parents(connection),
        protect_tags=policy.protect.tags,
        protect_experiments=policy.protect.experiments,
        measured_by=_measured_by(connection, registered),
    )
    return replace(found, runs={**_named_by_issues(connection), **found.runs})


def recheck_runs(
    connection: "Connection",
    database: Database,
    registry: Database,
    items: Sequence[Item],
    policy: Policy,
    planned: Collection[str],
    archived: Mapping[str, int] | None = None,
) -> dict[str, Reason]:
    """Look at planned runs once more, within the transaction that changes them.

    Args:
        items: the runs that are about to be changed.
        planned: ids of everything in the plan.
        archived: run id -> fingerprint of its records when the archive was begun; None: no archive
            is needed.

    Returns: run id -> why it is skipped; its family with it.
    """
    ids = [item.id for item in items]
    _lock_tables(connection, database, with_registry=registry is database)
    now = _runs_now(connection, database, ids)
    parents = _parents_near(connection, ids)
    if registry is database:
        needed = _needed_now(connection, versions(connection), ids)
    else:
        with registry.reading() as other:
            needed = _needed_now(connection, versions(other), ids)
    protections = Protections(
        runs={**needed, **_named_by_issues(connection, ids), **_tags_now(connection, ids, policy)},
        parents=parents,
        whole=protected_experiments(
            connection, {int(item.experiment_id) for item in items}, policy
        ),
    )
    outside = {parent for parent in parents.values() if parent not in planned}
    changed = {} if archived is None else _changed_records(connection, ids, archived)
    return recheck_all(
        items,
        now=now,
        protections=protections,
        planned=planned,
        existing=_existing(connection, outside) if outside else (),
        check=changed.get,
    )


def protected_experiments(
    connection: "Connection", experiments: Collection[int], policy: Policy
) -> dict[str, Reason]:
    """Return experiment id -> what protects all of it now."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
    from mlflow.store.tracking.dbmodels.models import SqlExperimentTag as T

    protections = Protections(tags=policy.protect.tags, experiments=policy.protect.experiments)
    query = choose(T.experiment_id, T.key, T.value).where(
        among(connection, T.experiment_id, experiments), tag_condition(policy.protect.tags, T.key)
    )
    tags = by_owner(connection, query)
    named = choose(E.experiment_id, E.name, E.lifecycle_stage)
    found = {}
    for identity, name, lifecycle in connection.execute(
        named.where(among(connection, E.experiment_id, experiments))
    ):
        experiment = Experiment(
            id=str(identity),
            name=name,
            lifecycle=lifecycle,
            location="",
            created=None,
            updated=None,
            tags=tags.get(identity, {}),
        )
        if reason := of_experiment(experiment, protections):
            found[experiment.id] = reason
    return found


def snapshots_in_use(connection: "Connection") -> SnapshotUse:
    """Return the snapshots that runs name, deleted runs included."""
    from mlflow.store.tracking.dbmodels.models import SqlRun as R
    from mlflow.store.tracking.dbmodels.models import SqlTag as T
    from sqlalchemy import and_, func
    from sqlalchemy.orm import aliased

    named = choose(T.value).where(T.key == names.TAG_SNAPSHOT_DIGEST).distinct()
    digest = aliased(T)
    unnamed = (
        choose(func.count(R.run_uuid))
        .join(T, and_(T.run_uuid == R.run_uuid, T.key == names.TAG_PROCESS))
        .outerjoin(
            digest,
            and_(digest.run_uuid == R.run_uuid, digest.key == names.TAG_SNAPSHOT_DIGEST),
        )
        .where(R.status.in_(UNFINISHED_STATES), digest.run_uuid.is_(None))
    )
    return SnapshotUse(
        digests=set(connection.execute(named).scalars()),
        unnamed=int(connection.execute(unnamed).scalar_one()),
    )


# For the plan: the whole store.


def _runs_of_models(connection: "Connection", models: Sequence[str]) -> dict[str, str]:
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M

    query = choose(M.model_id, M.source_run_id).where(among(connection, M.model_id, models))
    return {model: run for model, run in connection.execute(query) if run}


def _measured_by(
    connection: "Connection", registered: Sequence[RegisteredVersion]
) -> list[tuple[str, str]]:
    """Return runs that measured a model which another run logged and a version needs, and that
    version.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelMetric as X
    from sqlalchemy import or_

    needed = {each: version.title for version in registered for each in references(version)}
    about = or_(among(connection, X.model_id, needed), among(connection, M.source_run_id, needed))
    query = (
        choose(X.run_id, X.model_id, M.source_run_id).join(M, M.model_id == X.model_id).distinct()
    )
    rows = connection.execute(query.where(about, X.run_id != M.source_run_id))
    return [(run, needed.get(model) or needed[source]) for run, model, source in rows]


def _protecting_tags(connection: "Connection", policy: Policy) -> dict[str, dict[str, str]]:
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    query = choose(T.run_uuid, T.key, T.value).where(tag_condition(policy.protect.tags, T.key))
    return by_owner(connection, query)


def _runs_of_flows(connection: "Connection", flow_runs: Sequence[str]) -> set[str]:
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    named = among(connection, T.value, flow_runs)
    query = choose(T.run_uuid).where(T.key == names.TAG_FLOW_RUN_ID, named)
    return set(connection.execute(query).scalars())


def _parents(connection: "Connection") -> dict[str, str]:
    """Return run id -> its parent's, of all runs that name one."""
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    return _pairs(connection, choose(T.run_uuid, T.value).where(T.key == PARENT))


def _families_apart(connection: "Connection") -> set[str]:
    """Return runs whose parent or child lies in another experiment; both of them."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from mlflow.store.tracking.dbmodels.models import SqlTag as T
    from sqlalchemy.orm import aliased

    child, parent = aliased(SqlRun), aliased(SqlRun)
    query = (
        choose(child.run_uuid, parent.run_uuid)
        .join(T, T.run_uuid == child.run_uuid)
        .join(parent, parent.run_uuid == T.value)
        .where(T.key == PARENT, child.experiment_id != parent.experiment_id)
    )
    return {run for pair in connection.execute(query) for run in pair}


# For the recheck: the runs of one transaction.


def _lock_tables(connection: "Connection", database: Database, with_registry: bool) -> None:
    """Let nobody add, until the transaction ends, what no lock of a run's row holds up.

    Only their values tie logged models, inputs and versions to runs. SQLite has one writer anyway.
    """
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlInput, SqlLoggedModel
    from sqlalchemy import text

    if database.is_sqlite:
        return
    tables: list[Any] = [SqlLoggedModel, SqlInput]
    if with_registry:
        tables.append(SqlModelVersion)
    named = ", ".join(table.__tablename__ for table in tables)
    connection.execute(text(f"LOCK TABLE {named} IN SHARE ROW EXCLUSIVE MODE"))


def _runs_now(
    connection: "Connection", database: Database, ids: Sequence[str]
) -> dict[str, RunNow]:
    """Return the runs that exist. Their rows stay locked until the transaction ends."""
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    query = choose(R.run_uuid, R.experiment_id, R.status, R.lifecycle_stage, R.end_time)
    query = query.where(among(connection, R.run_uuid, ids)).order_by(R.run_uuid)
    if not database.is_sqlite:
        query = query.with_for_update()
    return {
        run: RunNow((str(experiment),), status, lifecycle, ended)
        for run, experiment, status, lifecycle, ended in connection.execute(query)
    }


def _existing(connection: "Connection", runs: Collection[str]) -> set[str]:
    from mlflow.store.tracking.dbmodels.models import SqlRun as R

    query = choose(R.run_uuid).where(among(connection, R.run_uuid, runs))
    return set(connection.execute(query).scalars())


def _changed_records(
    connection: "Connection", ids: Sequence[str], archived: Mapping[str, int]
) -> dict[str, Reason]:
    """Return the runs that are not as they are in the archive."""
    found = {}
    for run, fingerprint in fingerprints(connection, ids).items():
        if run not in archived:
            found[run] = Reason(ReasonKind.NOT_ARCHIVED)
        elif archived[run] != fingerprint:
            found[run] = Reason(ReasonKind.CHANGED, "records")
    return found


def _tags_now(connection: "Connection", ids: Sequence[str], policy: Policy) -> dict[str, Reason]:
    """Return the runs that a tag protects, their own or one of a model that they logged."""
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelTag as ModelTag
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    wanted = policy.protect.tags
    own = choose(T.run_uuid, T.key, T.value).where(
        tag_condition(wanted, T.key), among(connection, T.run_uuid, ids)
    )
    logged = (
        choose(M.source_run_id, ModelTag.tag_key, ModelTag.tag_value)
        .join(M, M.model_id == ModelTag.model_id)
        .where(tag_condition(wanted, ModelTag.tag_key), among(connection, M.source_run_id, ids))
    )
    return _tagged(connection.execute(logged), ReasonKind.MODEL_TAG, wanted) | _tagged(
        connection.execute(own), ReasonKind.TAG, wanted
    )


def _tagged(rows: Iterable[Any], kind: ReasonKind, patterns: Sequence[str]) -> dict[str, Reason]:
    found = {}
    for run, key, value in rows:
        if tag := protecting_tag({key: value or ""}, patterns):
            found[run] = Reason(kind, tag)
    return found


def _needed_now(
    connection: "Connection", registered: Sequence[RegisteredVersion], ids: Sequence[str]
) -> dict[str, Reason]:
    """Return the runs that a version needs: for themselves, or for a model that they logged or
    measured.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelMetric as X

    needed_for = {run: [run] for run in ids}  # what a version may name -> the runs that it needs
    for query in (
        choose(M.model_id, M.source_run_id).where(among(connection, M.source_run_id, ids)),
        choose(X.model_id, X.run_id).where(among(connection, X.run_id, ids)).distinct(),
    ):
        for model, run in connection.execute(query):
            needed_for.setdefault(model, []).append(run)
    return {
        run: Reason(ReasonKind.REGISTERED, version.title)
        for version in registered
        for named in references(version)
        for run in needed_for.get(named, ())
    }


def _named_by_issues(
    connection: "Connection", runs: Sequence[str] | None = None
) -> dict[str, Reason]:
    """Return the runs that an issue names as where it arose; without them it would forget that for
    good.

    Args: runs: None: all of the store.
    """
    from mlflow.store.tracking.dbmodels.models import SqlIssue as I

    query = choose(I.source_run_id, I.issue_id).order_by(I.issue_id)
    if runs is None:
        query = query.where(I.source_run_id.is_not(None))
    else:
        query = query.where(among(connection, I.source_run_id, runs))
    return {run: Reason(ReasonKind.ISSUE, issue) for run, issue in connection.execute(query)}


def _parents_near(connection: "Connection", ids: Sequence[str]) -> dict[str, str]:
    """Return run id -> its parent's, where one of the two is among the ids."""
    from mlflow.store.tracking.dbmodels.models import SqlTag as T
    from sqlalchemy import or_

    either = or_(among(connection, T.value, ids), among(connection, T.run_uuid, ids))
    return _pairs(connection, choose(T.run_uuid, T.value).where(T.key == PARENT, either))


def _pairs(connection: "Connection", query: "Select[Any]") -> dict[str, str]:
    """Return a query's first column -> its second."""
    return {row[0]: row[1] for row in connection.execute(query)}
