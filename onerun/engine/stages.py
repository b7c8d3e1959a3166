"""Stages: done once per run, however often the training is tried (P2)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from onerun import progress
from onerun.config.mistakes import Mistakes
from onerun.domain.errors import OnerunError
from onerun.domain.references import Reference
from onerun.engine.events import Observer, StageEvent, StageState
from onerun.tracking.lifecycle import OwnedRun, record_stage, require_ownership

AnyReference = TypeVar("AnyReference", bound=Reference)
USUAL_RETRIES = 1
RETRY_DELAY = 10  # seconds; a whole number, Prefect's API refuses others


@dataclass(frozen=True)
class Limits:
    """How often a stage is tried again, and how long it may take.

    retries: after an error that trying again can help; None: once, and only after an error that says so of itself.
    timeout: seconds; None: as long as it takes.
    pause: seconds before it is tried again.
    """

    retries: int | None = None
    timeout: float | None = None
    pause: int = RETRY_DELAY

    @property
    def count(self) -> int:
        """How often it is tried again at most."""
        return USUAL_RETRIES if self.retries is None else self.retries

    def can_retry(self, error: BaseException) -> bool:
        """Return whether trying again can help after this error."""
        if isinstance(error, OnerunError):
            return error.retryable
        return self.retries is not None and not isinstance(error, (Mistakes, ValueError))


class StageRunner(Protocol):
    """Calls the function of a stage within its limits: by itself, or as a Prefect task.

    Raises what the function raises; TrainingKilled when its time is over.
    """

    def __call__(
        self, stage: str, function: Callable[[], AnyReference], limits: Limits
    ) -> AnyReference:
        """Call the function and return its result."""


class Stages:
    """The stages of one owned run."""

    def __init__(self, run: OwnedRun, runner: StageRunner, observer: Observer) -> None:
        self._run, self._runner, self._observe = run, runner, observer

    def do(
        self,
        stage: str,
        returns: type[AnyReference],
        function: Callable[[], AnyReference],
        limits: Limits | None = None,
    ) -> AnyReference:
        """Run one stage and record its result, or read back what an earlier attempt recorded.

        Args:
            returns: the type of the result.
            limits: retries and time-out; the usual ones when None.
        """
        recorded = self._run.stages.get(stage)
        if recorded is not None:
            reference = returns.from_json(recorded)
            self._observe(StageEvent(stage, StageState.REUSED, summary=reference.summary))
            return reference
        return self._runner(stage, partial(self._record, stage, function), limits or Limits())

    def _record(self, stage: str, function: Callable[[], AnyReference]) -> AnyReference:
        self._observe(StageEvent(stage, StageState.STARTED))
        begun = time.perf_counter()
        with progress.listening(self._progress_of(stage)):
            reference = function()
        seconds = time.perf_counter() - begun
        require_ownership(self._run.run_id)
        record_stage(self._run.run_id, stage, reference.model_dump_json(), seconds)
        finished = StageState.FINISHED
        self._observe(StageEvent(stage, finished, seconds=seconds, summary=reference.summary))
        return reference

    def _progress_of(self, stage: str) -> progress.Listener:
        def report(what: str, done: float, total: float | None) -> None:
            self._observe(
                StageEvent(stage, StageState.PROGRESSED, summary=what, done=done, total=total)
            )

        return report
