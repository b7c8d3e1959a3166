"""Where archives are kept: named by label, store, time and digest, brought to their place, older ones removed."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from onerun import storage
from onerun.config.addresses import folder_or_bucket
from onerun.config.mistakes import Mistake, Mistakes
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
    """Args: store: its identity. Returns: the file name of an archive."""
    return f"{label}-{store}-{at:%Y%m%dT%H%M%S%fZ}-{digest[:12]}{suffix}"


def require_label(label: str) -> None:
    """Raises: Mistakes for a label that is no part of a file name."""
    if not _LABEL.fullmatch(label):
        text = f"{label!r} is no label: letters, digits, dots, dashes and underscores, at most 100"
        raise Mistakes([Mistake("label", text)])


def place_of(destination: str) -> str:
    """Returns: an absolute folder, or an s3:// address. Raises: Mistakes for another kind of address."""
    try:
        place = folder_or_bucket(destination)
    except ValueError as error:
        raise Mistakes([Mistake("archive", str(error))]) from None
    return place if storage.is_s3(place) else str(Path(place).expanduser().absolute())


def prepare(destination: str) -> list[str]:
    """Makes folder or bucket where there is none. Returns: in words, what could not be had."""
    if storage.is_s3(destination):
        return storage.make_bucket(destination, NONCURRENT_DAYS)
    with storage.translated_errors(destination):
        Path(destination).mkdir(parents=True, exist_ok=True)
    return []


@contextmanager
def workplace(destination: str) -> Iterator[Path]:
    """A temporary folder: beside the archive to be, or the system's when that lies elsewhere; gone afterwards.

    Those of the dead are removed first: the system lets go of their lock.
    """
    local = None if storage.is_s3(destination) else destination
    with (
        storage.translated_errors(destination),
        tempfile.TemporaryDirectory(prefix=_WORK, dir=local) as name,
    ):
        folder = Path(name)
        with exclusive_lock(folder / "unlocked"):
            (folder / "unlocked").rename(folder / "lock")  # nobody sees it before it is locked
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
    """Brings the file to its place, whole or not at all."""
    if storage.is_s3(uri):
        storage.upload(local, uri)
        return
    with storage.translated_errors(uri):
        local.rename(uri)


def archives(newest: str) -> list[str]:
    """Returns: the archives of that one's label, store and kind in its place, oldest first; never another store's."""
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
    """Args: found: addresses, oldest first, by the times in their names, which a clock set back makes wrong.

    Returns: all but `count` of them; never `newest`.
    """
    others = [uri for uri in found if uri.rpartition("/")[2] != newest.rpartition("/")[2]]
    return others[: max(0, len(others) + 1 - count)]


def keep(newest: str, count: int) -> list[str]:
    """Removes all but `count` of the archives that `newest` is the latest of. Returns: what was removed."""
    if count < 1:
        raise Mistakes([Mistake("keep", f"at least one archive is kept, not {count}")])
    removed = beyond(archives(newest), newest, count)
    for uri in removed:
        storage.remove(uri)
    return removed
