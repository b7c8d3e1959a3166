"""Folders of runs, logged models and traces: where they really lie, how large they are, when they changed."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from onerun import storage
from onerun.domain.cleanup.prefixes import GROUPED, below, plain

Value = TypeVar("Value")
PROXY = "mlflow-artifacts:"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
DESTINATION = (
    "MLFLOW_ARTIFACTS_DESTINATION"  # the variable of `mlflow server --artifacts-destination`
)


def real_address(address: str) -> str | None:
    """Returns: where an address really lies: an absolute folder or s3://...; None: behind a server's proxy, or unknown.

    An experiment without an address has none, and not the whole disk.

    What lies behind a proxy is found when MLFLOW_ARTIFACTS_DESTINATION says where the server keeps it.
    """
    if address.startswith(PROXY):
        destination = os.environ.get(DESTINATION)
        path = address[len(PROXY) :]
        path = "/" + path[2:].partition("/")[2] if path.startswith("//") else path
        return real_address(f"{plain(destination)}/{path.strip('/')}") if destination else None
    address = plain(address)
    if storage.is_s3(address):
        return address
    return None if not address.strip("/") or _SCHEME.match(address) else os.path.abspath(address)  # noqa: PTH100 -- keeps links as they are


def sizes(location: str, folders: Iterable[str]) -> dict[str, int | None]:
    """Returns: folder -> bytes in it; 0 where it does not exist; None where it cannot be reached.

    Args: location: of the experiment; in an object store it is listed once for all its folders.
    """
    folders = list(folders)
    root = real_address(location)
    if root is None or not folders:
        return dict.fromkeys(folders)
    if storage.is_s3(root):
        listed = _listed(root)
        return {
            folder: listed.get(below(location, folder) or (), (0, None))[0] for folder in folders
        }
    begins, there = len(plain(location)), _unless_refused(_there, root)
    if there is None:
        return dict.fromkeys(folders)
    return {
        folder: _unless_refused(_local_size, root + folder[begins:])
        if folder[begins + 1 :].partition("/")[0] in there
        else 0
        for folder in folders
    }


def _there(root: str) -> set[str]:
    """One look at the experiment's folder spares one for each run that left no files."""
    try:
        return {path.name for path in Path(root).iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _listed(root: str) -> dict[tuple[str, ...], tuple[int, int | None]]:
    """Returns: names below the root (one, or two below `models` or `traces`) -> bytes, last change in milliseconds."""
    found: dict[tuple[str, ...], tuple[int, int | None]] = {}
    for path, count, changed in storage.walk(root):
        parts = tuple(path.split("/"))
        own = parts[: 2 if parts[0] in GROUPED else 1]
        total, latest = found.get(own, (0, None))
        found[own] = (total + count, max(latest or 0, changed or 0) or None)
    return found


def _unless_refused(look: Callable[[str], Value], folder: str) -> Value | None:
    """Returns: what is seen; None: the folder is somebody else's, which is no reason to see nothing of the others."""
    try:
        return look(folder)
    except PermissionError:
        return None


def _local_size(folder: str) -> int:
    """Thousands of small folders are looked at: a look costs as little as it can."""
    total = 0
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += _local_size(entry.path)
            else:
                with suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def size_of(location: str) -> int | None:
    """Returns: bytes below an address; 0 where there is nothing, None where it cannot be reached or may not be read."""
    root = real_address(location)
    if root is None:
        return None
    return (
        sum(count for _, count, _ in storage.walk(root))
        if storage.is_s3(root)
        else _unless_refused(_local_size, root)
    )


def holds_files(location: str) -> bool:
    """Whether there is anything but empty folders; not where it cannot be known. Raises: OSError, Mistakes."""
    root = real_address(location)
    if root is None:
        return False
    return any(True for _ in storage.walk(root)) if storage.is_s3(root) else _holds_files(root)


def _holds_files(folder: str) -> bool:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with entries:
        return any(
            not entry.is_dir(follow_symlinks=False) or _holds_files(entry.path) for entry in entries
        )


def folders(
    location: str, wanted: Callable[[tuple[str, ...]], bool]
) -> Iterator[tuple[tuple[str, ...], int | None, int | None]]:
    """Yields: names below the location (one, or two below `models` or `traces`), bytes, last change of anything in it.

    Both are None where it may not be looked at.

    Args: wanted: says of the names whether they are; others are not looked into. Times are milliseconds since 1970.
    """
    root = real_address(location)
    if root is None:
        return
    if storage.is_s3(root):
        yield from ((parts, *about) for parts, about in _listed(root).items() if wanted(parts))
        return
    for parts, path in (
        _unless_refused(lambda folder: list(_local_folders(Path(folder))), root) or ()
    ):
        if wanted(parts):
            yield parts, *(_unless_refused(measured, str(path)) or (None, None))


def changed_at(place: str) -> int | None:
    """Returns: when anything at a real address changed last, in milliseconds since 1970; None: there is nothing."""
    return newest(storage.walk(place)) if storage.is_s3(place) else measured(place)[1]


def newest(objects: Iterable[tuple[str, int, int | None]]) -> int | None:
    """Returns: when one of the objects changed last, in milliseconds since 1970; None: there is none."""
    return max((changed or 0 for _, _, changed in objects), default=None)


def measured(folder: str) -> tuple[int, int | None]:
    """Returns: bytes below a local folder, and when it or anything in it changed last; None: it is not there.

    A folder's own time does not tell of files further down that are written to. Nothing behind links is looked at.
    """
    total, newest = 0, 0
    try:
        newest = os.lstat(folder).st_mtime_ns // 1_000_000
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0, None
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside, changed = measured(entry.path)
                total, newest = total + inside, max(newest, changed or 0)
            else:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    total, newest = (
                        total + found.st_size,
                        max(newest, found.st_mtime_ns // 1_000_000),
                    )
    return total, newest


def _local_folders(root: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name in GROUPED and path.is_dir() and not path.is_symlink():
            yield from (
                ((path.name, inner.name), inner)
                for inner in sorted(path.iterdir())
                if inner.is_dir()
            )
        elif path.is_dir() and not path.is_symlink():
            yield (path.name,), path
