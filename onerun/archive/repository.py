"""Where archives are kept: they get their name and place here, and older ones are removed.

A name has label, store, time and the beginning of the digest.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from onerun import storage
from onerun.archive.verify import verify
from onerun.config.addresses import folder_or_bucket
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import Archive
from onerun.domain.errors import ArchiveDamaged
from onerun.processes.locks import exclusive_lock

SUFFIX = ".tar.gz"
FOLDERS = ".folders.tar.gz"  # of archives of folders
NONCURRENT_DAYS = 90  # how long a bucket of ours keeps what was deleted from it
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME = re.compile(r"(.+-[0-9a-f]{12})-\d{8}T\d{12}Z-[0-9a-f]{12}((?:\.folders)?\.tar\.gz)")
_WORK = ".onerun-archive-"


def holds_folders(archive: str) -> bool:
    """Return whether the archive's name says that it holds folders of a file store."""
    return archive.endswith(FOLDERS)


def name_of(label: str, store: str, at: datetime, digest: str, suffix: str = SUFFIX) -> str:
    """Return the file name of an archive. `store`: its identity."""
    return f"{label}-{store}-{at:%Y%m%dT%H%M%S%fZ}-{digest[:12]}{suffix}"


def require_label(label: str) -> None:
    """Raise Mistakes for a label that cannot be part of a file name."""
    if not _LABEL.fullmatch(label):
        text = (
            f"{label!r} is not a label: letters, digits, dots, dashes and underscores, at most 100"
        )
        raise Mistakes([Mistake("label", text)])


def place_of(destination: str) -> str:
    """Return an absolute folder, or an s3:// address. Raises: Mistakes: it is neither."""
    try:
        place = folder_or_bucket(destination)
    except ValueError as error:
        raise Mistakes([Mistake("archive", str(error))]) from None
    return place if storage.is_s3(place) else str(Path(place).expanduser().absolute())


def prepare(destination: str) -> list[str]:
    """Make folder or bucket where there is none. Return notes on what a bucket lacks."""
    if storage.is_s3(destination):
        return storage.make_bucket(destination, NONCURRENT_DAYS)
    with storage.translated_errors(destination):
        Path(destination).mkdir(parents=True, exist_ok=True)
    return []


@contextmanager
def workplace(destination: str) -> Iterator[Path]:
    """Make a temporary folder beside the archive to be, or the system's for one in S3.

    Those of killed processes, whose lock the system has freed, are removed first.
    """
    local = None if storage.is_s3(destination) else destination
    with (
        storage.translated_errors(destination),
        tempfile.TemporaryDirectory(prefix=_WORK, dir=local) as name,
    ):
        folder = Path(name)
        with exclusive_lock(folder / "unlocked"):
            (folder / "unlocked").rename(folder / "lock")  # no process sees it unlocked
            _remove_dead(folder)
            yield folder


def _remove_dead(mine: Path) -> None:
    import shutil

    for folder in mine.parent.glob(f"{_WORK}*"):
        try:
            if not (folder / "lock").exists():
                continue  # this moment being made
            with exclusive_lock(folder / "lock", wait=False):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it lives, or is not ours
            continue


def put(local: Path, uri: str) -> None:
    """Move the file to its place, whole or not at all."""
    if storage.is_s3(uri):
        storage.upload(local, uri)
        return
    with storage.translated_errors(uri):
        local.rename(uri)


def publish(
    destination: str,
    label: str,
    identity: str,
    suffix: str,
    write: Callable[[Path, Path, datetime], list[str]],
) -> Archive:
    """Make an archive: written beside its place, verified, and only then given its name.

    Args:
        destination: a folder or s3://bucket/prefix.
        label: how its name begins.
        identity: tells stores apart.
        suffix: how its name ends.
        write: takes the file to write, a folder for temporary files and the time; returns notes.

    Raises: whatever `write` raises; Mistakes; ArchiveDamaged. There is no archive then.
    """
    destination = place_of(destination)
    notes = prepare(destination)
    with workplace(destination) as work:
        at, draft = datetime.now(UTC), work / "draft"
        notes += write(draft, work, at)
        written = verify(str(draft), work)
        uri = storage.join(destination, name_of(label, identity, at, written.digest, suffix))
        put(draft, uri)
        if storage.is_s3(uri) and (arrived := verify(uri, work).digest) != written.digest:
            raise ArchiveDamaged(
                f"{uri} is not what was sent: {arrived[:12]}, not {written.digest[:12]}"
            )
    return Archive(uri, written.digest, written.bytes, written.counts, tuple(notes))


def archives(newest: str) -> list[str]:
    """Return the archives of the same label, store and kind beside `newest`, oldest first."""
    place, _, name = newest.rpartition("/")
    ours = _NAME.fullmatch(name)
    named = (
        {uri: _NAME.fullmatch(uri.rpartition("/")[2]) for uri in storage.list_files(place)}
        if ours
        else {}
    )
    return sorted(
        uri for uri, match in named.items() if match and ours and match.groups() == ours.groups()
    )


def beyond(found: Sequence[str], newest: str, count: int) -> list[str]:
    """Return all but `count` of the addresses `found`; never `newest`.

    They come oldest first, by the times in their names: wrong where a clock was set back.
    """
    others = [uri for uri in found if uri.rpartition("/")[2] != newest.rpartition("/")[2]]
    return others[: max(0, len(others) + 1 - count)]


def keep(newest: str, count: int) -> list[str]:
    """Remove all but `count` of the archives like `newest`. Return what was removed."""
    if count < 1:
        raise Mistakes([Mistake("keep", f"at least one archive is kept, not {count}")])
    removed = beyond(archives(newest), newest, count)
    for uri in removed:
        storage.remove(uri)
    return removed
