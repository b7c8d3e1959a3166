"""What clean-up and summary ask of a store, whichever kind it is."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from onerun.config.policy import Policy
from onerun.domain.archives import Selection
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import Group, RegisteredVersion, SnapshotUse
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections
from onerun.domain.cleanup.result import Outcome
from onerun.store.files.layout import FolderSelection
from onerun.store.files.store import FileStore
from onerun.store.server.store import ServerStore
from onerun.store.sql.store import SqlStore


class Store(Protocol):
    """A tracking store."""

    identity: str  # tells stores apart, by their addresses
    limits: tuple[str, ...]  # what this kind of store does not allow, for a person
    can_hard_delete: bool
    finds_owners: bool  # whether orphaned artifacts can be distinguished from damage

    @property
    def fingerprint(self) -> str:
        """Return what tells databases apart that stood at one address one after the other."""

    def close(self) -> None:
        """Close the store."""

    def exclusive_lock(self) -> AbstractContextManager[None]:
        """Let one clean-up of this store run at a time. Raises: MaintenanceUnderWay."""

    # Reading

    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> AbstractContextManager[tuple[Protections, Iterator[Group]]]:
        """Yield what protects, and every experiment in turn.

        Args:
            policy: what protects, and which metrics matter.
            live: ids of flow runs that are not over.
        """

    def damaged(self, policy: Policy, protections: Protections, now: int) -> Iterable[Item]:
        """Return experiments that MLflow cannot read and that nothing changed lately or protects."""

    def problems(self) -> Iterable[Finding]:
        """Return what is wrong in the store itself, artifacts aside."""

    def version_places(self) -> Iterable[tuple[RegisteredVersion, str | None]]:
        """Return every registered version and where its files lie, as `version_address` says."""

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Return those of the runs that are still there."""

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Return those of the logged models that are still there."""

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Return those of the traces that are still there."""

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""

    def database_size(self) -> int | None:
        """Return the bytes of the database; None where there is none, or none that can be asked."""

    # Changing. Each rechecks what it is given, and leaves what is not as planned.

    def archive_selection(
        self, runs: Collection[str], experiments: Sequence[str]
    ) -> Selection | FolderSelection | None:
        """Return what an archive of these must hold; None when all of it is missing.

        What they are like now is remembered: `hard_delete` leaves what changed since.

        Args:
            runs: that are there.
            experiments: missing ones are passed over.
        """

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Tag runs."""

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Delete runs as MLflow does."""

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Remove the records of runs; their files are the caller's."""

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Remove deleted experiments that hold nothing any more."""


def open_store(uri: str | None = None) -> Store:
    """Return the store of `uri`, or the one that the environment names.

    Raises: Mistakes: it cannot be read.
    """
    uri = uri or os.environ["MLFLOW_TRACKING_URI"]
    if uri.startswith("file:") or "://" not in uri:
        return FileStore(uri)
    if uri.startswith("http"):
        return ServerStore(uri)
    return SqlStore(uri, os.environ.get("MLFLOW_REGISTRY_URI"))
