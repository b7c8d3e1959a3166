"""The old store as it is, in a compressed tar, before anything else: read back against what is on the disk."""

import gzip
import hashlib
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import ArchiveDamaged
from tasks import storage
from tasks.archives.container import BLOCK, LEVEL, damage_told


def back_up_raw(source: Path, folder: Path) -> tuple[Path, list[str]]:
    """Returns: the tar in `folder`, and in words what could not be read. Raises: ArchiveDamaged, Mistakes."""
    notes: list[str] = []
    draft = folder / ".raw.partial"
    with storage.explained(str(draft)), draft.open("wb") as file:
        with (
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0, filename="") as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK) as tar,
        ):
            count = _add(tar, source, notes)
        file.flush()
        os.fsync(file.fileno())
    digest = _verify(draft, count)
    final = folder / f"{source.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{digest[:12]}.tar.gz"
    draft.rename(final)
    return final, notes


def _add(tar: tarfile.TarFile, source: Path, notes: list[str]) -> int:
    """Returns: how many members. Times and rights are kept; links stay links."""
    count = 0
    for base, folders, files in os.walk(source, onerror=lambda error: notes.append(f"could not be read: {error}")):
        folders.sort()
        for path in [Path(base), *(Path(base, name) for name in sorted(files)), *_links(base, folders)]:
            try:
                tar.add(path, arcname=str(Path(source.name, path.relative_to(source))), recursive=False)
                tar.members.clear()  # type: ignore[attr-defined] # it would remember every one
                count += 1
            except PermissionError as error:
                notes.append(f"could not be read: {error}")
    return count


def _links(base: str, folders: list[str]) -> list[Path]:
    return [Path(base, name) for name in folders if Path(base, name).is_symlink()]


def _verify(draft: Path, count: int) -> str:
    """Returns: the SHA-256 of the file, which was read from beginning to end."""
    seen = 0
    # Unpacked by gzip, which does it bit by bit: tarfile itself makes a gigabyte of a block of zeros at once.
    with damage_told(str(draft)), gzip.open(draft) as file, tarfile.open(fileobj=file, mode="r|", bufsize=BLOCK) as tar:
        for _ in tar:
            seen += 1
            tar.members.clear()  # type: ignore[attr-defined] # it would remember every one
    if seen != count:
        raise ArchiveDamaged(f"{draft}: {seen} of {count} members were read back")
    with draft.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()
