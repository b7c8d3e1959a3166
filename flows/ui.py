"""What happens in a flow, shown in the flow run's log and at the terminal that started it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from prefect import runtime
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from flows.command_line.links import flow_run_url
from onerun.commands.ui import Row
from onerun.engine.events import Observer, StageEvent, StageState

logger = logging.getLogger("onerun")
_terminal: ContextVar[Observer | None] = ContextVar("onerun_terminal", default=None)


class PrefectLog(APILogHandler):
    """Send what is logged within a run to that run's log; the rest is not for Prefect."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send nothing outside a run."""
        if FlowRunContext.get() or TaskRunContext.get():
            super().emit(record)


def log_to_prefect() -> None:
    """Send the records of the `onerun` logger to the log of the flow run they are made in."""
    if not any(isinstance(handler, PrefectLog) for handler in logger.handlers):
        logger.addHandler(PrefectLog())
        logger.setLevel(logging.INFO)


class LogUi:
    """Lines in the flow run's log.

    A question has no answer here: a flow that needs one pauses for it.
    """

    attended = False

    def __init__(self) -> None:
        log_to_prefect()

    def say(self, line: str) -> None:
        """Log one line."""
        logger.info("%s", line)

    @property
    def page(self) -> str:
        """Return the address of the flow run's page; empty where it has none."""
        return flow_run_url(str(runtime.flow_run.id)) or ""

    def warn(self, line: str) -> None:
        """Log one line as a warning."""
        logger.warning("%s", line)

    def publish(
        self,
        key: str,
        title: str,
        *,
        lines: Sequence[str] | None = None,
        rows: Sequence[Row] | None = None,
        link: str | None = None,
    ) -> None:
        """Create an artifact for each of text, table and link that is given."""
        if lines is not None:
            text = "\n".join(["```", *lines, "```"])
            create_markdown_artifact(text, key=key, description=title)
        if rows is not None:
            create_table_artifact([dict(row) for row in rows], key=key, description=title)
        if link is not None:
            address = link if "://" in link else Path(link).as_uri()
            create_link_artifact(address, link, key=key, description=title)

    def confirm(self, question: str) -> bool | None:
        """Return None: there is no person at a log."""
        return None

    def show(self, event: StageEvent) -> None:
        """Log what happens to a stage, and show it at the terminal that started the flow."""
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
