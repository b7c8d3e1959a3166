"""Where a rescued store's artifacts lie: where the old store says, or, when it was moved, where they are."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from onerun.archive import places
from onerun.rescue import reading
from onerun.rescue.facts import Facts

_SCHEME = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]+:"
)  # mlflow-artifacts:/1/... and dbfs:/... have no //

UNREADABLE = "artifact that may not be read, not compared"


def place(said: object, actual: Path) -> str:
    """Returns: the address to write down: what was said, unless that is no place and the folder is one."""
    if isinstance(said, str) and said and not is_near(said):
        return said  # S3, a server's proxy and the like cannot have moved along with the folder
    if isinstance(said, str) and said:
        path = Path(unquote(urlsplit(said).path) if said.startswith("file:") else said)
        if reading.is_folder(path) and not path.is_symlink() and path.resolve() == actual.resolve():
            return said
        if path.is_absolute() and reading.is_folder(path) and not reading.is_folder(actual):
            return said
    return actual.absolute().as_uri()


def is_near(address: str) -> bool:
    """Whether it is a folder of this machine."""
    return address.startswith("file:") or not _SCHEME.match(address)


def add_facts(facts: Facts, owner: str, address: str) -> int:
    """Notes the address and every artifact below it, by its SHA-256. Returns: bytes."""
    facts.add("place", owner, "of files", address)
    if not is_near(address):
        facts.add("place elsewhere, files not compared", owner, "of files")
        return 0
    total = 0
    try:
        for artifact in places.files(address):
            if not artifact.note:
                total += _add_file(facts, owner, artifact)
    except (
        PermissionError
    ) as error:  # a folder, before and after; it stays where it is, and the raw backup says so
        facts.add(UNREADABLE, owner, str(error.filename))
    return total


def _add_file(facts: Facts, owner: str, artifact: places.Artifact) -> int:
    seen = hashlib.sha256()
    try:
        with artifact.open() as file:
            while block := file.read(2**20):
                seen.update(block)
    except OSError:  # before and after; it stays where it is, and the raw backup says so
        facts.add(UNREADABLE, owner, artifact.path)
        return 0
    facts.add("artifact", owner, artifact.path, artifact.size, seen.hexdigest())
    return artifact.size
