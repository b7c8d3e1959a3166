"""An archive of folders: a compressed tar that `tar xzf` unpacks, with checksums that `sha256sum -c` reads."""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import ArchiveDamaged
from tasks import storage

SUFFIX = ".folders.tar.gz"
LIST = "SHA256SUMS"


def back_up(root: Path, folders: Sequence[Path], destination: str, label: str) -> tuple[str, str]:
    """Args: folders: below `root`. Returns: the archive's address and SHA-256, read back before it is trusted.

    Raises: ArchiveDamaged when something changed meanwhile; there is no archive then.
    """
    with TemporaryDirectory(prefix="onerun-archive-") as name:
        draft = Path(name) / "draft"
        sums = _write(draft, root, folders)
        if verify(draft) != sums:
            raise ArchiveDamaged(f"{root} changed while it was archived; nothing was deleted: run it again")
        digest = hashlib.sha256(draft.read_bytes()).hexdigest()
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        place = destination if storage.is_s3(destination) else str(Path(destination).absolute())
        uri = storage.join(place, f"{label}-{at}-{digest[:12]}{SUFFIX}")
        storage.put_file(draft, uri)
    return uri, digest


def keep(destination: str, label: str, newest: int) -> list[str]:
    """Removes all but the `newest` archives of the label. Returns: what was removed, in words."""
    named = re.compile(rf"{re.escape(label)}-\d{{8}}T\d{{12}}Z-[0-9a-f]{{12}}{re.escape(SUFFIX)}")
    found = [uri for uri in storage.listed(destination) if named.fullmatch(uri.rpartition("/")[2])]
    for uri in found[:-newest]:
        storage.remove(uri)
    return [f"{uri} was removed: backups.keep is {newest}" for uri in found[:-newest]]


def _write(draft: Path, root: Path, folders: Iterable[Path]) -> dict[str, str]:
    sums: dict[str, str] = {}
    with tarfile.open(draft, "w:gz", compresslevel=4, format=tarfile.PAX_FORMAT) as tar:
        for folder in folders:
            for path in (folder, *sorted(folder.rglob("*"))):
                tar.add(path, path.relative_to(root).as_posix(), recursive=False)
                if path.is_file() and not path.is_symlink():
                    sums[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        text = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
        info = tarfile.TarInfo(LIST)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return sums


def verify(archive: Path) -> dict[str, str]:
    """Returns: name -> SHA-256 of every file, as read. Raises: ArchiveDamaged when the list says otherwise."""
    found: dict[str, str] = {}
    listed = None
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if member.name == LIST and source:
                    listed = dict(line.split("  ", 1)[::-1] for line in source.read().decode().splitlines())
                elif source:
                    found[member.name] = hashlib.sha256(source.read()).hexdigest()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ArchiveDamaged(f"{archive} cannot be read: {error}") from None
    if listed != found:
        raise ArchiveDamaged(f"{archive}: what it holds is not what its list says")
    return found


def restore(archive: Path, root: Path) -> int:
    """Brings folders back below `root`; what is there stays. Returns: how many files came back.

    Raises: ArchiveDamaged, before anything is written, also for members that would leave `root`.
    """
    verify(archive)
    count = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.name == LIST or (root / member.name).exists():
                continue
            try:
                tar.extract(member, root, filter="data")
            except tarfile.FilterError as error:
                raise ArchiveDamaged(f"{archive}: {error}") from None
            count += member.isreg()
    return count
