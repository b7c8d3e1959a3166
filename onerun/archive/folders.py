"""Folders as they are in a compressed tar: `tar xzf` unpacks it, `sha256sum -c` checks it. What no store can read too.

Its last member lists the SHA-256 of every file. Whatever an archive holds, one file at a time is in memory.
"""

import gzip
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from onerun import storage
from onerun.archive import keeping
from onerun.archive.container import BLOCK, LEVEL, damage_told
from onerun.domain.errors import ArchiveDamaged
from onerun.tracking.database import identity_of

LIST = "SHA256SUMS"


def back_up(
    root: Path,
    folders: Iterable[Path],
    destination: str,
    label: str,
    without_unreadable: bool = False,
) -> tuple[str, str, list[str]]:
    """Packs folders below `root` into one file in `destination`, a folder or s3://bucket/prefix, and reads it back.

    Args: without_unreadable: what may not be read is left out and told; otherwise it is a mistake.

    Returns: address, SHA-256 and notes. Raises: Mistakes; ArchiveDamaged when something changed meanwhile: there is no
    archive then.
    """
    destination = keeping.place_of(destination)
    notes = keeping.prepare(destination)
    unreadable: list[str] | None = [] if without_unreadable else None
    with keeping.workplace(destination) as work:
        draft = work / "draft"
        with storage.translated_errors(str(root)), draft.open("wb") as file:
            _write(file, root, folders, unreadable)
            file.flush()
            os.fsync(file.fileno())
        verify(draft)
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = keeping.name_of(
            label, identity_of(str(root)), datetime.now(UTC), digest, keeping.FOLDERS
        )
        uri = storage.join(destination, name)
        keeping.put(draft, uri)
        if storage.is_s3(uri) and (arrived := _digest(uri)) != digest:
            raise ArchiveDamaged(
                f"{uri} is not what was sent: {arrived[:12]}, not {digest[:12]}; nothing else was done"
            )
    return uri, digest, notes + (unreadable or [])


def _digest(uri: str) -> str:
    found = hashlib.sha256()
    with storage.translated_errors(uri), storage.open_input(uri) as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _write(
    file: IO[bytes], root: Path, folders: Iterable[Path], unreadable: list[str] | None
) -> None:
    """Times and rights are kept; links stay links. The list is made from the disk, not from what was packed.

    Args: unreadable: is told what may not be read; None: that is a mistake.
    """
    with (
        tempfile.TemporaryFile() as sums,
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK) as tar,
    ):
        for path in (path for folder in folders for path in _below(folder, unreadable)):
            with _told(path, unreadable):
                sums.write(_add(tar, path, path.relative_to(root).as_posix()))
        info = tarfile.TarInfo(LIST)
        info.size = sums.tell()
        sums.seek(0)
        tar.addfile(info, sums)


def _below(folder: Path, unreadable: list[str] | None) -> Iterator[Path]:
    """Yields: the folder and all that is in it, nothing behind links."""

    def refused(error: OSError) -> None:
        with _told(folder, unreadable):
            raise error

    for base, names, files in os.walk(folder, onerror=refused):
        names.sort()
        links = (path for name in names if os.path.islink(path := Path(base, name)))  # noqa: PTH114 - told when entered
        yield from (Path(base), *(Path(base, name) for name in sorted(files)), *links)


@contextmanager
def _told(path: Path, unreadable: list[str] | None) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        if unreadable is None:
            raise
        unreadable.append(f"could not be read: {error}")
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and "unexpected end of data" not in str(error):
            raise
        raise ArchiveDamaged(
            f"{path} changed while it was archived; nothing else was done: run it again"
        ) from None


def _add(tar: tarfile.TarFile, path: Path, name: str) -> bytes:
    """Returns: the line of a file in the list; nothing for folders, links and pipes."""
    regular = path.is_file() and not path.is_symlink()
    line = b""
    if regular:
        with path.open("rb") as file:
            line = _line(name, hashlib.file_digest(file, "sha256").hexdigest())
    tar.add(path, name, recursive=False)
    _forget(tar)
    return line


def _forget(tar: Any) -> None:
    """It would remember every member, and write a file with two names as a link to the other one."""
    tar.members.clear()
    tar.inodes = {}


def _line(name: str, digest: str) -> bytes:
    """As `sha256sum` writes it."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n".encode(
        "utf-8", "surrogateescape"
    )


def verify(archive: Path) -> None:
    """Raises: ArchiveDamaged when it cannot be read, or its list does not say what it holds."""
    found, listed = hashlib.sha256(), ""
    for member, content in members(archive):
        if content is not None:
            digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
            listed = digest if member.name == LIST else ""
            found.update(b"" if listed else _line(member.name, digest))
    if listed != found.hexdigest():
        raise ArchiveDamaged(
            f"{archive}: what it holds is not what its list says: something changed while it was archived, or since"
        )


def members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yields: each member, and its content when it is a file, to be read before the next one. Raises: ArchiveDamaged.

    Unpacked by gzip, which does it bit by bit: tarfile itself makes a gigabyte of a block of zeros at once.
    """
    with (
        damage_told(str(archive)),
        gzip.open(archive) as packed,
        tarfile.open(fileobj=packed, mode="r|", bufsize=BLOCK) as tar,
    ):
        for member in tar:
            yield member, tar.extractfile(member) if member.isreg() else None
            _forget(tar)
