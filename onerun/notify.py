"""Notifications by any address that Apprise knows. Addresses hold secrets: they come from the
environment alone.
"""

import logging
import os
from collections.abc import Sequence

from onerun.config.mistakes import Mistake, Mistakes

LONGEST = 3000  # characters; chats cut longer messages at any place


def addresses(references: Sequence[str]) -> list[str]:
    """Return the addresses that references such as `${OPS_CHANNEL}` stand for.

    Raises:
        Mistakes: A variable is not set.
    """
    from dotenv import dotenv_values

    environment = dotenv_values(".env") | dict(os.environ)
    names = [reference.removeprefix("${").removesuffix("}") for reference in references]
    missing = [name for name in names if not environment.get(name)]
    if missing:
        reason = "is not set, neither in the environment nor in .env"
        raise Mistakes(Mistake("notify", f"${{{name}}} {reason}", "policy") for name in missing)
    return [str(environment[name]) for name in names]


def notify(references: Sequence[str], title: str, body: str) -> list[str]:
    """Send the message, shortened where it is too long, to every address.

    Returns one line for each address that did not get it, with the reference's name and never the
    address.
    """
    if not references:
        return []
    from apprise import Apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its log lines repeat addresses
    failures = []
    for reference, address in zip(references, addresses(references), strict=True):
        channel = Apprise()
        if not channel.add(address):
            failures.append(f"{reference} is not an address that Apprise knows; nothing was sent")
        elif not channel.notify(title=title, body=cut(body)):
            failures.append(f"{reference} did not take the message")
    return failures


def cut(body: str) -> str:
    """Return as many whole lines as a chat takes, and how many more there are."""
    if len(body) <= LONGEST:
        return body
    end = LONGEST - 40
    if "\n" in body[:end]:
        end = body.rfind("\n", 0, end)
    more = body[end:].count("\n") or 1
    return f"{body[:end]}\n... and {more:,} more lines"
