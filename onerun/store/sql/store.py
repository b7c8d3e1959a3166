"""A store whose database can be reached, as clean-up asks for it: all of it in sets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from onerun.config.policy import Policy
from onerun.domain.archives import Selection
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import Group, RegisteredVersion, SnapshotUse
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections
from onerun.domain.cleanup.result import Outcome
from onerun.store.sql import deletion, inventory, problems
from onerun.store.sql.deletion import hard_delete_experiments
from onerun.store.sql.engine import Database, open_database
from onerun.store.sql.fingerprints import fingerprints
from onerun.store.sql.protections import snapshots_in_use, store_protections

if TYPE_CHECKING:
    from sqlalchemy import Connection


class SqlStore:
    """SQLite or PostgreSQL, with the registry in the same database or in another one."""

    limits: tuple[str, ...] = ()
    can_hard_delete = True
    finds_owners = True

    def __init__(self, tracking: str, registry: str | None = None) -> None:
        """Raises: Mistakes when one of them cannot be read."""
        self.database: Database = open_database(tracking)
        self._registry = (
            open_database(registry) if registry and registry != tracking else self.database
        )
        self.identity = self.database.identity
        self._archived: Mapping[str, int] = {}  # run id -> its fingerprint when it was archived

    @property
    def fingerprint(self) -> str:
        """Return what tells the database from one that was at its address before."""
        return self.database.fingerprint

    def close(self) -> None:
        """Close all connections."""
        self.database.close()
        self._registry.close()

    def exclusive_lock(self) -> AbstractContextManager[None]:
        """Let one clean-up of this store run at a time. Raises: MaintenanceUnderWay."""
        return self.database.exclusive_lock()

    @contextmanager
    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> Iterator[tuple[Protections, Iterator[Group]]]:
        """Yield what protects, and every experiment in turn; all of one moment."""
        with (
            self.database.reading() as connection,
            self._registry_connection(connection) as registry,
        ):
            yield (
                store_protections(connection, registry, policy, live),
                inventory.groups(connection, policy),
            )

    def damaged(self, policy: Policy, protections: Protections, now: int) -> tuple[Item, ...]:
        """Return none: SQL stores cannot hold damaged experiments."""
        return ()

    def archive_selection(
        self, runs: Collection[str], experiments: Sequence[str]
    ) -> Selection | None:
        """Return the records to archive; their fingerprints are kept, to notice changes."""
        experiments = self._existing_experiments(experiments)
        if not runs and not experiments:
            return None  # an empty selection would mean everything
        with self.database.reading() as connection:
            self._archived = fingerprints(connection, sorted(runs))
        return Selection(experiments=tuple(sorted(experiments)), runs=tuple(sorted(runs)))

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Tag runs, in one transaction."""
        return deletion.mark(self.database, self._registry, items, policy, going, tag)

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Delete runs as MLflow does, in one transaction."""
        return deletion.soft_delete(self.database, self._registry, items, policy, going, now)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Remove the rows of runs, in one transaction."""
        return deletion.hard_delete(
            self.database, self._registry, items, policy, going, self._archived
        )

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Remove deleted experiments that hold nothing any more, one transaction each."""
        return hard_delete_experiments(self.database, items, policy)

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""
        with self.database.reading() as connection:
            return snapshots_in_use(connection)

    def database_size(self) -> int:
        """Return bytes; of both databases, where the registry has its own."""
        both = {self.database.uri: self.database, self._registry.uri: self._registry}
        return sum(database.size for database in both.values())

    def problems(self) -> list[Finding]:
        """Return what is wrong in the tables."""
        with (
            self.database.reading() as connection,
            self._registry_connection(connection) as registry,
        ):
            return list(problems.problems(connection, registry))

    def version_places(self) -> list[tuple[RegisteredVersion, str | None]]:
        """Return every registered version and where its files lie, as `version_address` says."""
        with (
            self.database.reading() as connection,
            self._registry_connection(connection) as registry,
        ):
            return list(inventory.version_places(connection, registry))

    @contextmanager
    def _registry_connection(self, connection: "Connection") -> Iterator["Connection"]:
        if self._registry is self.database:
            yield connection
            return
        with self._registry.reading() as registry:
            yield registry

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Return those of the runs that are still there."""
        from mlflow.store.tracking.dbmodels.models import SqlRun

        return deletion.existing(self.database, SqlRun.run_uuid, runs)

    def _existing_experiments(self, experiments: Sequence[str]) -> list[str]:
        from mlflow.store.tracking.dbmodels.models import SqlExperiment

        found = deletion.existing(
            self.database, SqlExperiment.experiment_id, [int(each) for each in experiments]
        )
        return [each for each in experiments if int(each) in found]

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Return those of the logged models that are still there, deleted ones included."""
        from mlflow.store.tracking.dbmodels.models import SqlLoggedModel

        return deletion.existing(self.database, SqlLoggedModel.model_id, models)

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Return those of the traces that are still there."""
        from mlflow.store.tracking.dbmodels.models import SqlTraceInfo

        return deletion.existing(self.database, SqlTraceInfo.request_id, traces)
