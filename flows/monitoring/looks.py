"""Looking at a store again and again, in a thread: a scrape gets what the last look saw."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from onerun.config.addresses import redacted
from onerun.domain.monitoring.series import Samples
from onerun.retry import deadline

AGAIN = 60.0  # seconds until a look that failed is taken again, at most
# looks take at most a tenth of the time: a store that answers slowly is asked less often
SHARE = 10

Report = Callable[[str], None]


class Look(NamedTuple):
    """What the last look saw."""

    samples: Samples
    failure: str  # why nothing was seen; empty when it was
    seconds: float  # how long it took
    at: float  # seconds since 1970, of the last one that worked; 0: none did
    worked: int  # how many worked so far
    failed: int


class Looker:
    """One kind of look."""

    def __init__(self, name: str, see: Callable[[], Samples], every: float, report: Report) -> None:
        """Take what a look does.

        Args:
            every: seconds from the end of one look to the next, at least.
        """
        self.name, self._see, self._every, self._report = name, see, every, report
        # replaced as a whole: a scrape sees one look, never two halves
        self.last: Look | None = None

    def look(self) -> Look:
        """Take one look; when the store does not answer, the look holds the failure."""
        begun, failure = time.monotonic(), ""
        samples: Samples = {}
        try:
            with deadline(0):  # it is looked at again soon
                samples = self._see()
        # whatever a library raises: the exporter stays up and reports it
        except Exception as error:  # noqa: BLE001
            failure = redacted(str(error) or type(error).__name__).partition("\n")[0]
        before = self.last or Look({}, "", 0, 0, 0, 0)
        self.last = Look(
            samples, failure, time.monotonic() - begun, before.at if failure else time.time(),
            before.worked + (not failure), before.failed + bool(failure),
        )  # fmt: skip
        self._report_change(before.failure, self.last)
        return self.last

    def _report_change(self, before: str, now: Look) -> None:
        if now.failure and not before:
            self._report(f"{self.name}: {now.failure}")
        elif before and not now.failure:
            self._report(f"{self.name}: seen again")

    def go_on(self, over: threading.Event) -> None:
        """Look again and again until it is `over`."""
        while not over.is_set():
            look = self.look()
            every = min(self._every, AGAIN) if look.failure else self._every
            # the first loads MLflow's and Prefect's clients: that happens once
            is_first = look.worked == 1 and not look.failure
            over.wait(every if is_first else max(every, (SHARE - 1) * look.seconds))
