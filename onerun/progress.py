"""How far a long stage has come. Nobody listens unless a flow says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float, float | None], None]
_listener: ContextVar[Listener | None] = ContextVar("onerun_progress", default=None)


def report(what: str, done: float, total: float | None = None) -> None:
    """Say that `done` of `total` (any unit) of `what` is done; cheap when nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within the block, reports of this context go to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
