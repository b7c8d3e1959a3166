"""Time and memory that a process of many libraries and threads would waste."""

import atexit
import ctypes
import functools
import gc

M_ARENA_MAX = -8  # of malloc.h


@functools.cache
def spare_time_and_memory() -> None:
    """For a process that is ours from its first line to its last; before it loads anything heavy."""
    end_quickly()
    # Libraries make millions of objects that stay; looking through them again and again costs a tenth of a short run.
    gc.set_threshold(100_000, 20, 20)
    if hasattr(
        libc := ctypes.CDLL(None), "mallopt"
    ):  # glibc otherwise keeps up to eight heaps a core
        libc.mallopt(M_ARENA_MAX, 2)


@functools.cache
def end_quickly() -> None:
    """Python looks through all objects once more as it ends: after a training that takes three seconds."""
    atexit.register(gc.freeze)
