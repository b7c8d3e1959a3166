"""Work folders, snapshots and lock files that trainings left: found, and removed after a second
look.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from onerun import storage
from onerun.config.mistakes import Mistakes
from onerun.config.policy import Policy
from onerun.domain.cleanup import litter
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.litter import LOCK_AGE, LOCK_FILES, WORK_FOLDER, Left, Use
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.result import Result
from onerun.store import artifact_paths
from onerun.store.protocol import Store

RUNS, SNAPSHOTS = "runs", "snapshots"  # folders of ONERUN_WORK and of ONERUN_STORE
LOCKS = "onerun-*.lock"
_RUN = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Places:
    """Where trainings leave things.

    work: a local folder. store: a local folder or s3://bucket/prefix. temporary: the folder of lock
    files.
    """

    work: str
    store: str
    temporary: str = ""

    @property
    def locks(self) -> Path:
        """Return the folder of lock files."""
        return Path(self.temporary or tempfile.gettempdir())


def examine_litter(
    store: Store, places: Places, policy: Policy, live: Collection[str]
) -> list[Finding]:
    """Return what is old enough and not in use.

    Args: live: ids of flow runs that are not over.
    """
    now = milliseconds()
    work, snapshots = list(_work_folders(places)), list(_snapshots(places))
    found = list(_lock_files(places, now))
    if work or snapshots:
        runs = [left.name for left in work]
        use = _use(store, policy, runs=runs, live=live, snapshots=bool(snapshots))
        found += litter.findings(work, snapshots, use, policy, now)
    return found


def remove_litter(
    store: Store,
    places: Places,
    policy: Policy,
    found: Sequence[Finding],
    live: Collection[str],
    result: Result,
) -> None:
    """Remove what was found, as far as it is still litter: each is looked at once more right
    before.

    Args: live: ids of flow runs that are not over now.
    """
    chosen = litter.to_remove(found, policy)
    runs = [_name(each) for each in chosen if each.kind == WORK_FOLDER]
    use = _use(store, policy, runs=runs, live=live) if runs else None
    for finding in chosen:
        try:
            if finding.kind == LOCK_FILES:
                removed, reason = _remove_locks(places), None
            else:
                removed, reason = 1, _remove_folder(store, finding, policy, use)
        except (Mistakes, OSError) as error:
            reason = Reason(ReasonKind.REFUSED, str(error))
        if reason:
            result.notes.append(f"{finding.id}: {reason}; it was kept")
        else:
            result.litter += removed
            result.litter_bytes += finding.bytes or 0


def milliseconds() -> int:
    """Return the present time in milliseconds since 1970."""
    return int(time.time() * 1000)


def _name(finding: Finding) -> str:
    return finding.id.rstrip("/").rpartition("/")[2]


def _remove_folder(
    store: Store, finding: Finding, policy: Policy, use: Use | None
) -> Reason | None:
    """Remove a work folder or a snapshot.

    Args: use: of work folders, which count by age besides; snapshots ask again each time.

    Returns: why it is kept after all.
    """
    place = finding.id
    changed = artifact_paths.changed_at(place)
    if changed is None:
        return Reason(ReasonKind.MISSING)
    left, now = Left(_name(finding), place, finding.bytes, changed), milliseconds()
    if finding.kind == WORK_FOLDER and use:
        reason = litter.kept_work(left, use, policy, now)
    else:
        reason = litter.kept_snapshot(left, _use(store, policy, snapshots=True), policy, now)
    if reason:
        return reason
    if storage.is_s3(place):
        storage.remove_below(place, [path for path, _, _ in list(storage.walk(place))])
    elif Path(place).is_symlink():
        return Reason(ReasonKind.LINK)
    else:
        shutil.rmtree(place)
    return None


def _use(
    store: Store,
    policy: Policy,
    *,
    runs: Sequence[str] = (),
    live: Collection[str] = (),
    snapshots: bool = False,
) -> Use:
    """Ask the store what is in use; behind a server each question lists all runs.

    Args:
        runs: whose statuses matter.
        live: ids of flow runs that are not over.
        snapshots: whether it matters which of them are in use.
    """
    wanted = set(runs)
    statuses: dict[str, str] = {}
    protected: dict[str, Reason] = {}
    if wanted:
        with store.inventory(policy, live) as (protections, groups):
            for group in groups:
                statuses |= {run.id: run.status for run in group.runs if run.id in wanted}
            protected |= {run: protections.runs[run] for run in wanted & protections.runs.keys()}
    if not snapshots:
        return Use(statuses, protected, digests=(), unnamed=0, unknown=0)
    named = store.snapshots_in_use()
    needed = {version.run_id for version, _ in store.version_places() if version.run_id}
    unknown = len(needed - store.existing(sorted(needed)))
    return Use(statuses, protected, named.digests, named.unnamed, unknown)


def _work_folders(places: Places) -> Iterator[Left]:
    root = Path(places.work, RUNS)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if _RUN.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            count, changed = artifact_paths.measured(str(path))
            if changed is not None:
                yield Left(path.name, str(path), count, changed)


def _snapshots(places: Places) -> Iterator[Left]:
    root = storage.join(places.store, SNAPSHOTS)
    found = artifact_paths.folders(root, lambda parts: bool(_DIGEST.fullmatch(parts[0])))
    for parts, count, changed in found:
        if changed is not None:
            yield Left(parts[0], storage.join(root, parts[0]), count, changed)


def _old_locks(places: Places, now: int) -> list[Path]:
    """Return this user's lock files that nobody touched for a day."""
    old = []
    for path in places.locks.glob(LOCKS):
        with suppress(FileNotFoundError):
            about = path.lstat()
            if about.st_uid == os.getuid() and now - 1000 * about.st_mtime > LOCK_AGE:
                old.append(path)
    return old


def _lock_files(places: Places, now: int) -> Iterator[Finding]:
    old = _old_locks(places, now)
    if old:
        since = int(1000 * min(path.lstat().st_mtime for path in old))
        cause = f"{len(old):,} that nothing used for a day"
        yield Finding(LOCK_FILES, str(places.locks / LOCKS), 0, since, cause)


def _remove_locks(places: Places) -> int:
    """Remove old lock files that nobody holds. Returns: how many."""
    removed = 0
    for path in _old_locks(places, milliseconds()):
        with suppress(FileNotFoundError), path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # a training holds it
            path.unlink()
            removed += 1
    return removed
