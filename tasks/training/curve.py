"""The learning curve: logged as metric history while the training goes on, in batches."""

import time
from collections.abc import Callable, Mapping, Sequence

SHORTEST_PAUSE = 1.0  # seconds
SHARE = 0.01  # of the training's time that logging may take

Log = Callable[[Mapping[str, Sequence[float]], int], None]


class Curve:
    """Collects one value per metric and round; hands them on about once a second, seldom enough not to be felt."""

    def __init__(self, log: Log) -> None:
        self._log, self._waiting, self._first = log, dict[str, list[float]](), 0
        self._next = time.monotonic() + SHORTEST_PAUSE

    def add(self, values: Mapping[str, float]) -> None:
        """Takes the values of the next round."""
        for name, value in values.items():
            self._waiting.setdefault(name, []).append(float(value))
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Hands on what is waiting."""
        if not self._waiting:
            return
        started = time.monotonic()
        self._log(self._waiting, self._first)
        self._first += max(map(len, self._waiting.values()))
        self._waiting = {}
        ended = time.monotonic()
        self._next = ended + max(SHORTEST_PAUSE, (ended - started) / SHARE)
