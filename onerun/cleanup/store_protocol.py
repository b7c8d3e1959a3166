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

    identity: str  # tells stores apart, by their addresses
    limits: tuple[str, ...]  # what this kind of store does not allow, in words
    can_hard_delete: bool
    finds_owners: bool  # whether artifacts without an owner can be told from damage

    @property
    def fingerprint(self) -> str:
        """Tells databases apart that stood at one address one after the other."""

    def close(self) -> None:
        """Nobody asks any more."""

    def exclusive_lock(self) -> AbstractContextManager[None]:
        """Let one clean-up of this store run at a time. Raises: MaintenanceUnderWay."""

    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> AbstractContextManager[tuple[Protections, Iterator[Group]]]:
        """Who protects what, and every experiment in turn. Args: live: ids of flow runs that are not over."""

    def damaged(self, policy: Policy, guard: Protections, now: int) -> Iterable[Item]:
        """Experiments that MLflow cannot read, and that nobody changed for long or protects."""

    def back_up(
        self, runs: Collection[str], experiments: Sequence[str], policy: Policy
    ) -> tuple[str, str, list[str]]:
        """Address and SHA-256 of a verified archive of these, and notes; no address: nothing of it is there any more.

        Args: runs: that are there; experiments: those that are gone are passed over.

        Raises: then nothing may be deleted.
        """

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Tags runs that are still as planned."""

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Deletes runs that are still as planned, as MLflow does."""

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Removes the records of runs that are still as planned; their files are the caller's."""

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Removes deleted experiments that hold nothing any more."""

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Those of the runs that are still there."""

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Those of the logged models that are still there."""

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Those of the traces that are still there."""

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""

    def database_size(self) -> int | None:
        """Bytes of the database; None where there is none, or none that can be asked."""

    def troubles(self) -> Iterable[Finding]:
        """What is wrong in the store itself, artifacts aside."""

    def version_places(self) -> Iterable[tuple[Version, str | None]]:
        """Every registered version, and where its files lie, as `version_address` says; none is left out."""


def open_store(uri: str | None = None) -> Store:
    """Returns: the store of `uri`, or else the one that the environment names. Raises: Mistakes: it cannot be read."""
    uri = uri or os.environ["MLFLOW_TRACKING_URI"]
    if uri.startswith("file:") or "://" not in uri:
        return FoldersStore(uri)
    if uri.startswith("http"):
        return ServerStore(uri)
    return TablesStore(uri, os.environ.get("MLFLOW_REGISTRY_URI"))
