"""An archive of folders back into a store of files: what is not there is written, what is there is never touched."""

import hashlib
import os
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import uuid4

from onerun import storage
from onerun.archive import folders, keeping
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import Restored, inside
from onerun.domain.errors import ArchiveDamaged

_NAMED = re.compile(rf"-([0-9a-f]{{12}}){re.escape(keeping.FOLDERS)}$")
SHOWN = 200  # files that differ
DRAFTS = ".onerun-restoring"  # folder of the store in which files are made; whole ones are linked to their places


@dataclass
class Unpacked:
    """What came, or would come, back."""

    files: Counter[str] = field(default_factory=Counter)  # new, same, differs
    bytes: int = 0  # of the new ones
    differing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@contextmanager
def verified(archive: str) -> Iterator[tuple[Path, str]]:
    """Yields: the archive as a local file that was read as a whole, its SHA-256. Raises: ArchiveDamaged, Mistakes."""
    with keeping.workplace("s3://") as work:
        local = work / "archive" if storage.is_s3(archive) else Path(archive)
        if storage.is_s3(archive):
            with (
                storage.translated_errors(archive),
                storage.open_input(archive) as source,
                local.open("wb") as copy,
            ):
                shutil.copyfileobj(source, copy)
        with storage.translated_errors(archive), local.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        named = _NAMED.search(archive)
        if named and named[1] != digest[:12]:
            raise ArchiveDamaged(
                f"{archive}: its SHA-256 is {digest[:12]}..., which is not what its name says"
            )
        folders.verify(local)
        yield local, digest


def restore_folders(uri: str, to: str, apply: bool = False) -> Restored:
    """Bring back files that the file store `to` lacks. Raises: Mistakes, ArchiveDamaged."""
    target = Path(to.removeprefix("file://")).expanduser().absolute()
    with verified(uri) as (local, _):
        done = unpack(local, target, apply)
    return Restored(
        uri=uri,
        applied=apply,
        found={"files": dict(done.files)},
        bytes=done.bytes,
        differing=tuple(done.differing[:SHOWN]),
        places=(str(target),),
        notes=tuple(done.notes),
    )


def unpack(archive: Path, target: Path, apply: bool) -> Unpacked:
    """Args: archive: a verified one; target: the folder that its names are relative to, such as ./mlruns.

    Files get their times and rights; links, pipes and the like are left out. Raises: Mistakes, ArchiveDamaged.
    """
    if not target.is_dir():
        raise Mistakes(
            [Mistake("--to", f"{target}: no such folder; make it first when it is the right one")]
        )
    done = Unpacked()
    made: list[tuple[Path, tarfile.TarInfo]] = []
    with storage.translated_errors(str(target)):
        for member, content in folders.members(archive):
            if not inside(member.name):
                raise ArchiveDamaged(
                    f"{member.name!r} would lie outside of {target}; nothing more was unpacked"
                )
            if content is not None:
                _file(member, content, target, apply, done)
            elif not member.isdir():
                done.notes.append(f"{member.name} is a link or no file: left out; `tar` brings it")
            elif apply and _folder(target, member.name):
                made.append((target / member.name, member))
        for path, member in reversed(made):  # what was written into a folder changed its time
            _as_it_was(path, member)
    shutil.rmtree(target / DRAFTS, ignore_errors=True)
    return done


def _folder(target: Path, name: str) -> bool:
    """Returns: whether it was made: it was not there, and the way there leads through folders alone."""
    if not _reached(target, name) or os.path.lexists(target / name):
        return False
    (target / name).mkdir(parents=True)
    return True


def _file(
    member: tarfile.TarInfo, content: IO[bytes], target: Path, apply: bool, done: Unpacked
) -> None:
    if member.name == folders.LIST:
        return
    place = target / member.name
    reached = _reached(target, member.name)
    if not reached or os.path.lexists(place):
        same = reached and _is_same(member, content, place)
        done.files["same" if same else "differs"] += 1
        done.differing += [] if same else [str(place)]
        return
    done.files["new"] += 1
    done.bytes += member.size
    if apply:
        _write(member, content, target, place)


def _reached(target: Path, name: str) -> bool:
    """Whether the way there leads through folders alone, as far as it exists: never through a link."""
    way = [target.joinpath(*Path(name).parts[:count]) for count in range(1, len(Path(name).parts))]
    return all(not path.is_symlink() and (path.is_dir() or not path.exists()) for path in way)


def _is_same(member: tarfile.TarInfo, content: IO[bytes], place: Path) -> bool:
    if place.is_symlink() or not place.is_file() or place.stat().st_size != member.size:
        return False
    with place.open("rb") as file:
        there = hashlib.file_digest(file, "sha256").digest()
    return hashlib.file_digest(content, "sha256").digest() == there  # type: ignore[arg-type]


def _write(member: tarfile.TarInfo, content: IO[bytes], target: Path, place: Path) -> None:
    """A link is made where there is none, or fails: nothing is ever replaced, and no file is there in part."""
    draft = target / DRAFTS / uuid4().hex
    draft.parent.mkdir(exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as copy:
        shutil.copyfileobj(content, copy)
    _as_it_was(draft, member)
    place.hardlink_to(draft)
    draft.unlink()


def _as_it_was(path: Path, member: tarfile.TarInfo) -> None:
    path.chmod(member.mode & 0o777)
    os.utime(path, (member.mtime, member.mtime))
