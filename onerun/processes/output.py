"""A program's output: line by line into the log, floods and endless lines bounded, the last lines
kept.
"""

import logging
import re
import time
from collections import deque
from collections.abc import Collection, Mapping
from urllib.parse import unquote

LAST_LINES = 20
LONGEST_LINE = 2000  # characters
AT_ONCE = 500_000  # characters that are logged however fast they come
A_SECOND = 10_000  # characters that are logged for as long as it runs; others are counted
A_LINE = (
    200  # characters that a line counts for besides its own: the log stores its time and place too
)
SECRET_NAME = re.compile(
    r"SECRET|PASSW|TOKEN|ACCESS_KEY|API_KEY|CREDENTIAL|AUTH_STRING", re.IGNORECASE
)
# a password, as in postgresql://me:password@host
IN_AN_ADDRESS = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")
SHORTEST_SECRET = 6  # anything shorter would blot out ordinary words

logger = logging.getLogger("onerun.program")


class Output:
    """Receives bytes and logs lines."""

    def __init__(self, environment: Mapping[str, str], secret: Collection[str] = ()) -> None:
        """Start without output; `secret`: names of variables whose values are not logged, besides
        those that sound secret.
        """
        self._secrets = _secrets(environment, secret)
        self._rest = b""
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._allowed, self._since, self._skipped = float(AT_ONCE), time.monotonic(), 0

    def take(self, chunk: bytes) -> None:
        """Receive what the program wrote since the last call; an unfinished line waits for its
        end.
        """
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        # a progress bar that overwrites itself keeps its newest state
        self._rest = rest.rpartition(b"\r")[2]
        if len(self._rest) > 4 * LONGEST_LINE:
            self._line(self._rest)
            self._rest = b""

    def close(self) -> None:
        """Log the line that the program did not finish."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._log_skipped()

    def last(self) -> str:
        """Return the last lines as the end of a sentence; empty when there was no output."""
        if not self._last_lines:
            return ""
        return "; last lines:\n  " + "\n  ".join(self._last_lines)

    def _line(self, raw: bytes) -> None:
        text = raw.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", errors="replace").rstrip()
        for secret in self._secrets:
            text = text.replace(secret, "****")
        if len(text) > LONGEST_LINE:
            text = f"{text[:LONGEST_LINE]} ... ({len(text) - LONGEST_LINE} more characters)"
        if text:
            self._last_lines.append(text)
            self._log(text)

    def _log(self, text: str) -> None:
        """Log the line unless too much came at once: a token bucket
        (https://en.wikipedia.org/wiki/Token_bucket).
        """
        now = time.monotonic()
        self._allowed = min(AT_ONCE, self._allowed + A_SECOND * (now - self._since))
        self._since = now
        cost = A_LINE + len(text)
        if self._allowed < cost:
            self._skipped += 1
            return
        self._allowed -= cost
        self._log_skipped()
        logger.info("%s", text)

    def _log_skipped(self) -> None:
        if self._skipped:
            logger.info("... %d lines left out", self._skipped)
            self._skipped = 0


def _secrets(environment: Mapping[str, str], named: Collection[str]) -> list[str]:
    """Return the values that must not be shown, the longest first, for one may be a part of
    another.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if name in named or SECRET_NAME.search(name):
            found.add(value)
        if name.endswith("AUTH_STRING"):
            found.add(value.partition(":")[2])
        for password in IN_AN_ADDRESS.findall(value):
            found |= {password, unquote(password)}
    long_enough = [secret for secret in found if len(secret) >= SHORTEST_SECRET]
    return sorted(long_enough, key=len, reverse=True)
