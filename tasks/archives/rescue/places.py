"""Where a rescued store's artifacts lie: where the old store says, or, when it was moved, where they are."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.archives import places
from tasks.archives.rescue.facts import Facts

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # mlflow-artifacts:/1/... and dbfs:/... have no //


def place(said: object, actual: Path) -> str:
    """Returns: the address to write down: what was said, unless that is no place and the folder is one."""
    if isinstance(said, str) and said and not is_near(said):
        return said  # S3, a server's proxy and the like cannot have moved along with the folder
    if isinstance(said, str) and said:
        path = Path(unquote(urlsplit(said).path) if said.startswith("file:") else said)
        if path.is_dir() and not path.is_symlink() and path.resolve() == actual.resolve():
            return said
        if path.is_absolute() and path.is_dir() and not actual.is_dir():
            return said
    return actual.absolute().as_uri()


def is_near(address: str) -> bool:
    """Whether it is a folder of this machine."""
    return address.startswith("file:") or not _SCHEME.match(address)


def add_facts(facts: Facts, owner: str, address: str) -> int:
    """Notes the address and every artifact below it, by its SHA-256. Returns: bytes."""
    total = 0
    facts.add("place", owner, "of files", address)
    if not is_near(address):
        facts.add("place elsewhere, files not compared", owner, "of files")
        return 0
    for artifact in places.files(address):
        if artifact.note:
            continue
        seen = hashlib.sha256()
        try:
            with artifact.open() as file:
                while block := file.read(2**20):
                    seen.update(block)
        except OSError:  # unreadable before and after: the raw backup says so
            continue
        total += artifact.size
        facts.add("artifact", owner, artifact.path, artifact.size, seen.hexdigest())
    return total
