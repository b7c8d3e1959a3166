"""The learning curve: logged as metric history while the training goes on, in batches."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from onerun.domain.errors import StoreUnreachable
from onerun.retry import deadline

SHORTEST_PAUSE = 1.0  # seconds
SHARE = 0.01  # of the training's time that logging may take

Log = Callable[[Mapping[str, Sequence[float]], int], None]


class Curve:
    """Collects one value per metric and round; hands them on about once a second, seldom enough not to be felt."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.waiting, self.first = (
            dict[str, list[float]](),
            0,
        )  # not handed on yet; the round of their first values
        self._next = time.monotonic() + SHORTEST_PAUSE

    def add(self, values: Mapping[str, float]) -> None:
        """Take the values of the next round."""
        for name, value in values.items():
            self.waiting.setdefault(name, []).append(float(value))
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Hand on what is waiting, or leaves it waiting: a training that works does not stop for a silent store."""
        if not self.waiting:
            return
        started = time.monotonic()
        with suppress(StoreUnreachable), deadline(0):
            self._log(self.waiting, self.first)
            self.first += max(map(len, self.waiting.values()))
            self.waiting = {}
        ended = time.monotonic()
        self._next = ended + max(SHORTEST_PAUSE, (ended - started) / SHARE)
