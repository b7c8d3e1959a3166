"""An exclusive lock between processes of one machine, by a file that is removed afterwards."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock within the block, waiting for it as long as it takes. The file is removed
    afterwards.

    Raises PermissionError where the file belongs to another user.
    """
    while True:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(path, file.fileno()):
            break
        file.close()  # the holder before us removed it: a lock on a file without a name excludes nobody
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
