"""Progress of a long stage. Reports go nowhere unless the caller of the stage listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float, float | None], None]
_listener: ContextVar[Listener | None] = ContextVar("onerun_progress", default=None)


def report(what: str, done: float, total: float | None = None) -> None:
    """Report that `done` of `total` (any unit) of `what` is done; cheap without a listener."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the reports of this context to `listener` within the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
