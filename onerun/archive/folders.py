"""Folders of a file store, as they are: packed into an archive, and brought back from one.

It is what no store can read, too. `tar xzf` unpacks such an archive into its place.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from onerun import storage
from onerun.archive import artifacts, repository
from onerun.archive.container import Member, MemberType, Writer, listed, members
from onerun.archive.verify import streamed, verify
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import HEADER, Archive, Content, Restored
from onerun.domain.errors import ArchiveDamaged
from onerun.tracking.database import identity_of

SHOWN = 200  # files that differ
DRAFTS = ".onerun-restoring"  # folder of the store in which files are made; whole ones are linked


def back_up(
    root: Path,
    folders: Iterable[Path],
    destination: str,
    label: str,
    without_unreadable: bool = False,
) -> Archive:
    """Pack folders below `root` into one file in `destination` and read it back.

    Args:
        root: the folder that names in the archive are relative to.
        folders: what is packed, with everything in it; nothing behind links.
        destination: a folder or s3://bucket/prefix.
        label: how the archive's name begins.
        without_unreadable: leave out what may not be read, with a note; otherwise it is a mistake.

    Raises:
        ArchiveDamaged: something changed meanwhile; there is no archive then.
        Mistakes: something cannot be read or written.
    """
    unreadable: list[str] | None = [] if without_unreadable else None

    def write(draft: Path, work: Path, at: datetime) -> list[str]:
        header = {"written": at.isoformat(), "store": str(root)}
        with storage.translated_errors(str(root)), draft.open("wb") as file:
            with Writer(file, work, Content.FOLDERS, header) as writer:
                for path in (path for folder in folders for path in _below(folder, unreadable)):
                    with _explained(path, unreadable):
                        writer.add_path(path, path.relative_to(root).as_posix())
                writer.finish({"files": writer.files, "file bytes": writer.bytes})
            file.flush()
            os.fsync(file.fileno())
        return unreadable or []

    identity = identity_of(str(root))
    return repository.publish(destination, label, identity, repository.FOLDERS, write)


def _below(folder: Path, unreadable: list[str] | None) -> Iterator[Path]:
    """Yield the folder and all that is in it, nothing behind links."""

    def refused(error: OSError) -> None:
        with _explained(folder, unreadable):
            raise error

    for base, names, files in os.walk(folder, onerror=refused):
        names.sort()
        links = (path for name in names if os.path.islink(path := Path(base, name)))  # noqa: PTH114
        yield from (Path(base), *(Path(base, name) for name in sorted(files)), *links)


@contextmanager
def _explained(path: Path, unreadable: list[str] | None) -> Iterator[None]:
    """Note what may not be read. Raises: ArchiveDamaged: what is not there any more."""
    try:
        yield
    except PermissionError as error:
        if unreadable is None:
            raise
        unreadable.append(f"could not be read: {error}")
    except FileNotFoundError:
        raise ArchiveDamaged(
            f"{path} changed while it was archived; nothing else was done: run it again"
        ) from None


@dataclass
class _Unpacked:
    """What was, or would be, unpacked."""

    files: Counter[str] = field(default_factory=Counter)  # new, same, differs
    bytes: int = 0  # of the new ones
    differing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def restore_folders(uri: str, to: str, apply: bool = False) -> Restored:
    """Bring back files that the folder `to` lacks; existing ones are never touched.

    Files get their times and rights; links, pipes and the like are left out.

    Args:
        uri: the archive.
        to: the folder that its names are relative to, such as ./mlruns.
        apply: write; otherwise only say what would be written.

    Raises:
        ArchiveDamaged: before anything is written.
        Mistakes: there is no such folder or archive, or the archive holds no folders.
    """
    target = Path(to.removeprefix("file://")).expanduser().absolute()
    done = _Unpacked()
    with repository.workplace("s3://") as work:
        verified = verify(uri, work)
        if verified.content != Content.FOLDERS:
            raise Mistakes([Mistake("--to", f"{uri} holds records, no folders: leave --to out")])
        if not target.is_dir():
            advice = f"{target}: no such folder; make it first when it is the right one"
            raise Mistakes([Mistake("--to", advice)])
        with storage.translated_errors(str(target)), streamed(uri) as file:
            found = zip(listed(verified.manifest), members(file), strict=False)
            _unpack(found, target, apply, done)
    return Restored(
        uri=uri,
        applied=apply,
        found={"files": dict(done.files)},
        bytes=done.bytes,
        differing=tuple(done.differing[:SHOWN]),
        places=(str(target),),
        notes=tuple(done.notes),
    )


def _unpack(
    found: Iterable[tuple[dict[str, Any], Member]], target: Path, apply: bool, done: _Unpacked
) -> None:
    made: list[tuple[Path, Member]] = []
    for line, member in found:
        if line["name"] != member.name:
            raise ArchiveDamaged("the archive changed while it was restored")
        if member.name == HEADER:
            continue
        if member.type == MemberType.FILE:
            _unpack_file(member, line["sha256"], target, apply, done)
        elif member.type != MemberType.FOLDER:
            done.notes.append(f"{member.name} is a link or no file: left out; `tar` brings it")
        elif apply and _make_folder(target, member.name):
            made.append((target / member.name, member))
    for path, member in reversed(made):  # what was written into a folder changed its time
        _set_times(path, member)
    shutil.rmtree(target / DRAFTS, ignore_errors=True)


def _make_folder(target: Path, name: str) -> bool:
    """Make a folder where there is nothing. Return whether it did."""
    if not _is_reachable(target, name) or os.path.lexists(target / name):
        return False
    (target / name).mkdir(parents=True)
    return True


def _unpack_file(member: Member, sha256: str, target: Path, apply: bool, done: _Unpacked) -> None:
    place = target / member.name
    reachable = _is_reachable(target, member.name)
    if reachable and not os.path.lexists(place):
        done.files["new"] += 1
        done.bytes += member.size
        if apply:
            _write(member, sha256, target, place)
        return
    if reachable and _is_same(member.size, sha256, place):
        done.files["same"] += 1
    else:
        done.files["differs"] += 1
        done.differing.append(str(place))


def _is_reachable(target: Path, name: str) -> bool:
    """Return whether the way there leads through folders alone, as far as it exists: no link."""
    parts = Path(name).parts
    way = [target.joinpath(*parts[:count]) for count in range(1, len(parts))]
    return all(not path.is_symlink() and (path.is_dir() or not path.exists()) for path in way)


def _is_same(size: int, sha256: str, place: Path) -> bool:
    if place.is_symlink() or not place.is_file():
        return False
    return artifacts.digest(str(place), size) == sha256


def _write(member: Member, sha256: str, target: Path, place: Path) -> None:
    """Link a whole file to its place, or fail: nothing is replaced, no file is there in part."""
    draft = target / DRAFTS / uuid4().hex
    draft.parent.mkdir(exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as copy:
        for block in member.blocks():
            copy.write(block)
    if member.line()["sha256"] != sha256:
        raise ArchiveDamaged(f"{member.name}: the archive changed while it was restored")
    _set_times(draft, member)
    place.hardlink_to(draft)
    draft.unlink()


def _set_times(path: Path, member: Member) -> None:
    path.chmod(member.mode)
    os.utime(path, (member.modified, member.modified))
