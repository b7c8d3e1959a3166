"""A training shows that it is alive: a thread writes the run's heartbeat."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from contextvars import copy_context
from datetime import timedelta

from onerun.domain.reconcile.seen import BEAT
from onerun.retry import deadline
from onerun.tracking import lifecycle

STOP = 5.0  # seconds to wait for a call that is under way when the training ends
logger = logging.getLogger("onerun")


class Heartbeat:
    """The heartbeat of one run, until it is stopped."""

    def __init__(self, run_id: str, every: timedelta = BEAT) -> None:
        self._run_id, self._every = run_id, every.total_seconds()
        self._over, self._beating = threading.Event(), threading.Lock()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._go_on,), name="onerun-heartbeat", daemon=True
        )

    def start(self) -> None:
        """Write from here on."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more: a beat under way could open the run that is about to be ended."""
        self._over.set()
        if self._beating.acquire(timeout=STOP):
            self._beating.release()
        self._thread.join(STOP)

    def _go_on(self) -> None:
        while not self._over.wait(self._every):
            with self._beating:
                if not self._over.is_set():
                    self._beat()

    def _beat(self) -> None:
        """The training's own calls report a server that does not answer; the next beat comes soon."""
        try:
            with deadline(0):
                if lifecycle.beat(self._run_id) != "RUNNING" and not self._over.is_set():
                    lifecycle.reopen(self._run_id)
        except Exception as error:  # noqa: BLE001  # whatever MLflow raises is not the training's business
            logger.debug("heartbeat: %r", error)


@contextlib.contextmanager
def heartbeat_of(run_id: str) -> Iterator[None]:
    """Write the run's heartbeat within the block."""
    heartbeat = Heartbeat(run_id)
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()
