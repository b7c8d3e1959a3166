"""Folders of runs and logged models: how large they are, and removing them. Never any other folder."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from domain.errors import TerminalError
from domain.maintenance.prefixes import GROUPED, below, plain
from tasks import storage

Value = TypeVar("Value")
PROXY = "mlflow-artifacts:"
ARTIFACTS = "artifacts"  # of a run or logged model: all that MLflow writes in its folder, and all that is archived
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
DESTINATION = "MLFLOW_ARTIFACTS_DESTINATION"  # the variable of `mlflow server --artifacts-destination`


class Left(TerminalError):
    """A folder that was to be removed was left as it is; why, it says."""


class OutsideTheStore(Left):
    """It is not one of the store's own."""


class ChangedMeanwhile(Left):
    """It holds what no archive holds."""


def real_address(address: str) -> str | None:
    """Returns: where an address really lies: an absolute folder or s3://...; None: behind a server's proxy, or unknown.

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
    return None if _SCHEME.match(address) else os.path.abspath(address)  # noqa: PTH100 -- keeps links as they are


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
        return {folder: listed.get(below(location, folder) or (), (0, None))[0] for folder in folders}
    begins, there = len(plain(location)), _there(root)
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


def remove(location: str, folders: Iterable[str], archived: int | None = None) -> None:
    """Removes the artifacts of runs and logged models of one experiment; what is gone already is no mistake.

    What lies beside `artifacts` in such a folder is in no archive, and stays.

    Args: archived: when their archive was begun, in milliseconds since 1970; what was written after that stays.
    Raises: OutsideTheStore when one is not the experiment's own or is reached through a link; ChangedMeanwhile;
        Left when there is more in it; Mistakes when refused.
    """
    root = real_address(location)
    for folder in folders:
        parts = below(location, folder)
        if root is None or parts is None:
            raise OutsideTheStore(f"{folder} is not one of the own folders of {location}; it was left as it is")
        if storage.is_s3(root):
            _remove_objects("/".join([root, *parts]), archived)
        else:
            _remove_local(root, parts, archived)


def _remove_objects(place: str, archived: int | None) -> None:
    """What comes while they are removed stays: only what was looked at goes."""
    everything = list(storage.walk(place))
    found = [each for each in everything if each[0].startswith(f"{ARTIFACTS}/")]
    if archived is not None:
        newest = _newest(found) or 0
        in_seconds = newest % 1000 == 0  # as Amazon's store tells it: later in the same second is not told
        _need_unchanged(place, newest, archived // 1000 * 1000 - 1 if in_seconds else archived)
    storage.remove_below(place, [path for path, _, _ in found])
    if len(found) < len(everything):
        raise Left(_more_in(place))


def _more_in(place: str) -> str:
    return f"{place} holds more than {ARTIFACTS}, which no archive holds; that was left"


def _need_unchanged(place: str, changed: int, archived: int) -> None:
    if changed > archived:
        raise ChangedMeanwhile(f"{place} was changed after it was archived; its files were left")


def _remove_local(root: str, parts: tuple[str, ...], archived: int | None) -> None:
    """Thousands of small folders are removed: addresses stay text, which costs a third."""
    path = root
    for part in parts:
        path = f"{path}/{part}"
        if os.path.islink(path) or os.path.islink(f"{path}/{ARTIFACTS}"):  # noqa: PTH114
            raise OutsideTheStore(f"{path} is a link; neither it nor what it points at was removed")

    def gone_already(_function: Any, _path: str, error: BaseException) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    with storage.explained(path):
        if archived is not None:
            _need_unchanged(path, measured(f"{path}/{ARTIFACTS}")[1] or 0, archived)
        _rmtree(f"{path}/{ARTIFACTS}", gone_already)
        _remove_emptied(path)


def _remove_emptied(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise Left(_more_in(path)) from None


def _rmtree(path: str, handler: Any) -> None:
    """Never follows links (shutil works by directory handles); what is missing is gone already."""
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=handler)
    else:
        shutil.rmtree(path, onerror=lambda function, name, info: handler(function, name, info[1]))


def size_of(location: str) -> int | None:
    """Returns: bytes below an address; 0 where there is nothing, None where it cannot be reached or may not be read."""
    root = real_address(location)
    if root is None:
        return None
    return (
        sum(count for _, count, _ in storage.walk(root)) if storage.is_s3(root) else _unless_refused(_local_size, root)
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
    for parts, path in _local_folders(Path(root)):
        if wanted(parts):
            yield parts, *(_unless_refused(measured, str(path)) or (None, None))


def changed_at(place: str) -> int | None:
    """Returns: when anything at a real address changed last, in milliseconds since 1970; None: there is nothing."""
    return _newest(storage.walk(place)) if storage.is_s3(place) else measured(place)[1]


def _newest(objects: Iterable[tuple[str, int, int | None]]) -> int | None:
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
                    total, newest = total + found.st_size, max(newest, found.st_mtime_ns // 1_000_000)
    return total, newest


def _local_folders(root: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name in GROUPED and path.is_dir() and not path.is_symlink():
            yield from (((path.name, inner.name), inner) for inner in sorted(path.iterdir()) if inner.is_dir())
        elif path.is_dir() and not path.is_symlink():
            yield (path.name,), path
