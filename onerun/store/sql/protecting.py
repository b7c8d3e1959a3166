"""Who protects what in the tables: looked up for the plan."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.inventory import Version
from onerun.domain.cleanup.protection import Guards, guards, references
from onerun.store.sql.database import among, choose
from onerun.store.sql.inventory import versions
from onerun.store.sql.tags import by_owner, tag_condition

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

PARENT = "mlflow.parentRunId"


def store_guards(
    connection: "Connection", registry: "Connection", policy: Policy, live: Collection[str]
) -> Guards:
    """Returns: everything that protects. `live`: ids of flow runs that are not over."""
    registered = versions(registry)
    named = sorted(
        {each for version in registered for each in references(version) if each.startswith("m-")}
    )
    found = guards(
        registered,
        _runs_of_models(connection, named),
        _protecting_tags(connection, policy),
        _runs_of_flows(connection, sorted(live)),
        _families_apart(connection),
        parents(connection),
        policy.protect.tags,
        policy.protect.experiments,
        _measured_by(connection, registered),
    )
    return replace(found, runs={**dict(named_by_issues(connection)), **found.runs})


def named_by_issues(
    connection: "Connection", runs: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Args: runs: None: all. Returns: run id, words: without the run an issue would forget for good where it arose."""
    from mlflow.store.tracking.dbmodels.models import SqlIssue as I

    named = (
        I.source_run_id.is_not(None) if runs is None else among(connection, I.source_run_id, runs)
    )
    query = choose(I.source_run_id, I.issue_id).where(named).order_by(I.issue_id)
    return [(run, f"issue {issue} names it") for run, issue in connection.execute(query)]


def _runs_of_models(connection: "Connection", models: Sequence[str]) -> dict[str, str]:
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M

    query = choose(M.model_id, M.source_run_id).where(among(connection, M.model_id, models))
    return {model: run for model, run in connection.execute(query) if run}


def _measured_by(connection: "Connection", registered: Sequence[Version]) -> list[tuple[str, str]]:
    """Returns: run id, version: runs that measured a model which another run logged, and a version needs."""
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel as M
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModelMetric as X
    from sqlalchemy import or_

    needed = {each: version.words for version in registered for each in references(version)}
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
    return set(
        connection.execute(
            choose(T.run_uuid).where(T.key == names.TAG_FLOW_RUN_ID, named)
        ).scalars()
    )


def parents(connection: "Connection") -> dict[str, str]:
    """Returns: run id -> its parent's, of all runs that name one."""
    from mlflow.store.tracking.dbmodels.models import SqlTag as T

    return pairs(connection, choose(T.run_uuid, T.value).where(T.key == PARENT))


def _families_apart(connection: "Connection") -> set[str]:
    """Returns: runs whose parent or child lies in another experiment; both of them."""
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


def pairs(connection: "Connection", query: "Select[Any]") -> dict[str, str]:
    """Returns: a query's first column -> its second."""
    return {row[0]: row[1] for row in connection.execute(query)}
