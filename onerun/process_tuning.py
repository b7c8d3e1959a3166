"""Garbage collection and malloc, tuned for a short process with many libraries and threads."""

import atexit
import ctypes
import functools
import gc

M_ARENA_MAX = -8  # of malloc.h


@functools.cache
def spare_time_and_memory() -> None:
    """Tune a process that belongs to onerun alone, before it loads anything heavy."""
    end_quickly()
    # Libraries make millions of objects that stay; collecting them costs a tenth of a short run.
    gc.set_threshold(100_000, 20, 20)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc otherwise keeps up to eight heaps a core
        libc.mallopt(M_ARENA_MAX, 2)


@functools.cache
def end_quickly() -> None:
    """Skip Python's last collection at exit: after a training it takes three seconds."""
    atexit.register(gc.freeze)
