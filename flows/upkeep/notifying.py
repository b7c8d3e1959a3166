"""Whom the policy names hears how a clean-up goes: that it waits, what was done, and that it failed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from onerun.commands.exit import in_words
from onerun.config.addresses import redacted
from onerun.config.policy import Policy


def tell(policy: Policy, how: str, lines: Sequence[str]) -> list[str]:
    """Args: how: stands in the title; nothing for what was done. Returns: who could not be told, in words.

    Never raises: what is told of is done already, or is an error that matters more.
    """
    from onerun.notify import notify

    title = f"maintenance: {policy.name}" + (f" {how}" if how else "")
    try:
        return notify(policy.notify, title, "\n".join(lines))
    except Exception as error:  # noqa: BLE001 -- of a library that knows a hundred services; it may raise anything
        return [f"nobody was told: {type(error).__name__}: {redacted(str(error))[:200]}"]


@contextmanager
def failure_told(policy: Policy, where: str = "") -> Iterator[None]:
    """Whatever ends the block is told, and goes on as it was; who could not be told is a note of it.

    An interruption is not told: whoever cancels knows. Args: where: a page that shows more.
    """
    try:
        yield
    except Exception as error:
        lines = [redacted(in_words(error)), *getattr(error, "__notes__", ()), where]
        for failed in tell(policy, "failed", list(filter(None, lines))):
            error.add_note(failed)
        raise
