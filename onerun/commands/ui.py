"""How a command speaks to whoever started it: a terminal, a notebook, or a flow run's page."""

import sys
from typing import Protocol, TextIO


class Ui(Protocol):
    """What a command says, and what it asks."""

    def say(self, line: str) -> None:
        """Show one line."""

    def confirm(self, question: str) -> bool | None:
        """Ask a person. Return the answer, or None where there is no person to ask."""


class TerminalUi:
    """Lines on a stream; questions only at a real terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, file=self._out, flush=True)

    def confirm(self, question: str) -> bool | None:
        """Ask on stderr; only `yes` is a yes."""
        if not sys.stdin.isatty():
            return None
        print(f"{question} yes or no: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() == "yes"
