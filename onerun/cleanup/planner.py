"""The plan of a store: read, decided and measured experiment by experiment; changes nothing."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from onerun.cleanup.disk_list import Share, Spool
from onerun.cleanup.store_protocol import Store
from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import of_model, of_run
from onerun.domain.cleanup.inventory import DELETED, Group, LoggedModel
from onerun.domain.cleanup.plan import Item, Kept, Plan, ordered
from onerun.domain.cleanup.protection import Guards, of_experiment
from onerun.domain.cleanup.retention import Decision, decide, selected
from onerun.domain.text import age
from onerun.store import artifact_paths

BYTES = Item._fields.index("bytes")
DEFAULT_EXPERIMENT = "0"  # MLflow makes it again and again


def plan_store(
    store: Store, policy: Policy, live: Collection[str], now: int | None = None
) -> tuple[Plan, Spool[Share]]:
    """Args: live: ids of flow runs that are not over. Returns: the totals, and everything that would go or is kept.

    The store is read and decided on first and measured afterwards: while SQLite is read, nobody can write to it.
    """
    now = milliseconds() if now is None else now
    plan = Plan(policy.name, policy.action, now)
    measured = Spool[Share]()
    with Spool[Share]() as decided:
        with store.inventory(policy, live) as (guard, groups):
            for group in groups:
                plan.add_group(group.experiment.name, len(group.runs))
                share = _planned(group, policy, guard, now)
                for kept in share.kept:
                    plan.add_kept(kept)
                if share.items or share.kept:
                    decided.add(share)
            damaged = (
                list(store.damaged(policy, guard, now)) if policy.action == "hard_delete" else []
            )
        plan.experiments += len(damaged)
        decided.add(Share("", damaged))
        for share in decided:
            items = _measured(share)
            for item in items:
                plan.add(item)
            measured.add(Share(share.location, items, share.kept))
    return plan, measured


def milliseconds() -> int:
    """Returns: the present time, as MLflow writes it."""
    return int(time.time() * 1000)


def _planned(group: Group, policy: Policy, guard: Guards, now: int) -> Share:
    decisions = decide(group, policy, guard, now)
    name = group.experiment.name
    kept = [Kept(run.id, name, why, protector) for run, why, protector in decisions if protector]
    going = [decision for decision in decisions if not decision.protected_by]
    items = ordered(_items(group, going), guard.parents)
    if _goes_itself(group, len(going), policy, guard, now):
        items.append(_experiment_item(group, now))
    return Share(group.experiment.location, items, kept)


def _items(group: Group, going: Sequence[Decision]) -> Iterator[Item]:
    location, name = group.experiment.location, group.experiment.name
    models: dict[str, list[LoggedModel]] = defaultdict(list)
    for model in group.models:
        if model.run_id:
            models[model.run_id].append(model)
    for run, why, _ in going:
        folders = [of_run(location, run)]
        if run.id in models:
            folders += [of_model(location, model) for model in models[run.id]]
        known = (
            None if None in folders else 0
        )  # files elsewhere are not the store's own: not measured, not removed
        about = run.id, run.name or "", run.experiment_id, name, why
        yield Item(
            "run", *about, known, tuple(filter(None, folders)), run.lifecycle, "", 0, run.ended
        )


def _measured(share: Share) -> list[Item]:
    """Returns: the items with their bytes; an object store lists an experiment once."""
    if not share.items:
        return []
    bytes_of = artifact_paths.sizes(
        share.location, (folder for item in share.items for folder in item.prefixes)
    )
    columns: list[Iterable[Any]] = list(zip(*share.items, strict=True))
    columns[BYTES] = [
        _sum([item.bytes, *map(bytes_of.__getitem__, item.prefixes)]) for item in share.items
    ]
    return list(
        map(Item._make, zip(*columns, strict=True))
    )  # less than half of what _replace takes


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _goes_itself(group: Group, going: int, policy: Policy, guard: Guards, now: int) -> bool:
    """Whether the experiment goes with its last runs: deleted long enough ago, and nothing in it stays."""
    experiment, ids = group.experiment, {run.id for run in group.runs}
    return (
        policy.action == "hard_delete"
        and experiment.lifecycle == DELETED
        and experiment.id != DEFAULT_EXPERIMENT
        and going == len(ids)
        and all(model.run_id in ids for model in group.models)
        and now - (experiment.updated or now) >= 1000 * policy.keep.deleted_younger_than
        and selected(experiment, policy.select)
        and of_experiment(experiment, guard) is None
    )


def _experiment_item(group: Group, now: int) -> Item:
    experiment = group.experiment
    why = f"deleted {age(now - (experiment.updated or now))} ago, and nothing in it stays"
    return Item(
        "experiment",
        experiment.id,
        experiment.name,
        experiment.id,
        experiment.name,
        why,
        0,
        (),
        DELETED,
    )
