"""What a command says, into the flow run's log."""

from prefect.logging import get_run_logger


class LogUi:
    """Lines in the flow run's log; a question has no answer here: a flow that needs one pauses for it."""

    def say(self, line: str) -> None:
        """Log one line."""
        get_run_logger().info(line)

    def confirm(self, question: str) -> bool | None:
        """Return None: there is nobody at a log."""
        return None
