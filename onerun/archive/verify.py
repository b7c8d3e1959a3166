"""Verifying: an archive read from its first to its last byte, against its manifest and its name."""

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
from onerun.archive import old_folders
from onerun.archive.container import (
    BLOCK,
    Member,
    MemberType,
    damage_named,
    members,
    read_header,
)
from onerun.domain.archives import HEADER, MANIFEST, Content, inside, split_member
from onerun.domain.errors import ArchiveDamaged

DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{12})(?:\.folders)?\.tar\.gz$")  # its beginning


@dataclass(frozen=True)
class Verified:
    """A whole archive; its records and its manifest lie unpacked in `folder`."""

    uri: str
    digest: str
    bytes: int
    content: Content
    header: dict[str, Any]
    counts: dict[str, int]
    folder: Path = field(repr=False)

    @property
    def records(self) -> Path:
        """Return the file of records: JSON lines, a few rows of one record each."""
        return self.folder / "records"

    @property
    def manifest(self) -> Path:
        """Return the file of the manifest: JSON lines, one per member, then the counts."""
        return self.folder / "manifest"


class Hashed:
    """A file that takes the digest of all that is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self.bytes = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        block = self._file.read(size)
        self._digest.update(block)
        self.bytes += len(block)
        return block

    def digest(self) -> str:
        """Read what is left. Return the digest of all of it."""
        while self.read(BLOCK):
            pass
        return self._digest.hexdigest()


@contextmanager
def streamed(uri: str) -> Iterator[Hashed]:
    """Open the archive's bytes. Raises: Mistakes: there is no such file."""
    with storage.translated_errors(uri), storage.open_input(uri) as file:
        yield Hashed(file)


def read_back(uri: str) -> Verified:
    """Verify an archive of which only digest, header and counts are needed. Raises: as `verify`."""
    with tempfile.TemporaryDirectory(prefix="onerun-verify-") as name:
        return verify(uri, Path(name))


def verify(uri: str, folder: Path) -> Verified:
    """Read all of an archive; `folder` takes records and manifest.

    Raises:
        ArchiveDamaged: it is not whole, or not an archive.
        Mistakes: it does not exist.
    """
    with streamed(uri) as file:
        stream = members(file)
        first = next(stream, None)
        if first is None:
            raise ArchiveDamaged(f"{uri} has no {HEADER}")
        if old_folders.is_one(uri, first):
            header, content = {}, Content.FOLDERS
            counts = old_folders.check(uri, first, stream, folder / "manifest")
        else:
            header = read_header(first)
            content = _content_of(header)
            counts = _check(uri, first, stream, content, folder)
        digest = file.digest()
    named = DIGEST_IN_NAME.search(uri)
    if named and not digest.startswith(named[1]):
        raise ArchiveDamaged(
            f"{uri}: its SHA-256 is {digest[:12]}..., which is not what its name says"
        )
    return Verified(uri, digest, file.bytes, content, header, counts, folder)


def _content_of(header: dict[str, Any]) -> Content:
    try:
        return Content(header.get("content", Content.RECORDS))
    except ValueError:
        raise ArchiveDamaged(
            f"the archive holds {header['content']!r}, which this program does not know"
        ) from None


def _check(
    uri: str, header: Member, stream: Iterator[Member], content: Content, folder: Path
) -> dict[str, int]:
    """Compare members and manifest. Return the counts."""
    with (
        (folder / "records").open("wb") as records,
        (folder / "seen").open("w+", encoding="utf-8") as seen,
    ):
        seen.write(json.dumps(header.line()) + "\n")
        for member in stream:
            if member.name == MANIFEST:
                return _compare(member, seen, folder / "manifest")
            _require_known(member, content)
            if content == Content.RECORDS and member.name.startswith("records/"):
                _copy(member, records)
            seen.write(json.dumps(member.line()) + "\n")
    raise ArchiveDamaged(f"{uri} has no manifest: it was cut off, or never finished")


def _require_known(member: Member, content: Content) -> None:
    """Raise ArchiveDamaged for a name or a type that an archive of ours does not have."""
    if content == Content.FOLDERS:
        require_inside(member)
    elif member.type != MemberType.FILE:
        raise ArchiveDamaged(
            f"member {member.name[:200]!r} is a link or no file: nothing was restored"
        )
    else:
        split_member(member.name)


def require_inside(member: Member) -> None:
    """Raise ArchiveDamaged for a name that leads out of the folder that it is unpacked into."""
    if not inside(member.name):
        raise ArchiveDamaged(
            f"member {member.name[:200]!r} would lie outside of the folder: nothing was restored"
        )


def _copy(member: Member, into: IO[bytes]) -> None:
    for block in member.blocks():
        into.write(block)


def _compare(manifest: Member, seen: IO[str], keep: Path) -> dict[str, int]:
    """Compare line by line, in the order of the members. Return the counts of the last line."""
    with keep.open("wb") as into:
        _copy(manifest, into)
    seen.seek(0)
    with keep.open(encoding="utf-8") as lines:
        for text in lines:
            with damage_named(MANIFEST):
                expected = json.loads(text)
            if "counts" in expected:
                break
            _require_same(expected, seen.readline())
        else:
            raise ArchiveDamaged("the archive's manifest is cut off")
    if extra := seen.readline():
        raise ArchiveDamaged(
            f"member {json.loads(extra)['name']!r} is not in the archive's manifest"
        )
    return dict(expected["counts"])


def _require_same(expected: dict[str, Any], found_text: str) -> None:
    name = expected.get("name")
    if not found_text:
        raise ArchiveDamaged(
            f"member {name!r} is missing: the manifest has it, the archive does not"
        )
    found = json.loads(found_text)
    if found["name"] != name:
        raise ArchiveDamaged(f"member {name!r} is missing: {found['name']!r} stands in its place")
    if found != expected:
        raise ArchiveDamaged(
            f"member {name!r} is not what was written: its checksum or size is another"
        )
