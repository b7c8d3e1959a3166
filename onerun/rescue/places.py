"""Where a rescued store's artifacts lie: where the old store says, or, when it was moved, where they are."""

import hashlib
from pathlib import Path

from onerun.archive import artifacts
from onerun.domain.cleanup.artifact_paths import plain
from onerun.rescue.facts import Facts
from onerun.store.artifact_paths import is_local
from onerun.store.files import reader

UNREADABLE = "artifact that may not be read, not compared"


def place(said: object, actual: Path) -> str:
    """Returns: the address to write down: what was said, unless that is no place and the folder is one."""
    if isinstance(said, str) and said and not is_local(said):
        return said  # S3, a server's proxy and the like cannot have moved along with the folder
    if isinstance(said, str) and said:
        path = Path(plain(said))
        if reader.is_folder(path) and not path.is_symlink() and path.resolve() == actual.resolve():
            return said
        if path.is_absolute() and reader.is_folder(path) and not reader.is_folder(actual):
            return said
    return actual.absolute().as_uri()


def add_facts(facts: Facts, owner: str, address: str) -> int:
    """Notes the address and every artifact below it, by its SHA-256. Returns: bytes."""
    facts.add("place", owner, "of files", address)
    if not is_local(address):
        facts.add("place elsewhere, files not compared", owner, "of files")
        return 0
    total = 0
    try:
        for artifact in artifacts.files(address):
            if not artifact.note:
                total += _add_file(facts, owner, artifact)
    except (
        PermissionError
    ) as error:  # a folder, before and after; it stays where it is, and the raw backup says so
        facts.add(UNREADABLE, owner, str(error.filename))
    return total


def _add_file(facts: Facts, owner: str, artifact: artifacts.Artifact) -> int:
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
