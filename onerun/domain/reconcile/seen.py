"""What is known of a run with status RUNNING, of the flow run it names, and of the process that owned it.

Clocks are never compared across machines where an answer hangs on minutes: Prefect's times are compared with Prefect's
own clock, a process is told by numbers of its kernel, and a heart that seems to stand still is watched before anything
is done about it.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

BEAT = timedelta(seconds=60)  # between two heartbeats of a run
SETTLE = timedelta(minutes=5)  # what ends may still be busy ending

SLOW_START = timedelta(minutes=5)  # to pull the image onto a new node takes a minute or two


class Seen(BaseModel):
    """Strict and frozen: what was seen does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Process(Seen):
    """A process, distinguished from every other that ever had its number."""

    host: str
    pid: int
    boot: str = Field(
        "", description="Identity of the kernel's start; empty where the system names none."
    )
    machine: str = Field("", description="Identity of the machine, hashed.")
    namespace: str = Field(
        "", description="The pid namespace: containers count processes for themselves."
    )
    start: int = Field(0, description="Kernel ticks at which it started.")
    contained: bool = Field(False, description="Whether it lives in a container's pid namespace.")

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Return the process, or None for anything that is not one."""
        try:
            return cls.model_validate_json(text or "")
        except ValidationError:
            return None


class ProcessState(StrEnum):
    """What a look at the machine's processes shows of one."""

    ALIVE = "alive"
    MISSING = "no such process"
    REUSED = "another process has its number"
    REBOOTED = "the machine was restarted"
    ELSEWHERE = "elsewhere"  # on a machine or in a container that cannot be looked into from here
    UNKNOWN = "unknown"  # this system does not tell processes apart well enough

    @property
    def is_dead(self) -> bool:
        """Return whether the process is certainly dead."""
        return self in (ProcessState.MISSING, ProcessState.REUSED, ProcessState.REBOOTED)


class RunSeen(Seen):
    """An MLflow run with status RUNNING."""

    run_id: str
    name: str = ""
    experiment: str = ""
    place: str = Field("", description="Where its artifacts lie.")
    started: datetime
    last_metric: datetime | None = None
    heartbeat: datetime | None = None
    flow_run_id: str | None = Field(None, description="Only runs made by a flow of ours name one.")
    training_id: str | None = Field(
        None, description="Only runs made by a training without Prefect have one."
    )
    attempt: int = 0
    run_count: int = Field(0, description="Which of Prefect's tries opened the run last.")
    process: Process | None = None
    stages: tuple[str, ...] = ()
    parent: str | None = Field(None, description="Run id of the run that this one is nested in.")
    protected: bool = Field(False, description="Whether a person asked to leave it alone.")

    @property
    def is_ours(self) -> bool:
        """Whether a training of onerun made it, with or without Prefect."""
        return self.identity is not None

    @property
    def identity(self) -> str | None:
        """The flow run's id, or that of a training without Prefect."""
        return self.flow_run_id or self.training_id

    @property
    def last_sign(self) -> datetime:
        """When it last gave a sign of life, by the clock of its owner."""
        return max(filter(None, (self.started, self.last_metric, self.heartbeat)))


class FlowRunSeen(Seen):
    """A flow run, as Prefect knows it."""

    flow_run_id: str
    name: str = ""
    state_type: str
    state_name: str = ""
    state_id: str = ""
    changed: datetime
    now: datetime = Field(description="Prefect's own clock when it was asked.")
    heartbeat: datetime | None = Field(
        None, description="When Prefect last received an event of its heart."
    )
    run_count: int = 0
    process: Process | None = Field(
        None, description="The process that works on it, by its own word."
    )
    process_run_count: int = 0

    @property
    def for_(self) -> timedelta:
        """How long it has been in its state."""
        return self.now - self.changed

    @property
    def description(self) -> str:
        """Such as `Prefect reports Crashed since 2026-03-01 10:00 UTC`."""
        return f"Prefect reports {self.state_name or self.state_type} since {at(self.changed)}"


class NotKnown(Seen):
    """Prefect answers, and knows no such flow run: deleted, or made at another server."""


class NoAnswer(Seen):
    """Prefect does not answer."""

    why: str = ""


Answer = FlowRunSeen | NotKnown | NoAnswer


class ReconcilePolicy(Seen):
    """What may be ended besides the runs of our own flows, and how long a silent heart counts as stopped."""

    heartbeat_timeout: timedelta = Field(
        timedelta(minutes=30), ge=5 * BEAT, description="A heart silent for so long stopped."
    )
    slow_start: timedelta = Field(
        SLOW_START, description="A flow run pending for so long is named: its pod may never start."
    )
    also_older_than: timedelta | None = Field(
        None,
        ge=timedelta(days=1),
        description="End runs that others made, too, when silent for so long.",
    )
    experiments: tuple[str, ...] = Field(
        (), description="Look only at experiments of these names (globs)."
    )


def at(moment: datetime) -> str:
    """Return the moment to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(span: timedelta) -> str:
    """Return a span as a person writes it, such as `3 min`; nothing below zero."""
    seconds = max(0.0, span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
