"""Telling people, by any address that Apprise knows. Addresses hold secrets: they come from the environment alone."""

import logging
import os
from collections.abc import Sequence

from onerun.config.mistakes import Mistake, Mistakes

LONGEST = 3000  # characters; chats cut longer ones in unfortunate places


def addresses(references: Sequence[str]) -> list[str]:
    """Args: references: such as `${OPS_CHANNEL}`. Returns: what they stand for. Raises: Mistakes: one is not set."""
    from dotenv import dotenv_values

    held = dotenv_values(".env") | dict(os.environ)
    names = [reference.removeprefix("${").removesuffix("}") for reference in references]
    missing = [name for name in names if not held.get(name)]
    if missing:
        words = "is not set, neither in the environment nor in .env"
        raise Mistakes(Mistake("notify", f"${{{name}}} {words}", "policy") for name in missing)
    return [str(held[name]) for name in names]


def notify(references: Sequence[str], title: str, body: str) -> list[str]:
    """Tells everyone, the beginning of what is too long. Returns: what could not be sent.

    That is told by the reference's name, never by the address.
    """
    if not references:
        return []
    from apprise import Apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its words repeat addresses
    failed = []
    for reference, address in zip(references, addresses(references), strict=True):
        speaker = Apprise()
        if not speaker.add(address):
            failed.append(f"{reference} is no address that Apprise knows: nobody was told there")
        elif not speaker.notify(title=title, body=cut(body)):
            failed.append(f"{reference} did not take the message")
    return failed


def cut(body: str) -> str:
    """Returns: as many whole lines as a chat takes, and how many more there are."""
    if len(body) <= LONGEST:
        return body
    room = LONGEST - 40
    kept = body[: body.rfind("\n", 0, room) if "\n" in body[:room] else room]
    return f"{kept}\n... and {body[len(kept) :].count(chr(10)) or 1:,} more lines"
