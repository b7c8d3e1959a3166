"""Where artifacts really lie, how large their folders are, and when these changed last."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from onerun import storage
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.cleanup.artifact_paths import GROUPED, below, plain

PROXY = "mlflow-artifacts:"
DESTINATION = "MLFLOW_ARTIFACTS_DESTINATION"  # the variable of `mlflow server`
_SCHEME = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:"
)  # mlflow-artifacts:/1/... and dbfs:/... have no //
Answer = TypeVar("Answer")
Names = tuple[str, ...]  # below an experiment's location: one, or two below `models` or `traces`


# Addresses


def resolve(address: str) -> str:
    """Return where an address really lies: an absolute folder, with its links, or s3://...

    What lies behind a server's proxy is found when MLFLOW_ARTIFACTS_DESTINATION says where the
    server keeps it. An experiment without an address has none, and not the whole disk.

    Raises: Mistakes: that is not known, or it is another kind of place.
    """
    if address.startswith(PROXY):
        return _behind_proxy(address)
    place = plain(address)
    if storage.is_s3(place):
        return place
    if not place.strip("/") or _SCHEME.match(place):
        message = f"{address or 'no address'}: expected a local folder, S3 or MLflow's proxy"
        raise Mistakes([Mistake("", message)])
    return os.path.abspath(place)  # noqa: PTH100 -- keeps links as they are


def _behind_proxy(address: str) -> str:
    destination = os.environ.get(DESTINATION)
    if not destination:
        raise Mistakes([Mistake(DESTINATION, f"is not set: where does the server keep {address}?")])
    names = [name for name in urlsplit(address).path.split("/") if name]
    if ".." in names:
        raise Mistakes([Mistake("", f"{address} leads out of the server's artifacts: refused")])
    return "/".join([resolve(destination), *names])


def real_address(address: str) -> str | None:
    """Return where an address really lies; None where that is not known here."""
    try:
        return resolve(address)
    except Mistakes:
        return None


def is_local(address: str) -> bool:
    """Return whether an address names a folder of this machine."""
    return address.startswith("file:") or not _SCHEME.match(address)


# Sizes


def sizes(location: str, folders: Iterable[str]) -> dict[str, int | None]:
    """Return the bytes in each folder: 0 where it does not exist, None where it cannot be reached.

    Args:
        location: of the experiment; in an object store it is listed once for all its folders.
        folders: of its runs and logged models.
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
    return _local_sizes(root, len(plain(location)), folders)


def _local_sizes(root: str, begins: int, folders: list[str]) -> dict[str, int | None]:
    """Look at the experiment's folder first: that spares a look for each run without files."""
    names = unless_denied(_names, root)
    if names is None:
        return dict.fromkeys(folders)
    found: dict[str, int | None] = dict.fromkeys(folders, 0)
    for folder in folders:
        if folder[begins + 1 :].partition("/")[0] in names:
            found[folder] = unless_denied(_local_size, root + folder[begins:])
    return found


def _names(root: str) -> set[str]:
    try:
        return set(os.listdir(root))  # noqa: PTH208 -- names alone are needed
    except (FileNotFoundError, NotADirectoryError):
        return set()


def unless_denied(look: Callable[[str], Answer], folder: str) -> Answer | None:
    """Return what is seen; None where permission is denied: the others can still be looked at."""
    try:
        return look(folder)
    except PermissionError:
        return None


def _local_size(folder: str) -> int:
    """Return the bytes below a folder. Thousands are looked at: it costs as little as it can."""
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
    """Return the bytes below an address: 0 where nothing is, None where it cannot be read."""
    root = real_address(location)
    if root is None:
        return None
    if storage.is_s3(root):
        return sum(count for _, count, _ in storage.walk(root))
    return unless_denied(_local_size, root)


def holds_files(location: str) -> bool:
    """Return whether it is known to hold anything but empty folders. Raises: OSError, Mistakes."""
    root = real_address(location)
    if root is None:
        return False
    if storage.is_s3(root):
        return any(True for _ in storage.walk(root))
    return _holds_files(root)


def _holds_files(folder: str) -> bool:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with entries:
        return any(
            not entry.is_dir(follow_symlinks=False) or _holds_files(entry.path) for entry in entries
        )


# Folders and their last change. Times are milliseconds since 1970.


def folders(
    location: str, wanted: Callable[[Names], bool]
) -> Iterator[tuple[Names, int | None, int | None]]:
    """Yield names of folders below a location, their bytes and the last change in them.

    Bytes and time are None where a folder may not be looked at.

    Args:
        location: of an experiment.
        wanted: says whether a folder of these names is wanted; others are not looked into.
    """
    root = real_address(location)
    if root is None:
        return
    if storage.is_s3(root):
        for names, (count, changed) in _listed(root).items():
            if wanted(names):
                yield names, count, changed
        return
    for names, path in unless_denied(_local_folders, root) or ():
        if wanted(names):
            yield names, *(unless_denied(measured, path) or (None, None))


def _listed(root: str) -> dict[Names, tuple[int, int | None]]:
    """Return the bytes and the last change of each folder below a root in an object store."""
    found: dict[Names, tuple[int, int | None]] = {}
    for path, count, changed in storage.walk(root):
        names = tuple(path.split("/"))
        own = names[: 2 if names[0] in GROUPED else 1]
        total, latest = found.get(own, (0, None))
        found[own] = (total + count, max(latest or 0, changed or 0) or None)
    return found


def _local_folders(root: str) -> list[tuple[Names, str]]:
    found: list[tuple[Names, str]] = []
    for path in _folders_in(Path(root)):
        if path.is_symlink():
            continue
        if path.name in GROUPED:
            found += [((path.name, inner.name), str(inner)) for inner in _folders_in(path)]
        else:
            found.append(((path.name,), str(path)))
    return found


def _folders_in(path: Path) -> list[Path]:
    return sorted(inner for inner in path.iterdir() if inner.is_dir()) if path.is_dir() else []


def changed_at(place: str) -> int | None:
    """Return when anything at a real address changed last; None where nothing is."""
    if storage.is_s3(place):
        return newest(storage.walk(place))
    return measured(place)[1]


def newest(objects: Iterable[tuple[str, int, int | None]]) -> int | None:
    """Return when one of the objects changed last; None where there is none."""
    return max((changed or 0 for _, _, changed in objects), default=None)


def measured(folder: str) -> tuple[int, int | None]:
    """Return the bytes below a local folder, and when it or anything in it changed last.

    A folder's own time does not tell of files further down that are written to. Nothing behind
    links is looked at. The time is None where there is no such folder.
    """
    total = 0
    try:
        latest = os.lstat(folder).st_mtime_ns // 1_000_000
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 0, None
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside, changed = measured(entry.path)
                total, latest = total + inside, max(latest, changed or 0)
            else:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    total += found.st_size
                    latest = max(latest, found.st_mtime_ns // 1_000_000)
    return total, latest
