"""Reading what nobody vouches for: no link is followed, nothing but files is opened, all with a limit."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

LARGEST_META = 2**20  # bytes of a meta.yaml
LARGEST_VALUE = 2**20  # bytes of a parameter or tag
LONGEST_LINE = 500  # bytes of a metric's line
LONGEST_KEY = 250  # characters; MLflow's columns hold no more
DEEPEST = 30  # folders below a run
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unreadable(Exception):
    """Why a file or folder cannot be used, in words."""


@dataclass(frozen=True)
class Point:
    """One line of a metric."""

    timestamp: int  # milliseconds
    value: float
    step: int


def folders(path: Path) -> list[str]:
    """Returns: names of the folders in it, sorted; links are none. Raises: Unreadable."""
    return sorted(entry.name for entry in _entries(path) if entry.is_dir(follow_symlinks=False))


def others(path: Path) -> list[str]:
    """Returns: names of everything else in it, sorted. Raises: Unreadable."""
    return sorted(entry.name for entry in _entries(path) if not entry.is_dir(follow_symlinks=False))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        if path.is_symlink():
            raise Unreadable("a link")
        with os.scandir(path) as found:
            return list(found)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise Unreadable("a file where a folder belongs") from None
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None


def files_below(path: Path, depth: int = 0) -> Iterator[tuple[str, Path]]:
    """Yields: relative path and path of everything below that is no folder; keys of MLflow may have slashes.

    Raises: Unreadable for a folder that cannot be listed.
    """
    if depth > DEEPEST:
        raise Unreadable(f"folders more than {DEEPEST} deep")
    for name in others(path):
        yield name, path / name
    for name in folders(path):
        yield from ((f"{name}/{each}", file) for each, file in files_below(path / name, depth + 1))


def content(path: Path, largest: int) -> bytes:
    """Returns: the whole file. Raises: Unreadable, also for a larger one."""
    try:
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            raise Unreadable("a link")
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("no file")
        if about.st_size > largest:
            raise Unreadable(f"{about.st_size:,} bytes, where at most {largest:,} belong")
        with path.open("rb") as file:
            return file.read(largest)
    except FileNotFoundError:
        raise Unreadable("missing") from None
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None


def text(path: Path) -> str:
    """Returns: a parameter's or tag's value. Raises: Unreadable for what is no text."""
    try:
        value = content(path, LARGEST_VALUE).decode()
    except UnicodeDecodeError:
        raise Unreadable("no text (not UTF-8)") from None
    if "\x00" in value:
        raise Unreadable("no text (binary)")
    return value


def meta(path: Path) -> dict[str, Any]:
    """Returns: a YAML mapping, unsafe tags refused. Raises: Unreadable."""
    raw = content(path, LARGEST_META)
    if not raw.strip():
        raise Unreadable("empty")
    try:
        found = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Unreadable(f"no YAML ({str(error).partition(chr(10))[0][:80]})") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Unreadable(f"no mapping but {type(found).__name__}")
    return found


def points(path: Path, bad: list[str]) -> Iterator[Point]:
    """Yields: a metric's points, line by line; lines that are none go to `bad`. Raises: Unreadable."""
    yield from (point for fields in metric_lines(path, bad) if (point := _point(fields, bad)))


def metric_lines(path: Path, bad: list[str]) -> Iterator[list[str]]:
    """Yields: the words of each line. Raises: Unreadable."""
    try:
        if path.is_symlink() or not path.is_file():
            raise Unreadable("a link" if path.is_symlink() else "no file")
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
        raise Unreadable(error.strerror or str(error)) from None


def _point(words: list[str], bad: list[str]) -> Point | None:
    try:
        timestamp, value, *rest = words
        point = Point(_integer(timestamp), float(value), _integer(rest[0]) if rest else 0)
    except (ValueError, OverflowError):
        bad.append(" ".join(words)[:60])
        return None
    return point


def _integer(word: str) -> int:
    number = int(word) if re.fullmatch(r"[+-]?\d{1,19}", word) else int(float(word))
    if abs(number) >= 2**63:
        raise OverflowError
    return number


def is_whole(value: object) -> bool:
    """Whether it is a whole number that a database has room for."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def milliseconds(said: object) -> int | None:
    """Returns: a time, a number or a text as MLflow 3 writes it, since 1970; None for anything else."""
    if isinstance(said, int):
        return said if is_whole(said) else None
    try:
        when = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)


def is_folder(path: Path) -> bool:
    """Whether it is a folder, or a link to one; not, where that may not be looked at."""
    return os.path.isdir(path)  # noqa: PTH112 - the other one raises


def size_below(path: Path) -> int:
    """Returns: bytes of all files, links not followed; what cannot be read counts nothing."""
    if os.path.islink(path) or not is_folder(path):  # noqa: PTH114 - the other one raises
        return _size_and_time(path)[0]
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            total += _size_and_time(os.path.join(folder, name))[0]  # noqa: PTH118 - half the time of a Path
    return total


def _size_and_time(path: str | Path) -> tuple[int, float]:
    """Of what is gone, or may not be looked at: nothing."""
    try:
        about = os.lstat(path)
    except OSError:
        return 0, 0.0
    return about.st_size, about.st_mtime


def times_below(path: Path) -> tuple[int, int]:
    """Returns: first and last change of what is in it, in milliseconds; of itself when it is empty."""
    inside: list[float] = []
    for folder, _, names in os.walk(path):
        inside += [
            time
            for name in names
            if (time := _size_and_time(os.path.join(folder, name))[1])  # noqa: PTH118
        ]
    inside = inside or [_size_and_time(path)[1]]
    return int(min(inside) * 1000), int(max(inside) * 1000)
