"""Exclusive locks between processes of one machine; the system frees those of a killed process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def exclusive_lock(file: Path, wait: bool = True, remove: bool = False) -> Iterator[IO[str]]:
    """Hold the lock on a file within the block.

    Args:
        file: stands for what is locked; its folder exists, it is made where it is missing.
        wait: wait for another holder.
        remove: remove the file afterwards; all holders of this lock must ask for the same.

    Yields: the open file, for what the holder writes about itself.
    Raises: BlockingIOError when another holds the lock and `wait` is false.
    """
    held = _locked(file, wait)
    while remove and not _has_name(file, held):
        held.close()  # removed by the holder before: a lock on it would exclude no one
        held = _locked(file, wait)
    try:
        yield held
    finally:
        if remove:
            file.unlink(missing_ok=True)
        held.close()


def _locked(file: Path, wait: bool) -> IO[str]:
    """Return the open file, locked."""
    held = file.open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        held.close()
        raise
    return held


def _has_name(file: Path, held: IO[str]) -> bool:
    """Return whether the open file is still the one of that name."""
    try:
        return os.path.samestat(file.stat(), os.fstat(held.fileno()))
    except FileNotFoundError:
        return False
