"""How a command speaks to whoever started it: a terminal, a notebook, or a flow run's page."""

from typing import Protocol

from onerun.engine.events import StageEvent


class Ui(Protocol):
    """What a command says, what it asks, and how it shows a training."""

    def say(self, line: str) -> None:
        """Show one line."""

    def confirm(self, question: str) -> bool | None:
        """Ask a person. Return the answer, or None where there is no person to ask."""

    def show(self, event: StageEvent) -> None:
        """Show what happens to a stage of a training."""
