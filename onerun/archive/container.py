"""The file of an archive: a compressed tar that any tool reads, its manifest last, written and read as a stream.

The manifest has a line per member (name, size, SHA-256), in their order, and a last line with the counts. Header and
manifest are members too; only whoever has read up to the manifest's last line knows that the archive is whole.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from onerun.domain.archives import FORMAT, FORMAT_VERSION, HEADER, MANIFEST, split_member
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


class Writer:
    """Adds members; `finish` makes it an archive. The manifest waits in a file of `folder`."""

    def __init__(self, file: IO[bytes], folder: Path, header: Mapping[str, Any]) -> None:
        """Begins with the header."""
        self._zip = gzip.GzipFile(
            fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0, filename=""
        )
        self._tar = tarfile.open(  # noqa: SIM115 - `finish` closes it
            fileobj=self._zip, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK
        )
        self._manifest = (folder / "manifest").open("w+", encoding="utf-8")
        self.files = self.bytes = 0
        self.add_bytes(
            HEADER, json.dumps({"format": FORMAT, "version": FORMAT_VERSION, **header}).encode()
        )

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """After a failure everything is let go of; what was written is no archive."""
        if kind is not None:
            for stream in (self._manifest, self._tar, self._zip):
                with suppress(OSError, ValueError):
                    stream.close()

    def add(self, name: str, size: int, source: IO[bytes]) -> None:
        """Adds one member of exactly `size` bytes. Raises: ArchiveDamaged when the source has fewer or more."""
        digest, left = hashlib.sha256(), size

        class Hashed(io.RawIOBase):
            def read(self, wanted: int = -1) -> bytes:
                nonlocal left
                block = source.read(min(wanted, left) if wanted >= 0 else left)
                digest.update(block)
                left -= len(block)
                return block

        try:
            self._tar.addfile(_info(name, size), cast("IO[bytes]", Hashed()))
        except OSError as error:
            if "unexpected end of data" not in str(error):
                raise
        self._tar.members.clear()  # type: ignore[attr-defined] # it would remember every one
        if left or source.read(1):
            raise ArchiveDamaged(
                f"{name} changed while it was read: run the backup again when nobody writes to it"
            )
        line = {"name": name, "size": size, "sha256": digest.hexdigest()}
        self._manifest.write(json.dumps(line) + "\n")
        self.files += split_member(name) is not None
        self.bytes += size if split_member(name) else 0

    def add_bytes(self, name: str, content: bytes) -> None:
        """Adds a small member."""
        self.add(name, len(content), io.BytesIO(content))

    def finish(self, counts: Mapping[str, int]) -> None:
        """Adds the manifest and closes the stream, not the file below it."""
        self._manifest.write(json.dumps({"counts": dict(counts)}) + "\n")
        self._manifest.flush()
        with Path(self._manifest.name).open("rb") as source:
            self._tar.addfile(_info(MANIFEST, Path(self._manifest.name).stat().st_size), source)
        self._manifest.close()
        self._tar.close()
        self._zip.close()


def _info(name: str, size: int) -> tarfile.TarInfo:
    """No user, no time: the same content gives the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


class Member:
    """One member while the archive streams by: read it before the next one."""

    def __init__(self, name: str, size: int, source: IO[bytes]) -> None:
        self.name, self.size, self._source = name, size, source
        self._digest, self._read = hashlib.sha256(), 0

    def blocks(self) -> Iterator[bytes]:
        """Yields: the rest of the content. Raises: ArchiveDamaged when the archive ends before."""
        with damage_told(self.name):
            while block := self._source.read(BLOCK):
                self._digest.update(block)
                self._read += len(block)
                yield block
        if self._read != self.size:
            raise ArchiveDamaged(
                f"the archive is cut off in {self.name}: {self._read} of {self.size} bytes"
            )

    def line(self) -> dict[str, Any]:
        """Reads what is left. Returns: what the manifest must say of it."""
        for _ in self.blocks():
            pass
        return {"name": self.name, "size": self.size, "sha256": self._digest.hexdigest()}


def members(file: IO[bytes]) -> Iterator[Member]:
    """Yields: the members as they come. Raises: ArchiveDamaged for what is no archive of ours."""
    last = "its beginning"
    with damage_told(last):
        tar: Any = tarfile.open(  # noqa: SIM115 - the stream below it is the caller's
            fileobj=gzip.GzipFile(fileobj=file, mode="rb"), mode="r|", bufsize=BLOCK
        )
    while True:
        with damage_told(f"what follows {last}"):
            info = tar.next()
        if info is None:
            return
        source = tar.extractfile(info) if info.isreg() else None
        if source is None:
            raise ArchiveDamaged(
                f"member {info.name[:200]!r} is a link or no file: nothing was restored"
            )
        split_member(info.name)
        yield Member(info.name, info.size, source)
        last = info.name
        tar.members.clear()  # it would remember every one


def listed(manifest: Path) -> Iterator[dict[str, Any]]:
    """Yields: the lines of a verified archive's manifest, one per member."""
    with manifest.open(encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            if "counts" not in line:
                yield line


@contextmanager
def damage_told(what: str) -> Iterator[None]:
    """Within the block, what unpacking says of damage becomes a sentence that names the place."""
    try:
        yield
    except BROKEN as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ArchiveDamaged(f"the archive is damaged at {what}: {reason}") from None


def read_header(member: Member) -> dict[str, Any]:
    """Returns: the header. Raises: ArchiveDamaged when the first member is none, or of a format not known here."""
    content = (
        b"".join(member.blocks()) if member.name == HEADER and member.size <= BLOCK else b"null"
    )
    with damage_told(HEADER):
        header = json.loads(content)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ArchiveDamaged(
            "this is a tar file, but no archive of a store: its first member is not our header"
        )
    if header.get("version") != FORMAT_VERSION:
        raise ArchiveDamaged(
            f"the archive's format is version {header.get('version')!r}, and this program reads {FORMAT_VERSION}: "
            "use the version of the program that wrote it, or a newer one"
        )
    return header
