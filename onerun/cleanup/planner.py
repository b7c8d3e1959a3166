"""The plan of a store: read, decided and measured experiment by experiment; changes nothing."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from onerun.cleanup.disk_list import DiskList, ExperimentPlan
from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import of_model, of_run
from onerun.domain.cleanup.inventory import DELETED, Group, LoggedModel
from onerun.domain.cleanup.plan import Item, Plan, Skipped, ordered
from onerun.domain.cleanup.protection import Protections, of_experiment
from onerun.domain.cleanup.retention import Decision, decide, selected
from onerun.domain.text import age
from onerun.store import artifact_paths
from onerun.store.protocol import Store

BYTES = Item._fields.index("bytes")
DEFAULT_EXPERIMENT = "0"  # MLflow makes it again and again


def plan_store(
    store: Store, policy: Policy, live: Collection[str], now: int | None = None
) -> tuple[Plan, DiskList[ExperimentPlan]]:
    """Return the totals, and everything that would be removed or is protected.

    The store is read and decided on first and measured afterwards: while SQLite is read, nothing
    can write to it.

    Args:
        live: ids of flow runs that are not over.
        now: milliseconds since 1970; the present when None.
    """
    now = milliseconds() if now is None else now
    plan = Plan(policy.name, policy.action, now)
    measured = DiskList[ExperimentPlan]()
    with DiskList[ExperimentPlan]() as decided:
        with store.inventory(policy, live) as (protections, groups):
            for group in groups:
                plan.add_group(group.experiment.name, len(group.runs))
                share = _decided(group, policy, protections, now)
                for skipped in share.skipped:
                    plan.add_skipped(skipped)
                if share.items or share.skipped:
                    decided.add(share)
            damaged: list[Item] = []
            if policy.action == "hard_delete":
                damaged += store.damaged(policy, protections, now)
        plan.experiments += len(damaged)
        decided.add(ExperimentPlan("", damaged))
        for share in decided:
            items = _measured(share)
            for item in items:
                plan.add(item)
            measured.add(ExperimentPlan(share.location, items, share.skipped))
    return plan, measured


def milliseconds() -> int:
    """Return the present time, as MLflow writes it."""
    return int(time.time() * 1000)


def _decided(group: Group, policy: Policy, protections: Protections, now: int) -> ExperimentPlan:
    decisions = decide(group, policy, protections, now)
    name = group.experiment.name
    skipped = [
        Skipped(run.id, name, why, reason) for run, why, reason in decisions if reason is not None
    ]
    to_delete = [decision for decision in decisions if decision.protected_by is None]
    items = ordered(_items(group, to_delete), protections.parents)
    if _is_emptied(group, len(to_delete), policy, protections, now):
        items.append(_experiment_item(group, now))
    return ExperimentPlan(group.experiment.location, items, skipped)


def _items(group: Group, to_delete: Sequence[Decision]) -> Iterator[Item]:
    location, name = group.experiment.location, group.experiment.name
    models: dict[str, list[LoggedModel]] = defaultdict(list)
    for model in group.models:
        if model.run_id:
            models[model.run_id].append(model)
    for run, why, _ in to_delete:
        folders = [of_run(location, run)]
        if run.id in models:
            folders += [of_model(location, model) for model in models[run.id]]
        yield Item(
            kind="run",
            id=run.id,
            name=run.name or "",
            experiment_id=run.experiment_id,
            experiment=name,
            why=why,
            # files elsewhere are not the store's own: they are not measured and not removed
            bytes=None if None in folders else 0,
            prefixes=tuple(filter(None, folders)),
            lifecycle=run.lifecycle,
            ended=run.ended,
        )


def _measured(share: ExperimentPlan) -> list[Item]:
    """Return the items with their bytes; an object store lists an experiment once.

    Columns at once: less than half of what `_replace` takes for each item.
    """
    if not share.items:
        return []
    bytes_of = artifact_paths.sizes(
        share.location, (folder for item in share.items for folder in item.prefixes)
    )
    columns: list[Iterable[Any]] = list(zip(*share.items, strict=True))
    columns[BYTES] = [
        _sum([item.bytes, *map(bytes_of.__getitem__, item.prefixes)]) for item in share.items
    ]
    return list(map(Item._make, zip(*columns, strict=True)))


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _is_emptied(
    group: Group, to_delete: int, policy: Policy, protections: Protections, now: int
) -> bool:
    """Return whether the experiment is removed with its last runs: deleted long enough ago, and
    nothing in it stays.
    """
    experiment, ids = group.experiment, {run.id for run in group.runs}
    return (
        policy.action == "hard_delete"
        and experiment.lifecycle == DELETED
        and experiment.id != DEFAULT_EXPERIMENT
        and to_delete == len(ids)
        and all(model.run_id in ids for model in group.models)
        and now - (experiment.updated or now) >= 1000 * policy.keep.deleted_younger_than
        and selected(experiment, policy.select)
        and of_experiment(experiment, protections) is None
    )


def _experiment_item(group: Group, now: int) -> Item:
    experiment = group.experiment
    deleted = age(now - (experiment.updated or now))
    return Item(
        kind="experiment",
        id=experiment.id,
        name=experiment.name,
        experiment_id=experiment.id,
        experiment=experiment.name,
        why=f"deleted {deleted} ago, and nothing in it stays",
        bytes=0,
        lifecycle=DELETED,
    )
