"""The file of an archive: a compressed tar with a manifest, written and read as a stream.

Its first member is the header: format, version, what it holds. Its last one is the manifest: a line
for each member (name, size, SHA-256), in their order, then the counts. Only who has read up to the
last line knows that the archive is whole. Any tool unpacks it.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol, cast

from onerun.domain.archives import (
    FORMAT,
    HEADER,
    MANIFEST,
    VERSIONS,
    Content,
    split_member,
)
from onerun.domain.errors import ArchiveDamaged

BLOCK = 2**20
LEVEL = 4  # twice as fast as the default, a few percent larger
BROKEN = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    UnicodeDecodeError,
    OverflowError,
    ValueError,
)


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""


class MemberType(StrEnum):
    """What a member of the tar is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


def _type_of(info: tarfile.TarInfo) -> MemberType:
    if info.isreg():
        return MemberType.FILE
    if info.isdir():
        return MemberType.FOLDER
    return MemberType.LINK if info.issym() else MemberType.OTHER


class Writer:
    """Adds members; `finish` makes it an archive. The manifest waits in a file of `folder`."""

    def __init__(
        self, file: IO[bytes], folder: Path, content: Content, header: Mapping[str, Any]
    ) -> None:
        """Begin with the header."""
        self._zip = gzip.GzipFile(
            fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0, filename=""
        )
        self._tar: Any = tarfile.open(  # noqa: SIM115 - `finish` closes it
            fileobj=self._zip, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK
        )
        self._manifest = (folder / "manifest").open("w+", encoding="utf-8")
        self._content = content
        self.files = self.bytes = 0
        said = {"format": FORMAT, "version": VERSIONS[content], **header}
        if content == Content.FOLDERS:
            said["content"] = content
        self.add_bytes(HEADER, json.dumps(said).encode())

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close everything after a failure; what was written is not an archive."""
        if kind is not None:
            for stream in (self._manifest, self._tar, self._zip):
                with suppress(OSError, ValueError):
                    stream.close()

    def add(self, name: str, size: int, source: IO[bytes]) -> None:
        """Add a file of exactly `size` bytes. Raises: ArchiveDamaged: it has fewer or more."""
        info = tarfile.TarInfo(name)  # no user, no time: the same content gives the same bytes
        info.size, info.mode = size, 0o644
        self._add_file(info, source)

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add a small file."""
        self.add(name, len(content), io.BytesIO(content))

    def add_path(self, path: Path, name: str) -> None:
        """Add a file, folder or link as it is, with its times and rights; sockets are left out.

        Raises: ArchiveDamaged: a file that changed while it was read.
        """
        info = self._tar.gettarinfo(path, name)
        self._tar.inodes = {}  # a file with two names would become a link to the other name
        if info is None:
            return
        if not info.isreg():
            self._tar.addfile(info)
            self._list({"name": name, "type": _type_of(info), "target": info.linkname})
            return
        with path.open("rb") as file:
            self._add_file(info, file)
            now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime) != (info.size, info.mtime):
            raise _changed(name)

    def _add_file(self, info: tarfile.TarInfo, source: IO[bytes]) -> None:
        exact = _Exact(source, info)
        self._tar.addfile(info, cast("IO[bytes]", exact))
        if source.read(1):
            raise _changed(info.name)
        digest = exact.digest.hexdigest()
        self._list({"name": info.name, "size": info.size, "sha256": digest})
        if self._is_counted(info.name):
            self.files += 1
            self.bytes += info.size

    def _is_counted(self, name: str) -> bool:
        if self._content == Content.FOLDERS:
            return name != HEADER
        return split_member(name) is not None

    def _list(self, line: Mapping[str, Any]) -> None:
        self._tar.members.clear()  # it would remember every one
        self._manifest.write(json.dumps(line) + "\n")

    def finish(self, counts: Mapping[str, int]) -> None:
        """Add the manifest and close the stream, not the file below it."""
        self._manifest.write(json.dumps({"counts": dict(counts)}) + "\n")
        self._manifest.flush()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = Path(self._manifest.name).stat().st_size, 0o644
        with Path(self._manifest.name).open("rb") as source:
            self._tar.addfile(info, source)
        self._manifest.close()
        self._tar.close()
        self._zip.close()


class _Exact(io.RawIOBase):
    """Reads exactly the bytes of a member from a source, and takes their digest."""

    def __init__(self, source: IO[bytes], info: tarfile.TarInfo) -> None:
        self._source, self._name, self._left = source, info.name, info.size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on. Raises: ArchiveDamaged: the source ends too early."""
        expected = self._left if size < 0 else min(size, self._left)
        block = self._source.read(expected)
        if len(block) < expected:
            raise _changed(self._name)
        self.digest.update(block)
        self._left -= expected
        return block


def _changed(name: str) -> ArchiveDamaged:
    return ArchiveDamaged(
        f"{name} changed while it was archived; nothing else was done: "
        "run it again when it is not written to"
    )


class Member:
    """One member while the archive streams by: read it before the next one."""

    def __init__(self, info: tarfile.TarInfo, source: IO[bytes] | None) -> None:
        self.name, self.size, self.type = info.name, info.size, _type_of(info)
        self.mode, self.modified = info.mode & 0o777, info.mtime
        self._target = info.linkname
        self._source = source
        self._digest, self._read = hashlib.sha256(), 0

    def blocks(self) -> Iterator[bytes]:
        """Yield the rest of the content. Raises: ArchiveDamaged: the archive ends before."""
        if self._source is None:
            return
        with damage_named(self.name):
            while block := self._source.read(BLOCK):
                self._digest.update(block)
                self._read += len(block)
                yield block
        if self._read != self.size:
            raise ArchiveDamaged(
                f"the archive is cut off in {self.name}: {self._read} of {self.size} bytes"
            )

    def line(self) -> dict[str, Any]:
        """Read what is left. Return what the manifest must say of this member."""
        for _ in self.blocks():
            pass
        if self.type == MemberType.FILE:
            return {"name": self.name, "size": self.size, "sha256": self._digest.hexdigest()}
        return {"name": self.name, "type": str(self.type), "target": self._target}


def members(file: Readable) -> Iterator[Member]:
    """Yield the members as they come. Raises: ArchiveDamaged: it is not a compressed tar.

    Unpacked by gzip, bit by bit: tarfile itself makes a gigabyte of a block of zeros at once.
    """
    last = "its beginning"
    with damage_named(last):
        tar: Any = tarfile.open(  # noqa: SIM115 - the stream below it is the caller's
            fileobj=gzip.GzipFile(fileobj=cast("IO[bytes]", file), mode="rb"),
            mode="r|",
            bufsize=BLOCK,
        )
    while True:
        with damage_named(f"what follows {last}"):
            info = tar.next()
        if info is None:
            return
        yield Member(info, tar.extractfile(info) if info.isreg() else None)
        last = info.name
        tar.members.clear()  # it would remember every one


def listed(manifest: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a verified archive's manifest, one per member."""
    with manifest.open(encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            if "counts" not in line:
                yield line


@contextmanager
def damage_named(what: str) -> Iterator[None]:
    """Turn what unpacking says of damage into a sentence that names the place."""
    try:
        yield
    except BROKEN as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ArchiveDamaged(f"the archive is damaged at {what}: {reason}") from None


def read_header(member: Member) -> dict[str, Any]:
    """Return the header. Raises: ArchiveDamaged: it is none, or of an unknown format."""
    content = b"null"
    if member.name == HEADER and member.size <= BLOCK:
        content = b"".join(member.blocks())
    with damage_named(HEADER):
        header = json.loads(content)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ArchiveDamaged(
            "this is a tar file, but no archive of a store: its first member is not our header"
        )
    if header.get("version") not in VERSIONS.values():
        known = " and ".join(map(str, sorted(VERSIONS.values())))
        raise ArchiveDamaged(
            f"the archive's format is version {header.get('version')!r}, and this program reads "
            f"{known}: use the version of the program that wrote it, or a newer one"
        )
    return header
