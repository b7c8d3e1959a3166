"""A command as a person sees it at a terminal: lines, a bar where a stage takes long, a question."""

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from onerun.commands.ui import Row
from onerun.engine.events import StageEvent, StageState

BAR = 24  # characters
EVERY = 0.1  # seconds between two drawings of the bar
SLOW = 10.0  # seconds between two lines of progress where no bar can be drawn
# What libraries print meanwhile; a person who sets one of these sees more.
QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Terminal:
    """Shows lines and stages on a stream; draws a bar where the stream is a terminal."""

    attended = True
    page = ""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._draws = out.isatty()
        self._over = "\r\x1b[2K" if self._draws else ""  # over a bar that stands there
        self._stage = ""
        self._begun = self._drawn = time.monotonic()

    def say(self, line: str) -> None:
        """Print one line, over a bar that stands there."""
        self._write(f"{self._over}{line}\n")

    def warn(self, line: str) -> None:
        """Print one line."""
        self.say(line)

    def publish(
        self,
        key: str,
        title: str,
        *,
        lines: Sequence[str] | None = None,
        rows: Sequence[Row] | None = None,
        link: str | None = None,
    ) -> None:
        """Print the text."""
        if lines:
            self.say("\n".join(lines))

    def confirm(self, question: str) -> bool | None:
        """Ask on stderr; only `yes` is a yes. Return None where there is no person to ask."""
        if not sys.stdin.isatty():
            return None
        print(f"{question} yes or no: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() == "yes"

    def show(self, event: StageEvent) -> None:
        """Show what happens to a stage: a line when it is done, a bar until then."""
        match event.state:
            case StageState.STARTED:
                self._start(event.stage)
            case StageState.PROGRESSED:
                self._progress(event)
            case StageState.FINISHED:
                self.say(f"  {event.stage:<9} {event.seconds:6.1f} s  {event.summary}")
            case StageState.REUSED:
                self.say(f"  {event.stage:<9}   kept    {event.summary}")

    def _start(self, stage: str) -> None:
        self._stage, self._begun, self._drawn = stage, time.monotonic(), time.monotonic()
        if self._draws:
            self._write(f"  {stage:<9} ...")

    def _progress(self, event: StageEvent) -> None:
        """Draw a bar on a terminal; elsewhere print a line now and then."""
        now = time.monotonic()
        if now - self._drawn < (EVERY if self._draws else SLOW):
            return
        self._drawn = now
        counted = f"{event.done:,.0f}"
        filled = 0
        if event.total:
            counted = f"{event.done:,.0f} of {event.total:,.0f}"
            filled = round(min(event.done / event.total, 1.0) * BAR)
        so_far = f"  {self._stage:<9} {now - self._begun:6.1f} s "
        if self._draws:
            bar = f"{'█' * filled:·<{BAR}}"
            self._write(f"{self._over}{so_far} {bar} {event.summary}: {counted}")
        else:
            self._write(f"{so_far} ... {event.summary}: {counted}\n")

    def _write(self, text: str) -> None:
        """The reader of a pipe may have ended (`| head`); the training goes on all the same."""
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:  # what is left in the buffer would fail once more, at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
