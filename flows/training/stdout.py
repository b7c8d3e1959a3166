"""A training outlives its worker, whose end closes the pipe that the training writes to."""

import logging
import os

from prefect.logging.handlers import PrefectConsoleHandler

# tqdm raises when its output has no reader, and a log is no place for bars
BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


def outlive_the_reader() -> None:
    """Discard output that has no reader any more; Rich would end the process over it."""
    os.environ.setdefault(BARS, "false")
    for name in (None, *logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.console.on_broken_pipe = to_nowhere  # type: ignore[method-assign]


def to_nowhere() -> None:
    """Discard standard output and error: what is left in buffers would fail again, at exit."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
