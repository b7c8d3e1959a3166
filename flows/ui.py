"""What happens in a flow, shown: in the flow run's log always, and at a terminal when one started it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from onerun.engine.events import Observer, StageEvent, StageState

logger = logging.getLogger("onerun")
_terminal: ContextVar[Observer | None] = ContextVar("onerun_terminal", default=None)


class PrefectLog(APILogHandler):
    """Sends what is logged within a run to that run's log; what is logged elsewhere is not for Prefect."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send nothing outside a run."""
        if FlowRunContext.get() or TaskRunContext.get():
            super().emit(record)


def log_to_prefect() -> None:
    """Send what the `onerun` logger says from here on to the log of the flow run that it is said in."""
    if not any(isinstance(handler, PrefectLog) for handler in logger.handlers):
        logger.addHandler(PrefectLog())
        logger.setLevel(logging.INFO)


class LogUi:
    """Lines in the flow run's log; a question has no answer here: a flow that needs one pauses for it."""

    def __init__(self) -> None:
        log_to_prefect()

    def say(self, line: str) -> None:
        """Log one line."""
        logger.info("%s", line)

    def confirm(self, question: str) -> bool | None:
        """Return None: there is no person at a log."""
        return None

    def show(self, event: StageEvent) -> None:
        """Log what happens to a stage, and show it at the terminal that started the flow, where there is one."""
        match event.state:
            case StageState.STARTED:
                logger.info("%s ...", event.stage)
            case StageState.FINISHED:
                logger.info("%s done in %.1f s: %s", event.stage, event.seconds, event.summary)
            case StageState.REUSED:
                logger.info("%s was done by an earlier attempt: %s", event.stage, event.summary)
            case StageState.PROGRESSED:
                pass  # a log is no place for a bar
        terminal = _terminal.get()
        if terminal is not None:
            terminal(event)


@contextmanager
def shown_at(terminal: Observer) -> Iterator[None]:
    """Show the stages of a flow that runs within the block at this terminal too."""
    token = _terminal.set(terminal)
    try:
        yield
    finally:
        _terminal.reset(token)
