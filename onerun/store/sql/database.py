"""The database behind an MLflow store: opened only when its schema is the one that MLflow here knows."""

import fcntl
import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.errors import StoreUnreachable
from onerun.tracking.identity import identity_of
from onerun.tracking.schema import require_known

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Select

BUSY_MILLISECONDS = 20_000  # as long as MLflow itself waits for SQLite
CACHE_KILOBYTES = (
    64_000  # of SQLite, at most; with its 2,000 the same pages are read and written again and again
)
KNOWN = ("sqlite", "postgresql")
STREAMED = 2_000  # rows fetched at a time


class MaintenanceUnderWay(StoreUnreachable):
    """Another clean-up holds the lock."""


class Database:
    """One MLflow database: SQLite or PostgreSQL."""

    def __init__(self, uri: str, engine: "Engine") -> None:
        self.uri, self.engine = uri, engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @property
    def identity(self) -> str:
        """Tells stores apart: 12 hexadecimal digits."""
        return identity_of(self.uri)

    @property
    def fingerprint(self) -> str:
        """Tells databases apart that stood at one address one after the other."""
        from mlflow.store.tracking.dbmodels.models import SqlExperiment
        from sqlalchemy import text

        with self.reading() as connection:
            if self.is_sqlite:
                made = (
                    choose(SqlExperiment.creation_time)
                    .order_by(SqlExperiment.experiment_id)
                    .limit(1)
                )
                first = connection.execute(made).scalar()  # of the default one: others come and go
                return f"{Path(str(self.engine.url.database)).stat().st_ino}-{first}"
            of_server = "SELECT system_identifier, oid FROM pg_control_system(), pg_database WHERE datname = "
            return "-".join(
                map(str, connection.execute(text(f"{of_server}current_database()")).one())
            )

    def close(self) -> None:
        """Gives back all connections."""
        self.engine.dispose()

    @property
    def size(self) -> int:
        """Bytes."""
        from sqlalchemy import text

        if self.is_sqlite:
            file = str(self.engine.url.database)
            return sum(
                path.stat().st_size for path in (Path(file), Path(f"{file}-wal")) if path.exists()
            )
        with self.reading() as connection:
            return int(
                connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            )

    @contextmanager
    def reading(self) -> Iterator["Connection"]:
        """Within the block all queries see the same moment; nobody is held up."""
        level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**level) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator["Connection"]:
        """A short transaction that may write from its beginning: what it reads stays true until its end."""
        with self.engine.connect().execution_options(write=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Two clean-ups of one store do not meet, nor a clean-up and a restore. Whoever is killed gives the lock back.

        Raises: MaintenanceUnderWay.
        """
        with self._file_lock() if self.is_sqlite else self._advisory_lock():
            yield

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        file = Path(f"{Path(str(self.engine.url.database)).resolve()}.maintenance.lock")
        with file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise self._under_way() from None
            yield

    @contextmanager
    def _advisory_lock(self) -> Iterator[None]:
        from sqlalchemy import text

        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            key = int.from_bytes(hashlib.sha256(b"onerun.maintenance").digest()[:7], "big")
            if not connection.execute(
                text("SELECT pg_try_advisory_lock(:key)"), {"key": key}
            ).scalar():
                raise self._under_way()
            try:
                yield
            finally:  # it also ends with the session, however that ends; but the pool keeps sessions
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    def _under_way(self) -> MaintenanceUnderWay:
        return MaintenanceUnderWay(
            f"another clean-up or restore of {redact(self.uri)} is under way; run this one after it"
        )


def open_database(uri: str) -> Database:
    """Returns: the database of a store's URI. Raises: Mistakes: there is none, or MLflow here cannot read it."""
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy import make_url

    url = make_url(uri)
    backend = url.get_backend_name()
    if backend not in KNOWN:
        raise _mistake(
            f"the maintenance knows SQLite and PostgreSQL, not {backend}; clean up through an MLflow server"
        )
    if backend == "sqlite" and not Path(url.database or "").is_file():
        raise _mistake(f"{url.database} does not exist: nothing was tracked there yet")
    database = Database(uri, create_sqlalchemy_engine(uri))  # type: ignore[no-untyped-call]
    _listen(database)
    require_known(database.engine, uri)
    return database


def choose(*columns: Any) -> "Select[Any]":
    """Returns: a SELECT of MLflow's columns, whose types its models do not declare."""
    from sqlalchemy import select

    return select(*columns)


def among(connection: "Connection", column: Any, values: Collection[Any]) -> "ColumnElement[bool]":
    """Returns: that the column holds one of the values, however many they are.

    They travel as one value: as a parameter each, thousands of them cost more than most of the queries do.
    """
    from sqlalchemy import any_, func, literal, select
    from sqlalchemy.dialects.postgresql import ARRAY

    is_one: ColumnElement[bool]
    if connection.dialect.name == "sqlite":
        each = func.json_each(json.dumps(list(values))).table_valued("value")
        is_one = column.in_(select(each.c.value))
    else:
        kind = type(
            column.type
        )()  # without its length, to which PostgreSQL would cut what is compared
        is_one = column == any_(literal(list(values), ARRAY(kind)))
    return is_one


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("MLFLOW_TRACKING_URI", message)])


def _listen(database: Database) -> None:
    """Transactions begin when we say so: Python's SQLite driver begins them late, and never for reading."""
    from sqlalchemy import event

    if not database.is_sqlite:
        return

    @event.listens_for(database.engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")

    @event.listens_for(database.engine, "begin")
    def _begin(connection: "Connection") -> None:
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
