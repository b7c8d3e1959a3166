"""What trainings leave outside of MLflow: work folders, snapshots and lock files.

Decided without looking at any of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from onerun.config.policy import Policy
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import UNFINISHED_STATES
from onerun.domain.cleanup.reason import Reason, ReasonKind

WORK_FOLDER, SNAPSHOT, LOCK_FILES = "old-work-folder", "unused-snapshot", "old-lock-files"
LITTER = (WORK_FOLDER, SNAPSHOT, LOCK_FILES)
LOCK_AGE = 86_400_000  # milliseconds; a lock is held for seconds


class Left(NamedTuple):
    """A folder that a training left: of a run's work, or of a snapshot."""

    name: str  # the id of the run, or the digest of the snapshot
    place: str
    bytes: int | None
    changed: int  # when anything in it changed last, in milliseconds since 1970


class Use(NamedTuple):
    """What a store says of the work folders and snapshots in use.

    statuses: of runs, by their ids; at least of those that have a work folder. protected: what
    protects such runs, a live flow run among it. digests: of the snapshots that a run names, deleted
    runs included. unnamed: trainings under way that have not named their snapshot yet. unknown:
    registered versions whose run is missing: nothing says which snapshot they came from.
    """

    statuses: Mapping[str, str]
    protected: Mapping[str, Reason]
    digests: Collection[str]
    unnamed: int
    unknown: int


def kept_work(left: Left, use: Use, policy: Policy, now: int) -> Reason | None:
    """Return why a work folder is kept.

    One of a run that the store does not know is judged by its age alone.
    """
    status = use.statuses.get(left.name)
    if status in UNFINISHED_STATES:
        return Reason(ReasonKind.STATUS, str(status))
    if left.name in use.protected:
        return use.protected[left.name]
    if now - left.changed < 1000 * policy.work.older_than:
        return Reason(ReasonKind.CHANGED_SINCE)
    return None


def kept_snapshot(left: Left, use: Use, policy: Policy, now: int) -> Reason | None:
    """Return why a snapshot is kept."""
    if left.name in use.digests:
        return Reason(ReasonKind.NAMED)
    if use.unnamed:
        return Reason(ReasonKind.UNNAMED, f"{use.unnamed:,}")
    if use.unknown:
        return Reason(ReasonKind.UNKNOWN_ORIGIN, f"{use.unknown:,}")
    if now - left.changed < 1000 * policy.snapshots.unused_for:
        return Reason(ReasonKind.CHANGED_SINCE)
    return None


def findings(
    work: Iterable[Left], snapshots: Iterable[Left], use: Use, policy: Policy, now: int
) -> Iterator[Finding]:
    """Yield what is old enough and not in use."""
    for left in work:
        if kept_work(left, use, policy, now) is None:
            status = use.statuses.get(left.name, "not in this store")
            cause = f"run {left.name} is {status}"
            yield Finding(WORK_FOLDER, left.place, left.bytes, left.changed, cause)
    action = "" if policy.snapshots.action == "remove" else REPORTED
    for left in snapshots:
        if kept_snapshot(left, use, policy, now) is None:
            cause = "no run of this store names it"
            yield Finding(SNAPSHOT, left.place, left.bytes, left.changed, cause, action)


REPORTED = "left; snapshots.action: remove in the policy removes it, where no other store shares it"


def to_remove(found: Iterable[Finding], policy: Policy) -> list[Finding]:
    """Return the litter that a policy removes: only one that deletes for good removes anything."""
    if policy.action != "hard_delete":
        return []
    kinds = {WORK_FOLDER, LOCK_FILES}
    if policy.snapshots.action == "remove":
        kinds.add(SNAPSHOT)
    return [finding for finding in found if finding.kind in kinds]
