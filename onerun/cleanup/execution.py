"""Carrying a plan out: archive first, then rows, then files; what is interrupted, the next clean-up
finishes.
"""

import time
from collections.abc import Collection, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from onerun import archive as archives
from onerun import storage
from onerun.archive import folders, repository
from onerun.cleanup import journal, removal
from onerun.cleanup.disk_list import DiskList, ExperimentPlan, by_id
from onerun.cleanup.planner import milliseconds
from onerun.config.mistakes import Mistakes
from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.archives import Selection
from onerun.domain.cleanup.families import with_families
from onerun.domain.cleanup.plan import BatchSizer, Item, Plan, batches, too_much
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.result import Outcome, Result
from onerun.domain.errors import TerminalError
from onerun.store import artifact_paths
from onerun.store.files.layout import FolderSelection
from onerun.store.protocol import Store
from onerun.tracking.moves import now as timestamp

REMOVING_THREADS = 3  # removing is mostly waiting for the disk; more of them wait for each other


class TooMuch(TerminalError):
    """The plan deletes more than the policy's max_delete."""


def apply(
    store: Store,
    policy: Policy,
    plan: Plan,
    planned: DiskList[ExperimentPlan],
    yes_really: bool = False,
    live: Collection[str] = (),
) -> Result:
    """Do what the plan says, as far as it still holds. The caller holds `store.exclusive_lock()`.

    Args:
        planned: everything that the plan holds.
        yes_really: delete more than the policy's max_delete allows.
        live: ids of flow runs that are not over now.

    Raises: TooMuch; whatever writing the archive raises: then nothing was deleted.
    """
    require_allowed(plan, policy, yes_really)
    result = Result()
    if policy.action == "hard_delete":
        finish_interrupted(store, policy.archives, result)
    runs = frozenset(item.id for share in planned for item in share.items if item.kind == "run")
    if live:
        skipped = _live_again(store, policy, runs, live)
        result.skip(skipped)
        runs -= skipped.keys()
    if policy.action == "hard_delete":
        _delete_for_good(store, policy, planned, runs, result)
    else:
        _mark_or_soft_delete(store, policy, planned, runs, result)
    return result


def require_allowed(plan: Plan, policy: Policy, yes_really: bool) -> None:
    """Refuse a plan beyond max_delete. Raises: TooMuch.

    Checked before a person is asked, so that nobody agrees to what is refused afterwards.
    """
    refused = None if yes_really else too_much(plan, policy.max_delete)
    if refused:
        raise TooMuch(refused)


def _live_again(
    store: Store, policy: Policy, runs: Collection[str], live: Collection[str]
) -> dict[str, Reason]:
    """Return the runs whose flow run, or one of their family, is live now."""
    with store.inventory(policy, live) as (protections, _):
        alive = {}
        for run in runs:
            reason = protections.runs.get(run)
            if reason and reason.kind == ReasonKind.LIVE:
                alive[run] = reason
        return with_families(alive, runs, protections.parents)


def _mark_or_soft_delete(
    store: Store,
    policy: Policy,
    planned: DiskList[ExperimentPlan],
    runs: Collection[str],
    result: Result,
) -> None:
    tag = (names.TAG_QUARANTINE, f"{policy.name} {timestamp()}")
    sizer = BatchSizer()
    for batch in batches(_items(planned, runs, {}), sizer):
        with _timed(sizer, batch):
            if policy.action == "quarantine":
                outcome = store.mark(batch, policy, runs, tag)
            else:
                outcome = store.soft_delete(batch, policy, runs, milliseconds())
        _count(outcome, batch, result)


@contextmanager
def _timed(sizer: BatchSizer, batch: Sequence[Item]) -> Iterator[None]:
    begun = time.monotonic()
    yield
    sizer.took(time.monotonic() - begun, len(batch))


def _items(
    planned: DiskList[ExperimentPlan], runs: Collection[str], locations: dict[str, str]
) -> Iterator[Item]:
    """Yield the runs in the order of `by_id`.

    Args: locations: is filled: experiment id -> where its artifacts lie.
    """
    for location, item in by_id(planned, lambda item: item.kind == "run" and item.id in runs):
        locations[item.experiment_id] = location
        yield item


def _delete_for_good(
    store: Store,
    policy: Policy,
    planned: DiskList[ExperimentPlan],
    runs: Set[str],
    result: Result,
) -> None:
    """Archive everything, then delete runs batch by batch, then emptied experiments."""
    located = [
        (share.location, item)
        for share in planned
        for item in share.items
        if item.kind == "experiment"
    ]
    experiments = [item for _, item in located]
    if not runs and not experiments:
        return  # an empty selection would mean everything
    archived_at = milliseconds()
    there = _archive(store, policy, runs, [item.id for item in experiments], result)
    if not result.archive:
        return  # without one nothing is touched, not even the files of what is missing
    _delete_runs(store, policy, planned, runs, there, archived_at, result)
    holding = {}
    for location, item in located:
        if reason := _holds_files(store, location):
            holding[item.id] = reason
    result.skip(holding)
    empty = [item for item in experiments if item.id not in holding]
    _count_experiments(store.hard_delete_experiments(empty, policy), experiments, result)
    for removed in repository.keep(result.archive, policy.backups.keep):
        result.notes.append(f"{removed} was removed: backups.keep is {policy.backups.keep}")


def _delete_runs(
    store: Store,
    policy: Policy,
    planned: DiskList[ExperimentPlan],
    runs: Set[str],
    there: Set[str],
    archived_at: int,
    result: Result,
) -> None:
    """Write a batch into a journal, delete its rows in one transaction, then its files, then the
    journal.

    Files are removed while the next transaction works and waits for the disk, one batch at a time:
    memory does not grow where removing is the slower half.

    Args:
        runs: ids of everything in the plan.
        there: those that exist and are in the archive.
    """
    locations: dict[str, str] = {}
    sizer = BatchSizer()
    with ThreadPoolExecutor(1) as beside:
        removal_of_last: Future[int] | None = None
        for batch in batches(_items(planned, there, locations), sizer):
            written = journal.write(
                policy.archives, store, result.archive, archived_at, locations, batch
            )
            with _timed(sizer, batch):
                outcome = store.hard_delete(batch, policy, runs)
            _count(outcome, batch, result)
            if removal_of_last:
                removal_of_last.result()
            deleted = frozenset(outcome.done)
            entries = [each for each in written.entries if each.run in deleted]
            removal_of_last = beside.submit(finish, written, entries, result)
        if removal_of_last:
            removal_of_last.result()


def _archive(
    store: Store, policy: Policy, runs: Set[str], experiments: Sequence[str], result: Result
) -> set[str]:
    """Return the planned runs that are still there, and archived now: a person may take a week to
    answer.
    """
    there = store.existing(sorted(runs))
    missing = Reason(ReasonKind.MISSING)
    result.skip(dict.fromkeys(sorted(runs - there), missing))
    selected = store.archive_selection(there, experiments)
    if selected is None:
        result.skip(dict.fromkeys(experiments, missing))
    else:
        result.archive, result.archive_digest, notes = write_archive(selected, policy)
        result.notes += notes
    return there


def write_archive(
    selected: Selection | FolderSelection, policy: Policy
) -> tuple[str, str, list[str]]:
    """Return address and SHA-256 of a verified archive, and notes. Raises: nothing may be deleted then."""
    if isinstance(selected, FolderSelection):
        place, label = policy.archives, policy.name
        archive = folders.back_up(selected.root, selected.folders, place, label)
    else:
        archive = archives.back_up(selected, policy.archives, policy.name)
    return archive.uri, archive.digest, list(archive.notes)


def _holds_files(store: Store, location: str) -> Reason | None:
    """Return why the row of an emptied experiment stays: without it nothing says what its folder
    belongs to.
    """
    if not store.finds_owners:
        return None  # in a store of files it all goes as one folder, and is archived as one
    try:
        holds = artifact_paths.holds_files(location)
    except (Mistakes, OSError) as error:
        return Reason(ReasonKind.REFUSED, f"its files cannot be looked at: {error}")
    return Reason(ReasonKind.NOT_EMPTY, "files") if holds else None


def _count(outcome: Outcome, batch: Sequence[Item], result: Result) -> None:
    done = frozenset(outcome.done)
    result.done += len(done)
    result.bytes += sum(item.bytes or 0 for item in batch if item.id in done)
    result.take(outcome)


def _count_experiments(outcome: Outcome, experiments: Sequence[Item], result: Result) -> None:
    done = frozenset(outcome.done)
    result.experiments += len(done)
    result.done += sum(item.inside for item in experiments if item.id in done)
    result.bytes += sum(item.bytes or 0 for item in experiments if item.id in done)
    result.take(outcome)


# Files of runs whose rows are deleted, also of a clean-up that was killed in between.


def finish_interrupted(store: Store, destination: str, result: Result) -> None:
    """Remove the files of runs whose rows a killed clean-up of this database deleted; only what was
    archived.

    Args: destination: where archives go.
    """
    for written in journal.unfinished(destination, store.identity, result.notes):
        if not storage.exists(written.archive):
            result.notes.append(
                f"{written.uri} names {written.archive}, which is missing; its files were kept"
            )
            continue
        if written.database != store.fingerprint:
            result.notes.append(
                f"{written.uri} is of another database that was at this address; its files were kept"
            )
            continue
        there = store.existing([entry.run for entry in written.entries])
        deleted = [entry for entry in written.entries if entry.run not in there]
        result.finished += finish(written, deleted, result, begun=True)


def finish(
    written: journal.Journal,
    deleted: Sequence[journal.Entry],
    result: Result,
    begun: bool = False,
) -> int:
    """Remove the files of runs whose rows are deleted, and close the journal when nothing is left
    to do.

    Args: begun: a clean-up that was killed may have removed some of them.

    Returns: of how many runs the files were removed.
    """
    by_folder = sorted(
        deleted, key=lambda entry: entry.location
    )  # threads in one folder block each other
    share = -(-len(by_folder) // REMOVING_THREADS) or 1
    shares = [by_folder[start : start + share] for start in range(0, len(by_folder), share)]
    with ThreadPoolExecutor(REMOVING_THREADS) as threads:
        finished = list(
            threads.map(lambda entries: _remove_files(entries, written.archived, begun), shares)
        )
    result.notes += [note for _, _, notes in finished for note in notes]
    if all(complete for complete, _, _ in finished):
        journal.close(written)
    return sum(removed for _, removed, _ in finished)


def _remove_files(
    entries: Sequence[journal.Entry], archived: int, begun: bool
) -> tuple[bool, int, list[str]]:
    """Remove the files of some runs. What is not the store's own, or new, is kept for good.

    Returns: whether nothing is left to do, of how many runs all was removed, and notes.
    """
    complete, removed, notes = True, 0, list[str]()
    for entry in entries:
        try:
            removal.remove(entry.location, entry.folders, archived, begun)
            removed += 1
        except removal.NotRemoved as error:
            notes.append(str(error))
        except (Mistakes, OSError) as error:  # no permission, a busy file: the next clean-up tries
            complete = False
            notes.append(f"files of run {entry.run} are still there: {error}")
    return complete, removed, notes
