"""What a store says, fact by fact, before and after: counted, and compared by digest."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from onerun.domain.text import printable

SHOWN = 50  # differences in words


class Facts:
    """Two lists of facts in a temporary file, `before` and `after`."""

    def __init__(self, folder: Path) -> None:
        """Makes its file in `folder`."""
        self._file = sqlite3.connect(folder / "facts.sqlite", isolation_level=None)
        self._file.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE fact (side TEXT, kind TEXT, owner TEXT, key TEXT, digest TEXT); BEGIN;"
        )
        self.side = "before"

    def add(self, kind: str, owner: str, key: str, *values: Any) -> None:
        """Notes a fact: of which kind, of whom, called what, and its values."""
        digest = hashlib.sha256(
            json.dumps(values, default=str, sort_keys=True).encode()
        ).hexdigest()
        self._file.execute(
            "INSERT INTO fact VALUES (?, ?, ?, ?, ?)",
            [self.side, kind, owner, printable(key), digest],
        )

    def counts(self, side: str) -> dict[str, int]:
        """Returns: how many facts of each kind."""
        query = "SELECT kind, count(*) FROM fact WHERE side = ? GROUP BY kind ORDER BY kind"
        return dict(self._file.execute(query, [side]).fetchall())

    def digests(self, side: str) -> dict[str, str]:
        """Returns: one digest of all facts of a kind."""
        found: dict[str, Any] = {}
        query = "SELECT kind, owner, key, digest FROM fact WHERE side = ? ORDER BY 1, 2, 3, 4"
        for kind, *rest in self._file.execute(query, [side]):
            found.setdefault(kind, hashlib.sha256()).update(repr(rest).encode())
        return {kind: digest.hexdigest() for kind, digest in found.items()}

    def forget_after(self) -> None:
        """Takes the second list back, to be made anew."""
        self._file.execute("DELETE FROM fact WHERE side = 'after'")

    def differences(self) -> list[str]:
        """Returns: in words, what is not on both sides equally often; at most SHOWN."""
        query = (
            "SELECT kind, owner, key, sum(side = 'before') AS before, sum(side = 'after') AS after FROM fact"
            " GROUP BY kind, owner, key, digest HAVING before != after"
            f" ORDER BY after > before, kind, owner, key LIMIT {SHOWN}"
        )
        return [
            f"{kind} {key} of {owner} {_words(*times)}"
            if key
            else f"{kind} {owner} {_words(*times)}"
            for kind, owner, key, *times in self._file.execute(query)
        ]

    def close(self) -> None:
        """Lets go of its file."""
        self._file.close()


def _words(before: int, after: int) -> str:
    if before and after:
        return f"was there {before} times and is there {after} times"
    return "is not there as it was" if before else "was not there before"
