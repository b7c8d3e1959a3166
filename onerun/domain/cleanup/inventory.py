"""What a store holds, as far as the maintenance needs to know.

Times are milliseconds since 1970, as MLflow keeps them.

Named tuples, not models: a store has hundreds of thousands of them, and these cost a third of a
microsecond each.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

_NAMED = re.compile(r"(?!file:|mlflow-artifacts:)[\w+.-]+:/(?!/)")  # models:/, runs:/, dbfs:/
ACTIVE, DELETED = "active", "deleted"
FAILED_STATES = ("FAILED", "KILLED")
UNFINISHED_STATES = ("RUNNING", "SCHEDULED")


class Experiment(NamedTuple):
    """An experiment; `tags` only those that the maintenance asks for."""

    id: str
    name: str
    lifecycle: str
    location: str  # where its artifacts lie
    created: int | None
    updated: int | None
    tags: Mapping[str, str]


class Run(NamedTuple):
    """A run; `metrics` are the values of the policy's `keep.best`, in its order."""

    id: str
    name: str | None
    experiment_id: str
    status: str
    lifecycle: str
    started: int | None
    ended: int | None
    deleted: int | None
    artifact_uri: str | None
    metrics: tuple[float | None, ...] = ()

    @property
    def last_seen(self) -> int:
        """When it ended, or else began."""
        return self.ended or self.started or 0

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted as MLflow deletes: it can be restored."""
        return self.lifecycle == DELETED


class LoggedModel(NamedTuple):
    """A logged model (`m-...`) of MLflow 3; it lies beside the runs, not below one."""

    id: str
    name: str
    experiment_id: str
    run_id: str | None
    location: str
    created: int
    lifecycle: str
    tags: Mapping[str, str] = {}  # at least those that can protect


class RegisteredVersion(NamedTuple):
    """A registered version."""

    model: str
    version: str
    run_id: str | None
    source: str
    aliases: tuple[str, ...]
    location: str = ""  # where the registry says that its files lie, when it says so

    @property
    def address(self) -> str:
        """Its source where that is a place that can be looked at; nothing where it is a name, or of
        another service.
        """
        return "" if _NAMED.match(self.source) else self.source

    @property
    def title(self) -> str:
        """How it is called."""
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.model} version {self.version}{aliases}"


class SnapshotUse(NamedTuple):
    """The snapshots that a store's runs name."""

    digests: Collection[str]
    unnamed: int  # trainings under way that have not named theirs yet


class Group(NamedTuple):
    """One experiment with all that it holds."""

    experiment: Experiment
    runs: Sequence[Run]
    models: Sequence[LoggedModel]
