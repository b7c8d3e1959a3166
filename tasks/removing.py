"""Removing the artifacts of runs and logged models. Never any other folder, and nothing that no archive holds."""

import errno
import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from domain.errors import TerminalError
from domain.maintenance.prefixes import below
from tasks import storage
from tasks.prefixes import measured, newest, real_address

ARTIFACTS = "artifacts"  # of a run or logged model: all that MLflow writes in its folder, and all that is archived


class Left(TerminalError):
    """A folder that was to be removed was left as it is; why, it says."""


class OutsideTheStore(Left):
    """It is not one of the store's own."""


class ChangedMeanwhile(Left):
    """It holds what no archive holds."""


def remove(location: str, folders: Iterable[str], archived: int | None = None) -> None:
    """Removes the artifacts of runs and logged models of one experiment; what is gone already is no mistake.

    What lies beside `artifacts` in such a folder is in no archive, and stays.

    Args: archived: when their archive was begun, in milliseconds since 1970; what was written after that stays.
    Raises: OutsideTheStore when one is not the experiment's own or is reached through a link; ChangedMeanwhile;
        Left when there is more in it; Mistakes when refused.
    """
    root = real_address(location)
    for folder in folders:
        parts = below(location, folder)
        if root is None or parts is None:
            raise OutsideTheStore(f"{folder} is not one of the own folders of {location}; it was left as it is")
        if storage.is_s3(root):
            _remove_objects("/".join([root, *parts]), archived)
        else:
            _remove_local(root, parts, archived)


def _remove_objects(place: str, archived: int | None) -> None:
    """What comes while they are removed stays: only what was looked at goes."""
    everything = list(storage.walk(place))
    found = [each for each in everything if each[0].startswith(f"{ARTIFACTS}/")]
    if archived is not None:
        last = newest(found) or 0
        in_seconds = last % 1000 == 0  # as Amazon's store tells it: later in the same second is not told
        _need_unchanged(place, last, archived // 1000 * 1000 - 1 if in_seconds else archived)
    storage.remove_below(place, [path for path, _, _ in found])
    if len(found) < len(everything):
        raise Left(_more_in(place))


def _more_in(place: str) -> str:
    return f"{place} holds more than {ARTIFACTS}, which no archive holds; that was left"


def _need_unchanged(place: str, changed: int, archived: int) -> None:
    if changed > archived:
        raise ChangedMeanwhile(f"{place} was changed after it was archived; its files were left")


def _remove_local(root: str, parts: tuple[str, ...], archived: int | None) -> None:
    """Thousands of small folders are removed: addresses stay text, which costs a third."""
    path, folder = root, "/".join((root, *parts))
    for part in (*parts, ARTIFACTS):
        path = f"{path}/{part}"
        if os.path.islink(path):  # noqa: PTH114
            raise OutsideTheStore(f"{path} is a link; neither it nor what it points at was removed")

    def gone_already(_function: Any, _path: str, error: BaseException) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    with storage.explained(folder):
        if archived is not None:
            _need_unchanged(folder, measured(path)[1] or 0, archived)
        _rmtree(path, gone_already)
        _remove_emptied(folder)


def _remove_emptied(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise Left(_more_in(path)) from None


def _rmtree(path: str, handler: Any) -> None:
    """Never follows links (shutil works by directory handles); what is missing is gone already."""
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=handler)
    else:
        shutil.rmtree(path, onerror=lambda function, name, info: handler(function, name, info[1]))
