"""A program's output: line by line into the log, floods and endless lines bounded, the last ones kept."""

import logging
import re
import time
from collections import deque
from collections.abc import Collection, Mapping
from urllib.parse import unquote

LAST_LINES = 20
LONGEST_LINE = 2000  # characters
AT_ONCE = 500_000  # characters that are logged however fast they come
A_SECOND = 10_000  # characters that are logged for as long as it runs; what comes faster is counted instead
A_LINE = 200  # characters that a line counts for besides its own: somebody stores when and where it was said
SECRET_NAME = re.compile(
    r"SECRET|PASSW|TOKEN|ACCESS_KEY|API_KEY|CREDENTIAL|AUTH_STRING", re.IGNORECASE
)
IN_AN_ADDRESS = re.compile(
    r"://[^/@\s:]*:([^/@\s]+)@"
)  # a password, as in postgresql://me:password@host
SHORTEST_SECRET = 6  # anything shorter would blot out ordinary words

logger = logging.getLogger("onerun.program")


class Output:
    """Takes bytes as they come, hands on lines."""

    def __init__(self, environment: Mapping[str, str], secret: Collection[str] = ()) -> None:
        """`secret`: names of variables whose values are not to be shown, besides those that sound like it."""
        self._secrets = _secrets(environment, secret)
        self._rest = b""
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._allowed, self._since, self._left_out = float(AT_ONCE), time.monotonic(), 0

    def take(self, chunk: bytes) -> None:
        """`chunk`: what the program wrote since the last call; an unfinished line waits for its end."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        self._rest = rest.rpartition(b"\r")[
            2
        ]  # a progress bar that overwrites itself keeps its newest state
        if len(self._rest) > 4 * LONGEST_LINE:
            self._line(self._rest)
            self._rest = b""

    def close(self) -> None:
        """The program has ended: the line it did not finish counts."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._tell_left_out()

    def last(self) -> str:
        """Returns: the last lines as the end of a sentence; empty when the program said nothing."""
        return (
            "; last lines:\n" + "\n".join(f"  {line}" for line in self._last) if self._last else ""
        )

    def _line(self, raw: bytes) -> None:
        text = raw.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", errors="replace").rstrip()
        for secret in self._secrets:
            text = text.replace(secret, "****")
        if len(text) > LONGEST_LINE:
            text = f"{text[:LONGEST_LINE]} ... ({len(text) - LONGEST_LINE} more characters)"
        if text:
            self._last.append(text)
            self._log(text)

    def _log(self, text: str) -> None:
        """A token bucket: https://en.wikipedia.org/wiki/Token_bucket."""
        now = time.monotonic()
        self._allowed = min(AT_ONCE, self._allowed + A_SECOND * (now - self._since))
        self._since = now
        if self._allowed < (cost := A_LINE + len(text)):
            self._left_out += 1
            return
        self._allowed -= cost
        self._tell_left_out()
        logger.info("%s", text)

    def _tell_left_out(self) -> None:
        if self._left_out:
            logger.info("... %d lines left out", self._left_out)
            self._left_out = 0


def _secrets(environment: Mapping[str, str], named: Collection[str]) -> list[str]:
    """Returns: what must not be shown, the longest first, for one may be a part of another."""
    found = {
        value for name, value in environment.items() if name in named or SECRET_NAME.search(name)
    }
    found |= {
        value.partition(":")[2]
        for name, value in environment.items()
        if name.endswith("AUTH_STRING")
    }
    passwords = {
        password for value in environment.values() for password in IN_AN_ADDRESS.findall(value)
    }
    found |= passwords | {unquote(password) for password in passwords}
    return sorted(
        (secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True
    )
