"""Call a server or store that may not answer: again and again until the retry budget is spent.

The clock runs per service, from its first failure to its next answer, whichever call notices it:
one outage costs the budget once, and every call after that fails at once.
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

# seconds between two tries; they double
SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.2, 5.0
LONGEST_MESSAGE = 300  # characters

Result = TypeVar("Result")
log = logging.getLogger("onerun")
_unavailable_since: dict[str, float] = {}  # service -> monotonic seconds
_deadline: ContextVar[float] = ContextVar("onerun_deadline", default=float("inf"))


@dataclass(frozen=True)
class Unavailable:
    """A service that does not answer, and the message of the error that shows it."""

    service: str
    message: str


def budget() -> float:
    """Return the seconds that a service may stay unavailable in this context."""
    configured = float(seconds(os.environ.get(VARIABLE) or f"{DEFAULT}s"))
    return min(configured, _deadline.get())


@contextmanager
def deadline(most: float) -> Iterator[None]:
    """Limit the retry budget to `most` seconds within the block; 0: everything is tried once."""
    token = _deadline.set(most)
    try:
        yield
    finally:
        _deadline.reset(token)


def reset() -> None:
    """Reset the clock of every service: each gets the whole budget again."""
    _unavailable_since.clear()


def call_with_retry(
    call: Callable[[], Result],
    classify: Callable[[Exception], Unavailable | None],
    service: str | None = None,
) -> Result:
    """Return the result of `call`, which is repeated while its service is unavailable.

    Args:
        call: Safe to repeat, also when only its answer was lost.
        classify: Tells an error that waiting can help from others, which are raised as they are.
        service: Which service has answered when the call succeeds; None: all of them.

    Raises:
        StoreUnreachable: The budget is spent.
    """
    started, tries = time.monotonic(), 0
    while True:
        try:
            result = call()
        except Exception as error:
            unavailable = classify(error)
            if unavailable is None:
                raise
            tries += 1
            _wait_or_give_up(unavailable, error, started=started, tries=tries)
        else:
            _note_answer(service)
            return result


def _note_answer(service: str | None) -> None:
    for name in [service] if service else list(_unavailable_since):
        since = _unavailable_since.pop(name, None)
        if since is not None:
            log.warning("%s answers again after %.0f s", name, time.monotonic() - since)


def _wait_or_give_up(
    unavailable: Unavailable, error: Exception, *, started: float, tries: int
) -> None:
    service, message, most = unavailable.service, _short(unavailable.message), budget()
    if most and _unavailable_since.setdefault(service, started) == started and tries == 1:
        log.warning("%s: %s; waiting up to %.0f s for it", service, message, most)
    waited = time.monotonic() - _unavailable_since.get(service, started)
    if waited >= most:
        times = "once" if tries == 1 else f"{tries} times"
        holds_a_secret = redacted(str(error)) != str(error)  # a traceback shows its message
        raise StoreUnreachable(
            f"{service} has not answered for {waited:.0f} s (tried {times}; "
            f"the retry budget is {most:.0f} s, {VARIABLE} sets it): {message}"
        ) from (None if holds_a_secret else error)
    progress.report(f"seconds without an answer of {service}", waited, most)
    pause = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * random.uniform(0.8, 1.2)
    # the last try is at the budget's very end
    time.sleep(max(min(pause, most - waited), SHORTEST_PAUSE))


def _short(message: str) -> str:
    message = " ".join(redacted(message).split())
    if len(message) > LONGEST_MESSAGE:
        return f"{message[:LONGEST_MESSAGE]} ..."
    return message
