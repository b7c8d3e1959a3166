"""Carrying a plan out: archive first, then rows, then files; whatever is interrupted, the next clean-up finishes it."""

import time
from collections.abc import Collection, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from onerun.archive import keeping
from onerun.cleanup import journal
from onerun.cleanup.disk_list import Share, Spool, by_id
from onerun.cleanup.finishing import finish, finish_interrupted
from onerun.cleanup.planner import milliseconds
from onerun.cleanup.store_protocol import Store
from onerun.config.mistakes import Mistakes
from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.plan import Item, Pace, Plan, batches, too_much
from onerun.domain.cleanup.protection import GONE, LIVES, left_with_family
from onerun.domain.cleanup.result import Outcome, Result
from onerun.domain.errors import TerminalError
from onerun.store import artifact_paths
from onerun.tracking.moves import now as timestamp


class TooMuch(TerminalError):
    """The plan deletes more than the policy's max_delete."""


def apply(
    store: Store,
    policy: Policy,
    plan: Plan,
    spool: Spool[Share],
    yes_really: bool = False,
    live: Collection[str] = (),
) -> Result:
    """Does what the plan says, as far as it still holds. The caller holds `store.exclusive_lock()`.

    Args: live: ids of flow runs that are not over now.

    Raises: TooMuch; whatever writing the archive raises: then nothing was deleted.
    """
    need_leave(plan, policy, yes_really)
    result = Result()
    if policy.action == "hard_delete":
        finish_interrupted(store, policy.archives, result)
    going = frozenset(item.id for share in spool for item in share.items if item.kind == "run")
    if live:
        left = _alive(store, policy, going, live)
        result.leave(left)
        going -= left.keys()
    if policy.action == "hard_delete":
        _delete_for_good(store, policy, spool, going, result)
    else:
        _set_aside(store, policy, spool, going, result)
    return result


def need_leave(plan: Plan, policy: Policy, yes_really: bool) -> None:
    """Raises: TooMuch. Asked before a person is, so that nobody says yes to what is refused afterwards."""
    refused = None if yes_really else too_much(plan, policy.max_delete)
    if refused:
        raise TooMuch(refused)


def _alive(
    store: Store, policy: Policy, going: Collection[str], live: Collection[str]
) -> dict[str, str]:
    """Returns: run id -> its flow run lives again, or that of its family."""
    with store.inventory(policy, live) as (guard, _):
        alive = {run: word for run in going if (word := guard.runs.get(run)) == LIVES}
        return left_with_family(alive, going, guard.parents)


def _set_aside(
    store: Store, policy: Policy, spool: Spool[Share], going: Collection[str], result: Result
) -> None:
    tag = (names.TAG_QUARANTINE, f"{policy.name} {timestamp()}")
    pace = Pace()
    for batch in batches(_runs(spool, going, {}), pace):
        with _timed(pace, batch):
            if policy.action == "quarantine":
                outcome = store.mark(batch, policy, going, tag)
            else:
                outcome = store.soft_delete(batch, policy, going, milliseconds())
        _count(outcome, batch, result)


@contextmanager
def _timed(pace: Pace, batch: Sequence[Item]) -> Iterator[None]:
    begun = time.monotonic()
    yield
    pace.took(time.monotonic() - begun, len(batch))


def _runs(spool: Spool[Share], going: Collection[str], locations: dict[str, str]) -> Iterator[Item]:
    """Yields: the runs that go, as `by_id` has them; `locations` is told where the artifacts of each experiment lie."""
    for location, item in by_id(spool, lambda item: item.kind == "run" and item.id in going):
        locations[item.experiment_id] = location
        yield item


def _delete_for_good(
    store: Store, policy: Policy, spool: Spool[Share], going: Set[str], result: Result
) -> None:
    """A batch is written down, its rows go in one transaction, then its files, then it is crossed out."""
    located = [
        (share.location, item)
        for share in spool
        for item in share.items
        if item.kind == "experiment"
    ]
    experiments = [item for _, item in located]
    if not going and not experiments:
        return  # an empty selection would mean everything
    archived = milliseconds()
    there = _archive(store, policy, going, [item.id for item in experiments], result)
    if not result.archive:
        return  # without one nothing is touched, not even the files of what is gone
    locations: dict[str, str] = {}
    pace = Pace()
    with ThreadPoolExecutor(
        1
    ) as aside:  # files go while the next transaction works and waits for the disk
        removal: Future[int] | None = None
        for batch in batches(_runs(spool, there, locations), pace):
            written = journal.write(
                policy.archives, store, result.archive, archived, locations, batch
            )
            with _timed(pace, batch):
                outcome = store.hard_delete(batch, policy, going)
            _count(outcome, batch, result)
            if removal:
                removal.result()  # one batch at a time: memory does not grow where removing is the slower half
            gone = frozenset(outcome.done)
            removal = aside.submit(
                finish, written, [each for each in written.entries if each.run in gone], result
            )
        if removal:
            removal.result()
    holding = {item.id: word for location, item in located if (word := _holding(store, location))}
    result.leave(holding)
    outcome = store.hard_delete_experiments(
        [item for item in experiments if item.id not in holding], policy
    )
    _count_experiments(outcome, experiments, result)
    for removed in keeping.keep(result.archive, policy.backups.keep):
        result.notes.append(f"{removed} was removed: backups.keep is {policy.backups.keep}")


def _archive(
    store: Store, policy: Policy, going: Set[str], experiments: Sequence[str], result: Result
) -> set[str]:
    """Returns: the planned runs that are still there, and archived now: a person may take a week to say yes."""
    there = store.existing(sorted(going))
    result.leave(dict.fromkeys(sorted(going - there), GONE))
    result.archive, result.archive_digest, notes = store.back_up(there, experiments, policy)
    result.notes += notes
    if not result.archive:
        result.leave(dict.fromkeys(experiments, GONE))
    return there


def _holding(store: Store, location: str) -> str | None:
    """Returns: why the row of an emptied experiment stays: without it nobody finds again what lies in its folder."""
    if not store.finds_owners:
        return None  # in a store of files it all goes as one folder, and is archived as one
    try:
        return "still holds files" if artifact_paths.holds_files(location) else None
    except (Mistakes, OSError) as error:
        return f"its files cannot be looked at: {error}"


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
