"""Waiting for a server or store that is silent: as long as the retry budget lasts, then with what was tried.

The clock runs per service, from its first silence to its next answer, whoever asks: one outage costs the budget once,
and whatever asks after that is answered at once.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from onerun import progress
from onerun.config.addresses import redacted
from onerun.config.budget import DEFAULT, VARIABLE
from onerun.config.fields import seconds
from onerun.domain.errors import StoreUnreachable

SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = (
    0.05,
    0.2,
    5.0,
)  # seconds between two tries; they double
LONGEST_WORDS = 300  # characters

Answer = TypeVar("Answer")
log = logging.getLogger("onerun")
_silent_since: dict[str, float] = {}  # service -> monotonic seconds
_limit: ContextVar[float] = ContextVar("onerun_patience", default=float("inf"))


@dataclass(frozen=True)
class Unavailable:
    """Who does not answer, and in what words that was told."""

    who: str
    words: str


def budget() -> float:
    """Returns: seconds that a silence may last here and now."""
    return min(float(seconds(os.environ.get(VARIABLE) or f"{DEFAULT}s")), _limit.get())


@contextmanager
def deadline(most: float) -> Iterator[None]:
    """Within the block nothing is waited for longer than `most` seconds; 0: everything is tried once."""
    token = _limit.set(most)
    try:
        yield
    finally:
        _limit.reset(token)


def reset() -> None:
    """Whatever was silent so far gets the whole budget again."""
    _silent_since.clear()


def call_with_retry(
    call: Callable[[], Answer],
    silence: Callable[[Exception], Unavailable | None],
    who: str | None = None,
) -> Answer:
    """Calls until there is an answer; the call must be safe to repeat, also when only its answer was lost.

    Args:
        silence: tells an error that waiting can help from others, which are raised as they are.
        who: the service whose answer it is; None when it takes the answers of all.
    Raises: StoreUnreachable when the budget is spent.
    """
    begun, tries = time.monotonic(), 0
    while True:
        try:
            answer = call()
        except Exception as error:
            found = silence(error)
            if found is None:
                raise
            tries += 1
            _wait_or_give_up(found, error, begun, tries)
        else:
            _answered(who)
            return answer


def _answered(who: str | None) -> None:
    for name in [who] if who else list(_silent_since):
        since = _silent_since.pop(name, None)
        if since is not None:
            log.warning("%s answers again after %.0f s", name, time.monotonic() - since)


def _wait_or_give_up(found: Unavailable, error: Exception, begun: float, tries: int) -> None:
    most = budget()
    if most and _silent_since.setdefault(found.who, begun) == begun and tries == 1:
        log.warning("%s: %s; waiting up to %.0f s for it", found.who, _short(found.words), most)
    silent = time.monotonic() - _silent_since.get(found.who, begun)
    if silent >= most:
        times = f"{tries} times" if tries > 1 else "once"
        raise StoreUnreachable(
            f"{found.who} has not answered for {silent:.0f} s (tried {times}; the retry budget is {most:.0f} s, "
            f"{VARIABLE} sets it): {_short(found.words)}"
        ) from (
            error if redacted(str(error)) == str(error) else None
        )  # a traceback shows the error's own words
    progress.report(f"seconds without an answer of {found.who}", silent, most)
    pause = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * random.uniform(0.8, 1.2)
    time.sleep(
        max(min(pause, most - silent), SHORTEST_PAUSE)
    )  # the last try is at the budget's very end


def _short(words: str) -> str:
    words = " ".join(redacted(words).split())
    return f"{words[:LONGEST_WORDS]} ..." if len(words) > LONGEST_WORDS else words
