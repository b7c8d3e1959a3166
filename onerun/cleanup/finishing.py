"""What is left to do once rows are gone: their files, and what a killed clean-up did not get to."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from onerun import storage
from onerun.cleanup import journal, removal
from onerun.cleanup.store_protocol import Store
from onerun.config.mistakes import Mistakes
from onerun.domain.cleanup.result import Result

THREADS = 3  # removing a folder is mostly waiting for the disk; more of them wait for each other


def finish(
    written: journal.Journal, gone: Sequence[journal.Entry], result: Result, begun: bool = False
) -> int:
    """Removes the files of runs whose rows are gone, and crosses the journal out.

    Args: begun: a clean-up that was killed may have removed some of them.

    Returns: of how many runs they went.
    """
    gone = sorted(
        gone, key=lambda entry: entry.location
    )  # threads that remove from one folder wait for each other
    share = -(-len(gone) // THREADS) or 1
    with ThreadPoolExecutor(THREADS) as threads:
        shares = (gone[begin : begin + share] for begin in range(0, len(gone), share))
        told = list(
            threads.map(lambda entries: _remove_files(entries, written.archived, begun), shares)
        )
    result.notes += [note for _, _, notes in told for note in notes]
    if all(complete for complete, _, _ in told):
        journal.close(written)
    return sum(went for _, went, _ in told)


def _remove_files(
    entries: Sequence[journal.Entry], archived: int, begun: bool
) -> tuple[bool, int, list[str]]:
    """Returns: whether nothing is left to do, of how many runs all went, and notes.

    What is not the store's own, or new, is left for good.
    """
    complete, went, notes = True, 0, list[str]()
    for entry in entries:
        try:
            removal.remove(entry.location, entry.folders, archived, begun)
            went += 1
        except removal.Left as error:
            notes.append(str(error))
        except (
            Mistakes,
            OSError,
        ) as error:  # no permission, a busy file, a store that is silent: the next one tries
            complete = False
            notes.append(f"files of run {entry.run} are still there: {error}")
    return complete, went, notes


def finish_interrupted(store: Store, destination: str, result: Result) -> None:
    """Removes the files of runs whose rows a killed clean-up of this database removed; what was archived alone."""
    for written in journal.left_behind(destination, store.identity, result.notes):
        if not storage.exists(written.archive):
            result.notes.append(
                f"{written.uri} names {written.archive}, which is gone; its files were left"
            )
            continue
        if written.database != store.fingerprint:
            result.notes.append(
                f"{written.uri} is of another database that was at this address; its files were left"
            )
            continue
        there = store.existing([entry.run for entry in written.entries])
        gone = [entry for entry in written.entries if entry.run not in there]
        result.finished += finish(written, gone, result, begun=True)
