"""The database behind an MLflow store: SQLite or PostgreSQL, read and written in transactions."""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.config.mistakes import Mistake, Mistakes
from onerun.store.lock import MaintenanceUnderWay, maintenance_lock
from onerun.tracking import database

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Select

BACKENDS = ("sqlite", "postgresql")
STREAMED = 2_000  # rows fetched at a time


class Database:
    """One MLflow database: SQLite or PostgreSQL."""

    def __init__(self, uri: str, engine: "Engine") -> None:
        self.uri, self.engine = uri, engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @property
    def identity(self) -> str:
        """Return 12 hexadecimal digits that tell stores apart."""
        return database.identity_of(self.uri)

    @property
    def fingerprint(self) -> str:
        """Return what tells databases apart that stood at one address one after the other."""
        from mlflow.store.tracking.dbmodels.models import SqlExperiment as E
        from sqlalchemy import text

        with self.reading() as connection:
            if self.is_sqlite:
                # of the default experiment: others come and go
                created = choose(E.creation_time).order_by(E.experiment_id).limit(1)
                first = connection.execute(created).scalar()
                return f"{self._file.stat().st_ino}-{first}"
            query = (
                "SELECT system_identifier, oid FROM pg_control_system(), pg_database "
                "WHERE datname = current_database()"
            )
            return "-".join(map(str, connection.execute(text(query)).one()))

    @property
    def _file(self) -> Path:
        return Path(str(self.engine.url.database))

    @property
    def size(self) -> int:
        """Return the database's size in bytes."""
        from sqlalchemy import text

        if self.is_sqlite:
            files = (self._file, self._file.with_name(f"{self._file.name}-wal"))
            return sum(file.stat().st_size for file in files if file.exists())
        query = text("SELECT pg_database_size(current_database())")
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator["Connection"]:
        """Yield a connection whose queries all see the same moment; it blocks no writer."""
        with database.reading(self.engine) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator["Connection"]:
        """Yield a short transaction that may write from its beginning: what it reads stays true."""
        with database.writing(self.engine) as connection:
            yield connection

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Let one clean-up or restore of this store run at a time. Raises: MaintenanceUnderWay."""
        with self._file_lock() if self.is_sqlite else self._advisory_lock():
            yield

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        with maintenance_lock(Path(f"{self._file.resolve()}.maintenance.lock"), self.uri):
            yield

    @contextmanager
    def _advisory_lock(self) -> Iterator[None]:
        from sqlalchemy import text

        number = int.from_bytes(hashlib.sha256(b"onerun.maintenance").digest()[:7], "big")
        key = {"key": number}
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar():
                raise MaintenanceUnderWay.of(self.uri)
            try:
                yield
            finally:  # it also ends with its session; but the pool keeps sessions
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)


def open_database(uri: str) -> Database:
    """Return the database of a store's URI.

    Raises: Mistakes: there is none, or MLflow here cannot read it.
    """
    from sqlalchemy import make_url

    backend = make_url(uri).get_backend_name()
    if backend not in BACKENDS:
        message = (
            f"maintenance supports SQLite and PostgreSQL, not {backend}; "
            "clean up through an MLflow server"
        )
        raise Mistakes([Mistake("MLFLOW_TRACKING_URI", message)])
    return Database(uri, database.open_engine(uri))


def choose(*columns: Any) -> "Select[Any]":
    """Return a SELECT of MLflow's columns, whose types its models do not declare."""
    from sqlalchemy import select

    return select(*columns)


def among(connection: "Connection", column: Any, values: Collection[Any]) -> "ColumnElement[bool]":
    """Return the condition that a column holds one of the values, however many they are.

    They travel as one value: as a parameter each, thousands of them cost more than most of the
    queries do.
    """
    from sqlalchemy import any_, func, literal, select
    from sqlalchemy.dialects.postgresql import ARRAY

    if connection.dialect.name == "sqlite":
        each = func.json_each(json.dumps(list(values))).table_valued("value")
        condition: ColumnElement[bool] = column.in_(select(each.c.value))
        return condition
    # without its length, to which PostgreSQL would cut what is compared
    unlimited = type(column.type)()
    is_one: ColumnElement[bool] = column == any_(literal(list(values), ARRAY(unlimited)))
    return is_one
