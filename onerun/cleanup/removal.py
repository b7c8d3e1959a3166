"""Removing the artifacts of runs and logged models.

Never any other folder, and nothing that no archive holds.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from onerun import storage
from onerun.domain.cleanup.artifact_paths import below
from onerun.domain.errors import TerminalError
from onerun.store.artifact_paths import newest, real_address

ARTIFACTS = "artifacts"  # of a run or logged model: all that MLflow writes in its folder, and all that is archived
Tree = dict[str, "Tree | None"]  # name -> what is in it; None: it is no folder


class NotRemoved(TerminalError):
    """A folder that was to be removed is kept as it is; the message says why."""


class OutsideTheStore(NotRemoved):
    """It is not one of the store's own."""


class ChangedMeanwhile(NotRemoved):
    """It holds what no archive holds."""


def remove(location: str, folders: Iterable[str], archived: int, begun: bool = False) -> None:
    """Remove the artifacts of runs and logged models of one experiment; what is missing already is
    no mistake.

    What lies beside `artifacts` in such a folder is in no archive, and stays.

    Args:
        archived: when their archive was begun, in milliseconds since 1970; what changed after that
            stays.
        begun: a removal of them may have been killed.

    Raises: OutsideTheStore when one is not the experiment's own or is reached through a link;
        ChangedMeanwhile; NotRemoved when there is more in it; Mistakes when refused.
    """
    root = real_address(location)
    for folder in folders:
        parts = below(location, folder)
        if root is None or parts is None:
            raise OutsideTheStore(
                f"{folder} is not one of the own folders of {location}; it was left as it is"
            )
        if storage.is_s3(root):
            _remove_objects("/".join([root, *parts]), archived)
        else:
            _remove_local(root, parts, archived, begun)


def _remove_objects(place: str, archived: int) -> None:
    """What comes while they are removed stays: only what was looked at goes."""
    everything = list(storage.walk(place))
    found = [each for each in everything if each[0].startswith(f"{ARTIFACTS}/")]
    last = newest(found) or 0
    in_seconds = (
        last % 1000 == 0
    )  # as Amazon's store reports it: later in the same second does not show
    _need_unchanged(place, last, archived // 1000 * 1000 - 1 if in_seconds else archived)
    storage.remove_below(place, [path for path, _, _ in found])
    if len(found) < len(everything):
        raise NotRemoved(_more_in(place))


def _more_in(place: str) -> str:
    return f"{place} holds what no archive does; that was left"


def _need_unchanged(place: str, changed: int, archived: int) -> None:
    if changed > archived:
        raise ChangedMeanwhile(f"{place} was changed after it was archived; its files were left")


def _remove_local(root: str, parts: tuple[str, ...], archived: int, begun: bool) -> None:
    folder = "/".join((root, *parts))
    with storage.translated_errors(folder):
        try:
            _remove_artifacts(root, parts, archived, begun)
            os.rmdir(folder)  # noqa: PTH106
        except FileNotFoundError:
            pass  # missing already
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            raise NotRemoved(_more_in(folder)) from None


def _remove_artifacts(root: str, parts: tuple[str, ...], archived: int, begun: bool) -> None:
    """By handles: no other folder can take the place of one that was looked at.

    Only what was looked at goes.
    """
    place, handles = root, list[int]()
    try:
        for part in (*parts, ARTIFACTS):
            place = f"{place}/{part}"
            handles.append(
                _open(part, handles[-1], place) if handles else _open(place, None, place)
            )
        inspection = _Inspection(place, begun)
        changed, inside = inspection.at(handles[-1], place)
        changed = max(changed, inspection.of_folder(handles[-2]))
        _need_unchanged(place.removesuffix(f"/{ARTIFACTS}"), changed // 1_000_000, archived)
        _empty(handles[-1], inside)
        os.rmdir(ARTIFACTS, dir_fd=handles[-2])
    except FileNotFoundError:
        pass  # missing already
    finally:
        for handle in handles:
            os.close(handle)


def _open(name: str, within: int | None, place: str) -> int:
    """Return a handle of a folder, never of what a link points at. Raises: OutsideTheStore."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    except OSError:
        if stat.S_ISLNK(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
            text = f"{place} is a link; neither it nor what it points at was removed"
            raise OutsideTheStore(text) from None
        raise


@dataclass(frozen=True)
class _Inspection:
    """When artifacts changed last, and which of them were archived."""

    artifacts: str  # where they are
    begun: bool  # a removal of them may have been killed: that entries went is no change then

    def at(self, folder: int, place: str) -> tuple[int, Tree]:
        """Return when anything in the folder changed last, in nanoseconds since 1970; and what was
        archived of it.
        """
        newest, inside = self.of_folder(folder), Tree({})
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # missing already
                    if entry.is_dir(follow_symlinks=False):
                        with _opened(entry.name, folder) as inner:
                            changed, inside[entry.name] = self.at(inner, f"{place}/{entry.name}")
                        newest = max(newest, changed)
                    elif entry.is_file(follow_symlinks=False) or self._leads_inside(
                        f"{place}/{entry.name}"
                    ):
                        newest = max(newest, self._of_file(entry.stat(follow_symlinks=False)))
                        inside[entry.name] = None
        return newest, inside

    def of_folder(self, folder: int) -> int:
        """Return when an entry came or went, or the folder was moved; only the latter once a
        removal was begun.

        What came since then has times of its own.
        """
        about = os.fstat(folder)
        if self.begun and about.st_ctime_ns == about.st_mtime_ns:  # a move sets the former alone
            return 0
        return max(about.st_ctime_ns, about.st_mtime_ns)

    def _of_file(self, file: os.stat_result) -> int:
        """Its folder tells that it was moved there, but once a removal was begun only the file
        itself does.
        """
        return file.st_ctime_ns if self.begun and file.st_nlink == 1 else file.st_mtime_ns

    def _leads_inside(self, path: str) -> bool:
        """Return whether it is a link to one of the other artifacts; what it points at was
        archived, or is missing already.
        """
        return Path(path).is_symlink() and os.path.realpath(path).startswith(
            f"{os.path.realpath(self.artifacts)}/"
        )


def _empty(folder: int, inside: Tree) -> None:
    for name, deeper in inside.items():
        with suppress(FileNotFoundError):  # missing already
            if deeper is None:
                os.unlink(name, dir_fd=folder)
            else:
                with _opened(name, folder) as inner:
                    _empty(inner, deeper)
                _remove_folder(name, folder)


def _remove_folder(name: str, within: int) -> None:
    """One that holds more stays, and so do those above it."""
    try:
        os.rmdir(name, dir_fd=within)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


@contextmanager
def _opened(name: str, within: int) -> Iterator[int]:
    handle = _open(name, within, name)
    try:
        yield handle
    finally:
        os.close(handle)
