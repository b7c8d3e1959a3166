"""Who is told how a training goes: always the log, and a person's terminal on the command line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from onerun import progress


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


class PrefectLog(APILogHandler):
    """Sends what is logged within a run to that run's log; what is logged elsewhere is not for Prefect."""

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing outside a run."""
        if FlowRunContext.get() or TaskRunContext.get():
            super().emit(record)


class Log:
    """Writes to the `onerun` logger, and that to the flow run's log at Prefect."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("onerun")
        if not any(isinstance(handler, PrefectLog) for handler in self._logger.handlers):
            self._logger.addHandler(PrefectLog())
            self._logger.setLevel(logging.INFO)

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


class Everyone:
    """Tells the log, and whoever watches this context."""

    def __init__(self) -> None:
        someone = _watcher.get()
        self._told: tuple[Watcher, ...] = (Log(), someone) if someone else (Log(),)

    def started(self, stage: str) -> None:
        """Tells all."""
        for watcher in self._told:
            watcher.started(stage)

    def finished(self, stage: str, seconds: float, summary: str) -> None:
        """Tells all."""
        for watcher in self._told:
            watcher.finished(stage, seconds, summary)

    def reused(self, stage: str, summary: str) -> None:
        """Tells all."""
        for watcher in self._told:
            watcher.reused(stage, summary)


@contextmanager
def watched_by(someone: Watcher) -> Iterator[None]:
    """Within the block `someone` is told."""
    token = _watcher.set(someone)
    try:
        with progress.listening(someone.progress):
            yield
    finally:
        _watcher.reset(token)
