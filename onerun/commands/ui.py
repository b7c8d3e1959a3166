"""How a command speaks to whoever started it: a terminal, a notebook, or a flow run's page."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from onerun.engine.events import StageEvent

Row = Mapping[str, object]


class Ui(Protocol):
    """What a command says, what it asks, and how it shows a training.

    attended: whether a person reads along; where not, notifications say more.
    """

    attended: bool

    @property
    def page(self) -> str:
        """Return the address of a page that shows more of this run of the command; empty where there is none."""

    def say(self, line: str) -> None:
        """Show one line."""

    def warn(self, line: str) -> None:
        """Show one line about something that went wrong and stops nothing."""

    def confirm(self, question: str) -> bool | None:
        """Ask a person. Return the answer, or None where there is no person to ask."""

    def show(self, event: StageEvent) -> None:
        """Show what happens to a stage of a training."""

    def publish(
        self,
        key: str,
        title: str,
        *,
        lines: Sequence[str] | None = None,
        rows: Sequence[Row] | None = None,
        link: str | None = None,
    ) -> None:
        """Show something longer than a line.

        Args:
            key: the same each time, so that a page can show the newest one.
            lines: the text. A terminal shows nothing else.
            rows: a table.
            link: an address that shows more.
        """
