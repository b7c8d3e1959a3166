"""Where archives are kept: named by label, time and digest, brought to their place, older ones of a label removed."""

import fcntl
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from settings.mistakes import Mistake, Mistakes
from tasks import storage

SUFFIX = ".tar.gz"
FOLDERS = ".folders.tar.gz"  # of archives of folders
NONCURRENT_DAYS = 90  # how long a bucket of ours keeps what was deleted from it
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WORK = ".onerun-archive-"


def name_of(label: str, at: datetime, digest: str, suffix: str = SUFFIX) -> str:
    """Returns: the file name of an archive."""
    return f"{label}-{at:%Y%m%dT%H%M%S%fZ}-{digest[:12]}{suffix}"


def require_label(label: str) -> None:
    """Raises: Mistakes for a label that is no part of a file name."""
    if not _LABEL.fullmatch(label):
        text = f"{label!r} is no label: letters, digits, dots, dashes and underscores, at most 100"
        raise Mistakes([Mistake("label", text)])


def prepare(destination: str) -> list[str]:
    """Makes folder or bucket where there is none. Returns: in words, what could not be had."""
    if storage.is_s3(destination):
        return storage.make_bucket(destination, NONCURRENT_DAYS)
    with storage.explained(destination):
        Path(destination).mkdir(parents=True, exist_ok=True)
    return []


@contextmanager
def workplace(destination: str) -> Iterator[Path]:
    """A temporary folder: beside the archive to be, or the system's when that lies elsewhere; gone afterwards.

    Those of the dead are removed first: the system lets go of their lock.
    """
    local = None if storage.is_s3(destination) else destination
    with storage.explained(destination), tempfile.TemporaryDirectory(prefix=_WORK, dir=local) as name:
        folder = Path(name)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _remove_dead(folder)
            yield folder


def _remove_dead(mine: Path) -> None:
    import shutil

    for folder in mine.parent.glob(f"{_WORK}*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it lives, is not ours, or is this moment being made
            continue


def put(local: Path, uri: str) -> None:
    """Brings the file to its place, whole or not at all."""
    if storage.is_s3(uri):
        storage.upload(local, uri)
        return
    with storage.explained(uri):
        local.rename(uri)


def archives(destination: str, label: str, suffix: str = SUFFIX) -> list[str]:
    """Returns: the archives of that label and no other, oldest first."""
    ours = re.compile(rf"{re.escape(label)}-(\d{{8}}T\d{{12}}Z)-[0-9a-f]{{12}}{re.escape(suffix)}")
    if storage.is_s3(destination):
        found = [
            uri
            for uri, _ in storage.list_objects(destination)
            if uri.count("/") == destination.rstrip("/").count("/") + 1
        ]
    else:
        found = [str(path) for path in Path(destination).glob(f"*{suffix}")]
    named = {uri: ours.fullmatch(uri.rpartition("/")[2]) for uri in found}
    return sorted((uri for uri, match in named.items() if match), key=lambda uri: uri.rpartition("/")[2])


def keep(destination: str, label: str, newest: int) -> list[str]:
    """Removes all but the `newest` archives of the label, of either kind. Returns: what was removed."""
    if newest < 1:
        raise Mistakes([Mistake("keep", f"at least one archive is kept, not {newest}")])
    removed = [uri for suffix in (SUFFIX, FOLDERS) for uri in archives(destination, label, suffix)[:-newest]]
    for uri in removed:
        storage.remove(uri)
    return removed
