"""What changed since the plan: decided right before a run is changed, the same for every kind of
store.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from onerun.domain.cleanup.families import ties_outside, with_families
from onerun.domain.cleanup.inventory import UNFINISHED_STATES
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections
from onerun.domain.cleanup.reason import Reason, ReasonKind


class RunNow(NamedTuple):
    """A run as the store has it now."""

    experiments: Sequence[
        str
    ]  # ids of those that hold it; a folder that was copied lies in several
    status: str | None  # None: it cannot be read
    lifecycle: str = ""
    ended: int | None = None


def recheck(item: Item, now: RunNow | None, protections: Protections) -> Reason | None:
    """Return why a planned run is skipped; None: it is as planned, and nothing protects it."""
    if now is None or not now.experiments:
        return Reason(ReasonKind.MISSING)
    if len(now.experiments) > 1:
        return Reason(ReasonKind.PLACE, f"in {len(now.experiments)} experiments")
    if now.experiments[0] != item.experiment_id:
        return Reason(ReasonKind.MOVED)
    if now.status is None:
        return Reason(ReasonKind.UNREADABLE)
    if now.lifecycle != item.lifecycle:
        return Reason(ReasonKind.LIFECYCLE, now.lifecycle)
    if now.status in UNFINISHED_STATES:
        return Reason(ReasonKind.STATUS, now.status)
    if now.ended != item.ended:
        return Reason(ReasonKind.RESUMED)
    return protections.runs.get(item.id) or protections.whole.get(item.experiment_id)


def recheck_all(
    items: Sequence[Item],
    now: Mapping[str, RunNow],
    protections: Protections,
    planned: Collection[str],
    existing: Collection[str],
    check: Callable[[str], Reason | None] = lambda _: None,
) -> dict[str, Reason]:
    """Return why runs are skipped, by their ids: each for itself, and with it its family.

    Args:
        items: what is about to be changed.
        now: runs as the store has them now, at least those of `items`.
        protections: what protects now; with the parents of all runs that `items` are related to.
        planned: ids of everything in the plan.
        existing: ids of runs that exist now, at least the parents of `items`.
        check: says of a run that nothing else keeps why it is skipped all the same.
    """
    ties = ties_outside(protections.parents, planned, existing)
    skipped: dict[str, Reason] = {}
    for item in items:
        reason = recheck(item, now.get(item.id), protections) or ties.get(item.id)
        reason = reason or check(item.id)
        if reason:
            skipped[item.id] = reason
    return with_families(skipped, [item.id for item in items], protections.parents)
