"""Exclusive locks between processes of one machine; the system frees those of a killed process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def exclusive_lock(file: Path, wait: bool = True) -> Iterator[IO[str]]:
    """Hold the lock on a file within the block; the file is made, and stays.

    Args:
        file: the file that stands for what is locked; its folder exists.
        wait: wait for another holder.

    Yields: the open file, for what the holder writes about itself.
    Raises: BlockingIOError when another holds the lock and `wait` is false.
    """
    with file.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield held
