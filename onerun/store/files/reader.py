"""Read untrusted files of a store: no link is followed, all with a limit.

The exception is `lenient_text`: what may protect a run is read as MLflow would read it.
"""

import os
import re
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from onerun.domain.file_store import LONGEST_KEY

LARGEST_META = 2**20  # bytes of a meta.yaml
LARGEST_VALUE = 2**20  # bytes of a parameter or tag
LONGEST_LINE = 500  # bytes of a metric's line
DEEPEST = 30  # folders below a run
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is there


class Cause(StrEnum):
    """Why a file or folder cannot be used."""

    MISSING = "missing"
    LINK = "a link"
    NO_FILE = "no file"
    NO_FOLDER = "a file where a folder belongs"
    TOO_DEEP = f"folders more than {DEEPEST} deep"
    TOO_LARGE = "too large"
    EMPTY = "empty"
    NO_TEXT = "no text"
    NO_YAML = "no YAML"
    NO_MAPPING = "no mapping"
    BAD_NAME = "bad name"
    BAD_VALUE = "bad value"
    DENIED = "permission denied"
    SYSTEM = "error of the system"  # such as a broken disk


class Unreadable(Exception):
    """A file or folder that cannot be used; printed as its detail."""

    def __init__(self, detail: str, cause: Cause = Cause.BAD_VALUE) -> None:
        super().__init__(detail)
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.cause)

    @classmethod
    def because(cls, cause: Cause) -> "Unreadable":
        """Return an error that says no more than its cause."""
        return cls(cause.value, cause)

    @classmethod
    def from_system(cls, error: OSError) -> "Unreadable":
        """Return the error for what the system says."""
        cause = Cause.DENIED if isinstance(error, PermissionError) else Cause.SYSTEM
        return cls(error.strerror or str(error), cause)


# Folders


def folders(path: Path) -> list[str]:
    """Return the sorted names of the folders in it; links are none. Raises: Unreadable."""
    return sorted(entry.name for entry in _entries(path) if entry.is_dir(follow_symlinks=False))


def others(path: Path) -> list[str]:
    """Return the sorted names of everything else in it. Raises: Unreadable."""
    return sorted(entry.name for entry in _entries(path) if not entry.is_dir(follow_symlinks=False))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        if path.is_symlink():
            raise Unreadable.because(Cause.LINK)
        with os.scandir(path) as found:
            return list(found)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise Unreadable.because(Cause.NO_FOLDER) from None
    except OSError as error:
        raise Unreadable.from_system(error) from None


def files_below(path: Path, depth: int = 0) -> Iterator[tuple[str, Path]]:
    """Yield relative path and path of everything below that is no folder.

    Keys of MLflow may have slashes.

    Raises: Unreadable for a folder that cannot be listed.
    """
    if depth > DEEPEST:
        raise Unreadable.because(Cause.TOO_DEEP)
    for name in others(path):
        yield name, path / name
    for name in folders(path):
        yield from ((f"{name}/{each}", file) for each, file in files_below(path / name, depth + 1))


def is_folder(path: Path) -> bool:
    """Return whether it is a folder or a link to one; false where that may not be looked at."""
    return os.path.isdir(path)  # noqa: PTH112 - the other one raises


# Files


def content(path: Path, largest: int) -> bytes:
    """Return the whole file. Raises: Unreadable, also for a larger one."""
    try:
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            raise Unreadable.because(Cause.LINK)
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable.because(Cause.NO_FILE)
        if about.st_size > largest:
            detail = f"{about.st_size:,} bytes, where at most {largest:,} belong"
            raise Unreadable(detail, Cause.TOO_LARGE)
        with path.open("rb") as file:
            return file.read(largest)
    except FileNotFoundError:
        raise Unreadable.because(Cause.MISSING) from None
    except OSError as error:
        raise Unreadable.from_system(error) from None


def text(path: Path) -> str:
    """Return a parameter's or tag's value. Raises: Unreadable for what is no text."""
    try:
        value = content(path, LARGEST_VALUE).decode()
    except UnicodeDecodeError:
        raise Unreadable("no text (not UTF-8)", Cause.NO_TEXT) from None
    if "\x00" in value:
        raise Unreadable("no text (binary)", Cause.NO_TEXT)
    return value


def lenient_text(path: Path) -> str:
    """Return what MLflow would read, links followed, cut to the limit. Raises: OSError."""
    with path.open("rb") as file:
        return file.read(LARGEST_VALUE).decode(errors="replace")


def meta(path: Path) -> dict[str, Any]:
    """Return a YAML mapping, unsafe tags refused. Raises: Unreadable."""
    raw = content(path, LARGEST_META)
    if not raw.strip():
        raise Unreadable.because(Cause.EMPTY)
    try:
        found = yaml.load(raw, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        detail = f"no YAML ({str(error).partition(chr(10))[0][:80]})"
        raise Unreadable(detail, Cause.NO_YAML) from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Unreadable(f"no mapping but {type(found).__name__}", Cause.NO_MAPPING)
    return found


def checked_key(key: str) -> str:
    """Return the name of a parameter, tag, metric or model. Raises: Unreadable: no name."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise Unreadable("its name is no text (not UTF-8)", Cause.BAD_NAME) from None
    if len(key) > LONGEST_KEY:
        detail = f"its name has {len(key)} characters, where {LONGEST_KEY} fit"
        raise Unreadable(detail, Cause.BAD_NAME)
    return key


class Values(NamedTuple):
    """Parameters or tags: those that can be read, and why the others cannot."""

    good: dict[str, str]
    unreadable: list[tuple[Path, Unreadable]]


def values(folder: Path) -> Values:
    """Return the parameters or tags below a folder. Raises: Unreadable: it cannot be listed."""
    found = Values({}, [])
    for key, file in files_below(folder):
        try:
            found.good[checked_key(key)] = text(file)
        except Unreadable as error:
            found.unreadable.append((file, error))
    return found


# Metrics


class Point(NamedTuple):
    """One line of a metric."""

    timestamp: int  # milliseconds
    value: float
    step: int


def points(path: Path, bad: list[str]) -> Iterator[Point]:
    """Yield a metric's points; lines that are none go to `bad`. Raises: Unreadable."""
    yield from (point for fields in metric_lines(path, bad) if (point := _point(fields, bad)))


def metric_lines(path: Path, bad: list[str]) -> Iterator[list[str]]:
    """Yield the words of each line. Raises: Unreadable."""
    try:
        _require_file(path)
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                try:
                    words = line.decode("ascii" if len(line) < LONGEST_LINE else "utf-8").split()
                except UnicodeDecodeError:
                    bad.append(repr(line[:60]))
                    continue
                if words:
                    yield words
    except OSError as error:
        raise Unreadable.from_system(error) from None


def last_value(path: Path) -> float | None:
    """Return the value of a metric's last line; None where there is none."""
    try:
        _require_file(path)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_LINE))
            return float(file.read().splitlines()[-1].split()[1])
    except (OSError, Unreadable, IndexError, ValueError):
        return None


def _require_file(path: Path) -> None:
    if path.is_symlink():
        raise Unreadable.because(Cause.LINK)
    if not path.is_file():
        raise Unreadable.because(Cause.NO_FILE)


def _point(words: list[str], bad: list[str]) -> Point | None:
    try:
        timestamp, value, *rest = words
        return Point(_integer(timestamp), float(value), _integer(rest[0]) if rest else 0)
    except (ValueError, OverflowError):
        bad.append(" ".join(words)[:60])
        return None


def _integer(word: str) -> int:
    number = int(word) if re.fullmatch(r"[+-]?\d{1,19}", word) else int(float(word))
    if abs(number) >= 2**63:
        raise OverflowError
    return number


# Sizes and times


def size_below(path: Path) -> int:
    """Return the bytes of a file, or of all in a folder; what cannot be read counts nothing."""
    if os.path.islink(path) or not is_folder(path):  # noqa: PTH114 - the other one raises
        return _size_and_time(path)[0]
    return sum(size for size, _ in _below(path))


def times_below(path: Path) -> tuple[int, int]:
    """Return first and last change of what is in it, in milliseconds; its own when it is empty."""
    times = [time for _, time in _below(path) if time] or [_size_and_time(path)[1]]
    return int(min(times) * 1000), int(max(times) * 1000)


def _below(path: Path) -> Iterator[tuple[int, float]]:
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)  # noqa: PTH118 - half the time of a Path
            yield _size_and_time(file)


def _size_and_time(path: str | Path) -> tuple[int, float]:
    """Return nothing for what is missing or may not be looked at."""
    try:
        about = os.lstat(path)
    except OSError:
        return 0, 0.0
    return about.st_size, about.st_mtime
