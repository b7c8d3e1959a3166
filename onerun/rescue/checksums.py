"""Checksums of all that a store says, in the folder and in the database: counted and compared.

Each fact (a parameter, a point of a metric, a version, an artifact, ...) has a kind, an owner and a
key, and a SHA-256 of its values.
"""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from onerun.archive import artifacts
from onerun.domain.cleanup.artifact_paths import plain
from onerun.domain.text import printable
from onerun.store.artifact_paths import is_local
from onerun.store.files import reader

SHOWN = 50  # differences in words
UNREADABLE = "artifact that may not be read, not compared"
BEFORE, AFTER = "before", "after"


class Checksums:
    """Two lists in a temporary file: `before` from the folder, `after` from the database."""

    def __init__(self, folder: Path) -> None:
        """Make the file in `folder`."""
        self._file = sqlite3.connect(folder / "checksums.sqlite", isolation_level=None)
        self._file.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE fact (side TEXT, kind TEXT, owner TEXT, key TEXT, digest TEXT); BEGIN;"
        )
        self.side = BEFORE

    def add(self, kind: str, owner: str, key: str, *values: Any) -> None:
        """Add a fact: its kind, its owner, its name there, and its values."""
        text = json.dumps(values, default=str, sort_keys=True)
        self._file.execute(
            "INSERT INTO fact VALUES (?, ?, ?, ?, ?)",
            [self.side, kind, owner, printable(key), hashlib.sha256(text.encode()).hexdigest()],
        )

    def counts(self, side: str) -> dict[str, int]:
        """Return the number of facts by kind."""
        query = "SELECT kind, count(*) FROM fact WHERE side = ? GROUP BY kind ORDER BY kind"
        return dict(self._file.execute(query, [side]).fetchall())

    def digests(self, side: str) -> dict[str, str]:
        """Return one digest of all facts of a kind."""
        found: dict[str, Any] = {}
        query = "SELECT kind, owner, key, digest FROM fact WHERE side = ? ORDER BY 1, 2, 3, 4"
        for kind, *rest in self._file.execute(query, [side]):
            found.setdefault(kind, hashlib.sha256()).update(repr(rest).encode())
        return {kind: digest.hexdigest() for kind, digest in found.items()}

    def forget_after(self) -> None:
        """Remove the second list, to be made anew."""
        self._file.execute("DELETE FROM fact WHERE side = 'after'")

    def differences(self) -> list[str]:
        """Return, in words, what is not on both sides equally often; at most SHOWN."""
        query = (
            "SELECT kind, owner, key, sum(side = 'before') AS before, sum(side = 'after') AS after"
            " FROM fact GROUP BY kind, owner, key, digest HAVING before != after"
            f" ORDER BY after > before, kind, owner, key LIMIT {SHOWN}"
        )
        return [_difference(*row) for row in self._file.execute(query)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _difference(kind: str, owner: str, key: str, before: int, after: int) -> str:
    what = f"{kind} {key} of {owner}" if key else f"{kind} {owner}"
    if before and after:
        return f"{what} was there {before} times and is there {after} times"
    if before:
        return f"{what} is not there as it was"
    return f"{what} was not there before"


def artifact_address(said: object, actual: Path) -> str:
    """Return where artifacts are: where the old store says, or, when it was moved, `actual`.

    Args:
        said: the address in the old store's file.
        actual: the folder where they are in a store that was not configured otherwise.
    """
    if not isinstance(said, str) or not said:
        return actual.absolute().as_uri()
    if not is_local(said):
        return said  # S3, a server's proxy and the like cannot have moved along with the folder
    path = Path(plain(said))
    if reader.is_folder(path) and not path.is_symlink() and path.resolve() == actual.resolve():
        return said
    if path.is_absolute() and reader.is_folder(path) and not reader.is_folder(actual):
        return said
    return actual.absolute().as_uri()


def add_artifacts(checksums: Checksums, owner: str, address: str) -> int:
    """Add the address and every artifact below it. Return their bytes."""
    checksums.add("place", owner, "of files", address)
    if not is_local(address):
        checksums.add("place elsewhere, files not compared", owner, "of files")
        return 0
    total = 0
    try:
        for artifact in artifacts.files(address):
            if not artifact.note:
                total += _add_artifact(checksums, owner, artifact)
    except PermissionError as error:  # of a folder; it stays where it is
        checksums.add(UNREADABLE, owner, str(error.filename))
    return total


def _add_artifact(checksums: Checksums, owner: str, artifact: artifacts.Artifact) -> int:
    try:
        with artifact.open() as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError:  # before and after; it stays where it is, and the raw backup says so
        checksums.add(UNREADABLE, owner, artifact.path)
        return 0
    checksums.add("artifact", owner, artifact.path, artifact.size, digest)
    return artifact.size
