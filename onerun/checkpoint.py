"""What a stage has computed and not yet handed over: kept in the run's work folder, so that a retry only hands it over.

The folder is this machine's: a retry on another one computes again.
"""

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from onerun.domain.references import Reference
from onerun.storage import write_bytes_atomically

AnyReference = TypeVar("AnyReference", bound=Reference)


def key(*parts: str) -> str:
    """Returns: a digest of all that the result depends on."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def save(file: Path, key: str, reference: Reference) -> None:
    """Writes down that the result of `key` is there; its files are whole by now."""
    write_bytes_atomically(
        str(file), json.dumps({"key": key, "reference": reference.model_dump_json()}).encode()
    )


def load(file: Path, key: str, kind: type[AnyReference]) -> AnyReference | None:
    """Returns: the result that an earlier try left; None when there is none of the same key."""
    if not file.exists():
        return None
    found = json.loads(file.read_bytes())
    return kind.from_json(found["reference"]) if found["key"] == key else None
