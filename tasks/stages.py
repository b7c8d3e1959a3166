"""The six stages as Prefect tasks.

Each calls a stage of the library's engine; Prefect shows, retries and stops it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_engine import TaskRunTimeoutError

from onerun.domain.errors import TrainingKilled
from onerun.domain.references import (
    Evaluation,
    Promotion,
    Reference,
    Snapshot,
    TrainedModel,
    Validation,
    Version,
)
from onerun.engine.stages import Limits

AnyReference = TypeVar("AnyReference", bound=Reference)


def can_retry(limits: Limits) -> Callable[[Task[..., Any], TaskRun, State[Any]], bool]:
    """Return the condition that Prefect asks after a failure: whether trying again can help."""

    def condition(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
        error = state.result(raise_on_failure=False)
        return isinstance(error, BaseException) and limits.can_retry(error)

    return condition


def stage(function: Callable[..., Any]) -> Task[..., Any]:
    """Make a task that Prefect's cache never answers and whose result is never pickled."""
    usual = Limits()
    return task(
        name=function.__name__,
        task_run_name=function.__name__,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=usual.count,
        retry_delay_seconds=usual.pause,
        retry_condition_fn=can_retry(usual),
    )(function)


@stage
def ingest(do: Callable[[], Snapshot]) -> Snapshot:
    """Read the source into an immutable snapshot."""
    return do()


@stage
def validate(do: Callable[[], Validation]) -> Validation:
    """Check the recipe's expectations on all rows of the snapshot."""
    return do()


@stage
def train(do: Callable[[], TrainedModel]) -> TrainedModel:
    """Fit the model and log it; retries and time-out are those of the recipe's `train` section."""
    return do()


@stage
def evaluate(do: Callable[[], Evaluation]) -> Evaluation:
    """Score the logged model on the test part, beside a baseline and the champion."""
    return do()


@stage
def register(do: Callable[[], Version]) -> Version:
    """Make the run's one version of the registered model."""
    return do()


@stage
def promote(do: Callable[[], Promotion]) -> Promotion:
    """Move the alias when all gates passed."""
    return do()


TASKS = {each.name: each for each in (ingest, validate, train, evaluate, register, promote)}


def run_as_task(stage: str, function: Callable[[], AnyReference], limits: Limits) -> AnyReference:
    """Call the function as the task of that stage. See `onerun.engine.stages.StageRunner`."""
    limited = TASKS[stage].with_options(
        retries=limits.count,
        retry_delay_seconds=limits.pause,
        retry_condition_fn=can_retry(limits),
        timeout_seconds=limits.timeout,
    )
    try:
        result: Any = limited(function)
    except TaskRunTimeoutError as error:
        message = f"{stage} was stopped after {limits.timeout:g} seconds (train.timeout)"
        raise TrainingKilled(message) from error
    reference: AnyReference = result
    return reference
