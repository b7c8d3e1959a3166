"""Who is told how a training goes: the log under a worker, a person's terminal on the command line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from tasks import progress


class Watcher(Protocol):
    """Is told what happens, in order."""

    def started(self, stage: str) -> None:
        """A stage begins."""

    def finished(self, stage: str, seconds: float, summary: str) -> None:
        """A stage is done."""

    def reused(self, stage: str, summary: str) -> None:
        """An earlier attempt had finished this stage."""

    def progress(self, what: str, done: float, total: float | None) -> None:
        """A long stage has come so far."""


class Log:
    """Writes to the `onerun` logger, which Prefect sends to its server."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("onerun")

    def started(self, stage: str) -> None:
        """One line."""
        self._logger.info("%s ...", stage)

    def finished(self, stage: str, seconds: float, summary: str) -> None:
        """One line."""
        self._logger.info("%s done in %.1f s: %s", stage, seconds, summary)

    def reused(self, stage: str, summary: str) -> None:
        """One line."""
        self._logger.info("%s was done by an earlier attempt: %s", stage, summary)

    def progress(self, what: str, done: float, total: float | None) -> None:
        """Nothing: a log is no place for a bar."""


_watcher: ContextVar[Watcher | None] = ContextVar("onerun_watcher", default=None)


def watcher() -> Watcher:
    """Returns: whoever watches this context; the log when nobody does."""
    return _watcher.get() or Log()


@contextmanager
def watched_by(someone: Watcher) -> Iterator[None]:
    """Within the block `someone` is told."""
    token = _watcher.set(someone)
    try:
        with progress.listening(someone.progress):
            yield
    finally:
        _watcher.reset(token)
