"""A training outlives its worker: one that is killed closes the pipe that its trainings write to."""

import logging
import os

from prefect.logging.handlers import PrefectConsoleHandler

BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"  # tqdm raises when nobody reads it, and a log is no place for bars


def outlive_the_reader() -> None:
    """From here on, output that nobody reads any more goes nowhere; Rich would end the process over it."""
    os.environ.setdefault(BARS, "false")
    for name in (None, *logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.console.on_broken_pipe = to_nowhere  # type: ignore[method-assign]


def to_nowhere() -> None:
    """Standard output and error lead nowhere: what is left in buffers would fail once more, at exit."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
