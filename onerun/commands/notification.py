"""Messages about a clean-up to the addresses of its policy: that it waits, what was done, that it
failed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from onerun.commands.exit import message_of
from onerun.config.addresses import redacted
from onerun.config.policy import Policy


def notify_about(policy: Policy, event: str, lines: Sequence[str]) -> list[str]:
    """Send a message to every address of the policy.

    Args: event: what the title says besides the policy's name; empty for what was done.

    Returns: what could not be sent, for a person. Nothing is raised: what the message is about is
        done already, or is an error that matters more.
    """
    from onerun.notify import notify

    title = f"maintenance: {policy.name} {event}".rstrip()
    try:
        return notify(policy.notify, title, "\n".join(lines))
    except Exception as error:  # noqa: BLE001 -- Apprise knows a hundred services; it may raise anything
        return [f"no message was sent: {type(error).__name__}: {redacted(str(error))[:200]}"]


@contextmanager
def failure_notified(policy: Policy, page: str = "") -> Iterator[None]:
    """Send a message about an error that ends the block, and raise it again.

    Interruptions are not reported: whoever cancels knows.

    Args: page: address of a page that shows more.
    """
    try:
        yield
    except Exception as error:
        lines = [redacted(message_of(error)), *getattr(error, "__notes__", ()), page]
        for failed in notify_about(policy, "failed", [line for line in lines if line]):
            error.add_note(failed)
        raise
