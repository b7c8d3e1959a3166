"""Stages without Prefect: called here, tried again after a pause, stopped when their time is over."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from onerun.domain.errors import Terminated, TrainingKilled
from onerun.engine.stages import AnyReference, Limits

log = logging.getLogger("onerun")


def run_stage(stage: str, function: Callable[[], AnyReference], limits: Limits) -> AnyReference:
    """Call the function; try again within the limits. See `StageRunner`."""
    tried = 0
    while True:
        try:
            with time_limit(limits.timeout, f"{stage} was stopped after"):
                return function()
        except Exception as error:
            tried += 1
            if tried > limits.count or not limits.can_retry(error):
                raise
            log.warning("%s: %s; trying again in %s s", stage, error, limits.pause)
            time.sleep(limits.pause)


@contextmanager
def time_limit(seconds: float | None, message: str) -> Iterator[None]:
    """Raise TrainingKilled in the block when it takes longer than `seconds`; None: no limit.

    By an alarm, which only the main thread hears; in another thread the limit cannot hold, and that is logged.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        log.warning(
            "train.timeout does not hold outside the main thread; use train.run_in: process"
        )
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TrainingKilled(f"{message} {seconds:g} seconds (train.timeout)")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def termination_raises() -> Iterator[None]:
    """Raise Terminated in the block on SIGTERM, so that the run is ended before the process is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
