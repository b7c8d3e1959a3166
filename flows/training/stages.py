"""Stages as Prefect tasks: done once per run, however often the flow is tried (P2)."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import Task

from flows.command_line.watch import Everyone
from onerun.config.mistakes import Mistakes
from onerun.domain.errors import OnerunError, TrainingKilled
from onerun.domain.references import Reference
from onerun.tracking.fence import require_ownership
from onerun.tracking.ownership import OwnedRun, record_stage

AnyReference = TypeVar("AnyReference", bound=Reference)
RETRY_DELAY = 10  # seconds; a whole number, Prefect's API refuses others
RETRIES = 1  # after an error that says of itself that this can help; a silent store was waited for before it


class Stages:
    """Runs the stages of one owned run."""

    def __init__(self, run: OwnedRun) -> None:
        self._run, self._watchers = run, Everyone()

    def __call__(
        self,
        stage: str,
        returns: type[AnyReference],
        function: Callable[..., AnyReference],
        *arguments: Any,
        retries: int | None = None,
        timeout: float | None = None,
    ) -> AnyReference:
        """Run one stage, or read back what it returned when an earlier attempt has finished it.

        Args:
            function: called with the run's id and `arguments`; what it returns is recorded on the run.
            retries: how often to try again after an error that trying again can help; None: once, and only after an
                error that says so of itself.
            timeout: seconds. Raises: TrainingKilled when they are over.
        """
        recorded = self._run.stages.get(stage)
        if recorded is not None:
            reference = returns.from_json(recorded)
            self._watchers.reused(stage, reference.summary)
            return reference

        def do() -> AnyReference:
            return self._timed(stage, function, *arguments)

        # side effects: never answered from Prefect's cache, never pickled into its result store
        prefect_task: Task[[], AnyReference] = task(
            name=stage,
            task_run_name=stage,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=RETRIES if retries is None else retries,
            retry_delay_seconds=RETRY_DELAY,
            retry_condition_fn=_says_so if retries is None else _can_help,
            timeout_seconds=timeout,
        )(do)
        try:
            return prefect_task()
        except TaskRunTimeoutError as error:
            raise TrainingKilled(
                f"{stage} was stopped after {timeout:g} seconds (train.timeout)"
            ) from error

    def _timed(
        self, stage: str, function: Callable[..., AnyReference], *arguments: Any
    ) -> AnyReference:
        self._watchers.started(stage)
        begun = time.perf_counter()
        reference = function(self._run.run_id, *arguments)
        seconds = time.perf_counter() - begun
        require_ownership(self._run.run_id)
        record_stage(self._run.run_id, stage, reference.model_dump_json(), seconds)
        self._watchers.finished(stage, seconds, reference.summary)
        return reference


def _says_so(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the error says that trying again can help."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OnerunError) and error.retryable


def _can_help(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: never after an error that says of itself that it cannot."""
    error = state.result(raise_on_failure=False)
    return (
        error.retryable
        if isinstance(error, OnerunError)
        else not isinstance(error, (Mistakes, ValueError))
    )
