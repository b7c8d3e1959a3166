"""Verifying: an archive read from its first to its last byte, against its manifest and the digest in its name."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from onerun import storage
from onerun.archive.container import BLOCK, Member, damage_told, members, read_header
from onerun.archive.keeping import FOLDERS
from onerun.archive.unpacking import verified
from onerun.domain.archives import HEADER, MANIFEST
from onerun.domain.errors import ArchiveDamaged

NAMED = re.compile(
    r"-([0-9a-f]{12})\.tar\.gz$"
)  # the digest's beginning, in the name that a backup gives


@dataclass(frozen=True)
class Verified:
    """A whole archive; its records and its manifest lie unpacked in `folder`."""

    uri: str
    digest: str
    bytes: int
    header: dict[str, Any]
    counts: dict[str, int]
    folder: Path = field(repr=False)

    @property
    def records(self) -> Path:
        """JSON lines: a few rows of one record each."""
        return self.folder / "records"

    @property
    def manifest(self) -> Path:
        """JSON lines: one per member, then the counts."""
        return self.folder / "manifest"


class Hashed:
    """A file that takes the digest of all that is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self.bytes = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """Reads on."""
        block = self._file.read(size)
        self._digest.update(block)
        self.bytes += len(block)
        return block

    def digest(self) -> str:
        """Reads what is left. Returns: the digest of all of it."""
        while self.read(BLOCK):
            pass
        return self._digest.hexdigest()


@contextmanager
def streamed(uri: str) -> Iterator[Hashed]:
    """The archive's bytes. Raises: Mistakes when there is no such file."""
    with storage.translated_errors(uri), storage.open_input(uri) as file:
        yield Hashed(file)


def read_back(uri: str) -> Verified:
    """Read an archive from its first to its last byte. Raises: as `verify`."""
    with tempfile.TemporaryDirectory(prefix="onerun-verify-") as name:
        if not uri.endswith(FOLDERS):
            return verify(uri, Path(name))
    with verified(uri) as (local, digest):
        return Verified(uri, digest, local.stat().st_size, {}, {}, local.parent)


def verify(uri: str, folder: Path) -> Verified:
    """Reads all of it; `folder` takes records and manifest. Raises: ArchiveDamaged, Mistakes when it is not there."""
    with streamed(uri) as file, (folder / "records").open("wb") as records:
        header = None
        with (folder / "seen").open("w+", encoding="utf-8") as seen:
            for member in members(file):  # type: ignore[arg-type]
                if member.name == MANIFEST:
                    counts = _compare(member, seen, folder / "manifest")
                    break
                if header is None:
                    header = read_header(member)
                _take(member, records if member.name.startswith("records/") else None)
                seen.write(json.dumps(member.line()) + "\n")
            else:
                raise ArchiveDamaged(f"{uri} has no manifest: it was cut off, or never finished")
        digest = file.digest()
    if header is None:
        raise ArchiveDamaged(f"{uri} has no {HEADER}")
    named = NAMED.search(uri)
    if named and not digest.startswith(named[1]):
        raise ArchiveDamaged(
            f"{uri} is not what was written: its name says {named[1]}, its content {digest[:12]}"
        )
    return Verified(uri, digest, file.bytes, header, counts, folder)


def _take(member: Member, into: IO[bytes] | None) -> None:
    for block in member.blocks():
        if into:
            into.write(block)


def _compare(manifest: Member, seen: IO[str], keep: Path) -> dict[str, int]:
    """Line by line, in the order of the members. Returns: the counts of the manifest's last line."""
    with keep.open("wb") as into:
        _take(manifest, into)
    seen.seek(0)
    with keep.open(encoding="utf-8") as lines:
        for text in lines:
            with damage_told(MANIFEST):
                said = json.loads(text)
            if "counts" in said:
                break
            _require_same(said, seen.readline())
        else:
            raise ArchiveDamaged("the archive's manifest is cut off")
    if extra := seen.readline():
        raise ArchiveDamaged(
            f"member {json.loads(extra)['name']!r} is not in the archive's manifest"
        )
    return dict(said["counts"])


def _require_same(said: dict[str, Any], found_text: str) -> None:
    if not found_text:
        raise ArchiveDamaged(
            f"member {said.get('name')!r} is missing: the manifest has it, the archive does not"
        )
    found = json.loads(found_text)
    if found["name"] != said.get("name"):
        raise ArchiveDamaged(
            f"member {said.get('name')!r} is missing: {found['name']!r} stands in its place"
        )
    if found != said:
        raise ArchiveDamaged(
            f"member {said['name']!r} is not what was written: its checksum or size is another"
        )
