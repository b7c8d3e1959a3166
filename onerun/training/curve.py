"""The learning curve: logged as metric history during the training, in batches."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from onerun.domain.errors import StoreUnreachable
from onerun.retry import deadline

SHORTEST_PAUSE = 1.0  # seconds
SHARE = 0.01  # of the training's time that logging may take

Log = Callable[[Mapping[str, Sequence[float]], int], None]


class Curve:
    """Collects one value per metric and round, and logs them about once a second, in at most 1 % of
    the time.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.waiting: dict[str, list[float]] = {}  # not logged yet
        self.first = 0  # the round of their first values
        self._next = time.monotonic() + SHORTEST_PAUSE

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of the next round."""
        for name, value in values.items():
            self.waiting.setdefault(name, []).append(float(value))
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Log the waiting values, or keep them: a training does not stop because the store does not
        answer.
        """
        if not self.waiting:
            return
        started = time.monotonic()
        with suppress(StoreUnreachable), deadline(0):
            self._log(self.waiting, self.first)
            self.first += max(map(len, self.waiting.values()))
            self.waiting = {}
        ended = time.monotonic()
        self._next = ended + max(SHORTEST_PAUSE, (ended - started) / SHARE)
