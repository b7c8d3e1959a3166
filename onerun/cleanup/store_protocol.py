"""What the maintenance asks of a store, whichever kind it is."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from onerun.config.policy import Policy
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import Group, SnapshotUse, Version
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections
from onerun.domain.cleanup.result import Outcome
from onerun.store.files.store import FoldersStore
from onerun.store.server.store import ServerStore
from onerun.store.sql.store import TablesStore


class Store(Protocol):
    """A tracking store."""

    identity: str  # distinguishes stores by their addresses
    limits: tuple[str, ...]  # what this kind of store does not allow, for a person
    can_hard_delete: bool
    finds_owners: bool  # whether orphaned artifacts can be distinguished from damage

    @property
    def fingerprint(self) -> str:
        """Return what distinguishes databases that were at one address one after the other."""

    def close(self) -> None:
        """Close what was opened."""

    def exclusive_lock(self) -> AbstractContextManager[None]:
        """Let one clean-up of this store run at a time. Raises: MaintenanceUnderWay."""

    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> AbstractContextManager[tuple[Protections, Iterator[Group]]]:
        """Yield what protects, and every experiment in turn.

        Args: live: flow runs that are not over.
        """

    def damaged(self, policy: Policy, guard: Protections, now: int) -> Iterable[Item]:
        """Return experiments that MLflow cannot read, unchanged for long and not protected."""

    def back_up(
        self, runs: Collection[str], experiments: Sequence[str], policy: Policy
    ) -> tuple[str, str, list[str]]:
        """Return address and SHA-256 of a verified archive, and notes; empty: nothing of it exists.

        Args: runs: that exist. experiments: those that are missing are passed over.

        Raises: then nothing may be deleted.
        """

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Tag runs that are still as planned."""

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Delete runs that are still as planned, as MLflow does."""

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Remove the records of runs that are still as planned; their files are the caller's."""

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Remove deleted experiments that hold nothing any more."""

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Return those of the runs that exist."""

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Return those of the logged models that exist."""

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Return those of the traces that exist."""

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""

    def database_size(self) -> int | None:
        """Return the bytes of the database; None where none can be asked."""

    def troubles(self) -> Iterable[Finding]:
        """Return what is wrong in the store itself, artifacts aside."""

    def version_places(self) -> Iterable[tuple[Version, str | None]]:
        """Return every registered version, and where its files lie, as `version_address` says."""


def open_store(uri: str | None = None) -> Store:
    """Return the store of `uri`, else the environment's. Raises: Mistakes: it cannot be read."""
    uri = uri or os.environ["MLFLOW_TRACKING_URI"]
    if uri.startswith("file:") or "://" not in uri:
        return FoldersStore(uri)
    if uri.startswith("http"):
        return ServerStore(uri)
    return TablesStore(uri, os.environ.get("MLFLOW_REGISTRY_URI"))
