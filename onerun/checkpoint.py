"""The result of a stage that is not handed over yet, in the run's work folder: a retry only hands
it over.

The folder belongs to this machine: a retry on another one computes the result again.
"""

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from onerun.domain.references import Reference
from onerun.storage import write_bytes_atomically

AnyReference = TypeVar("AnyReference", bound=Reference)


def key(*parts: str) -> str:
    """Return a digest of everything that the result depends on."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def save(file: Path, key: str, reference: Reference) -> None:
    """Write the result of `key` to `file`, once the files that it refers to are complete."""
    content = json.dumps({"key": key, "reference": reference.model_dump_json()})
    write_bytes_atomically(str(file), content.encode())


def load(file: Path, key: str, kind: type[AnyReference]) -> AnyReference | None:
    """Return the result that an earlier attempt saved, or None without one of the same key."""
    if not file.exists():
        return None
    saved = json.loads(file.read_bytes())
    if saved["key"] != key:
        return None
    return kind.from_json(saved["reference"])
