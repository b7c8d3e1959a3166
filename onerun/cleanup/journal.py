"""What a clean-up was about to do, written down before: the next one finishes what a killed one
began.

A journal lies beside the archives. It lists runs whose rows are about to go and the folders that go
with them. A run that the store still knows was not deleted, or came back: its folders stay. Of one
that it does not know, the folders are still to be removed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from onerun import storage
from onerun.domain.cleanup.plan import Item
from onerun.store.protocol import Store

FOLDER = "journals"


@dataclass(frozen=True)
class Entry:
    """One run and its folders."""

    run: str
    location: str  # of its experiment's artifacts
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Journal:
    """One part of a clean-up."""

    uri: str
    database: str  # whose runs these are: another one may stand at the same address now
    archive: str
    archived: int  # when it was begun, in milliseconds since 1970
    entries: tuple[Entry, ...]


def write(
    destination: str,
    store: Store,
    archive: str,
    archived: int,
    locations: Mapping[str, str],
    items: Sequence[Item],
) -> Journal:
    """Write a journal of the runs that are about to be deleted.

    Args:
        destination: where the archives go.
        archived: when the archive was begun, in milliseconds since 1970.
        locations: experiment id -> its artifacts.
        items: the runs.
    """
    entries = tuple(Entry(item.id, locations[item.experiment_id], item.prefixes) for item in items)
    uri = storage.join(destination, FOLDER, f"{store.identity}-{uuid4().hex}.json")
    listed = [[entry.run, entry.location, *entry.folders] for entry in entries]
    content = {
        "database": store.fingerprint,
        "archive": archive,
        "archived": archived,
        "entries": listed,
    }
    storage.write_bytes_atomically(uri, json.dumps(content).encode())
    return Journal(uri, store.fingerprint, archive, archived, entries)


def unfinished(destination: str, store: str, notes: list[str]) -> Iterator[Journal]:
    """Yield the journals that clean-ups of this store did not finish; damaged ones become notes.

    One that was killed while it wrote a journal had done nothing yet of what stands there: that is
    removed.
    """
    for uri in storage.list_files(storage.join(destination, FOLDER)):
        if not uri.rpartition("/")[2].startswith(f"{store}-"):
            continue
        if uri.endswith(storage.PARTIAL):
            storage.remove(uri)
        elif uri.endswith(".json"):
            try:
                content = json.loads(storage.read_bytes(uri))
                entries = tuple(
                    Entry(run, location, tuple(folders))
                    for run, location, *folders in content["entries"]
                )
                found = Journal(
                    uri, content["database"], content["archive"], content["archived"], entries
                )
            except (ValueError, KeyError, TypeError) as error:
                notes.append(
                    f"{uri} cannot be read ({error}); files of runs that it names were kept"
                )
            else:
                yield found


def close(journal: Journal) -> None:
    """Remove the journal: all of it is done."""
    storage.remove(journal.uri)
