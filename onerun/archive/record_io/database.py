"""MLflow's databases, opened for their rows: tracking store and registry, by MLflow's own tables in a known schema."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onerun.archive.record_io.layout import REGISTRY
from onerun.config.mistakes import Mistake, Mistakes
from onerun.tracking.database import make_whole, sqlite_file
from onerun.tracking.schema import require_known, unreadable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

SQL = ("sqlite", "postgresql", "mysql", "mssql")
BUSY_SECONDS = 60  # how long a writer waits for another one of an SQLite file


@dataclass(frozen=True)
class Databases:
    """Tracking store and registry; most often the same one."""

    tracking: "Engine"
    registry: "Engine"

    def of(self, kind: str) -> "Engine":
        """Returns: the database that holds records of that kind."""
        return self.registry if kind in REGISTRY else self.tracking


def uris(store: str | None = None) -> tuple[str, str]:
    """Returns: tracking and registry URI: `store` as both, or the environment's."""
    if store:
        return store, store
    tracking = os.environ["MLFLOW_TRACKING_URI"]
    return tracking, os.environ.get("MLFLOW_REGISTRY_URI") or tracking


def kind_of(uri: str) -> str:
    """Returns: `postgresql` of `postgresql+psycopg://host/database`."""
    return uri.partition(":")[0].partition("+")[0]


def is_sql(uri: str) -> bool:
    """Whether the store is a database that can be opened here."""
    return kind_of(uri) in SQL


@contextmanager
def opened(store: str | None = None, make: bool = False) -> Iterator[Databases]:
    """The databases of that URI, or the environment's. `make`: an SQLite file that is not there is made.

    Raises: Mistakes when there is none, or its schema is not the installed MLflow's.
    """
    tracking, registry = uris(store)
    with ExitStack() as stack:
        first = stack.enter_context(engine(tracking, make))
        other = first if registry == tracking else stack.enter_context(engine(registry, make))
        yield Databases(first, other)


@contextmanager
def engine(uri: str, make: bool = False) -> Iterator["Engine"]:
    """One database, closed at the end. Raises: as `opened`."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError

    if make:
        make_whole(uri)
    if missing_file(uri):
        raise Mistakes(
            [
                Mistake(
                    "MLFLOW_TRACKING_URI",
                    f"{sqlite_file(uri)} does not exist: there is no store yet",
                )
            ]
        )
    made: Engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _prepare_sqlite)
    try:
        try:
            if make and is_empty(made):
                _initialize_tables(made)  # type: ignore[no-untyped-call]
        except SQLAlchemyError as error:
            raise unreadable(uri, error) from None
        require_known(made, uri)
        yield made
    finally:
        made.dispose()


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


def missing_file(uri: str) -> bool:
    """Whether it is an SQLite file that is not there."""
    file = sqlite_file(uri)
    return file is not None and not file.exists()


def is_missing(uri: str) -> bool:
    """Whether there is no store yet: no file, or a database without a table."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    if missing_file(uri):
        return True
    made: Engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    try:
        return is_empty(made)
    finally:
        made.dispose()


def is_empty(made: "Engine") -> bool:
    """Whether the database has no table."""
    import sqlalchemy as sa

    return not sa.inspect(made).get_table_names()


def tables() -> dict[str, "Table"]:
    """Returns: MLflow's own tables by name."""
    from mlflow.store.db import utils  # makes all of them known

    return dict(utils.Base.metadata.tables)  # type: ignore[attr-defined]


@contextmanager
def one_moment(made: "Engine") -> Iterator["Connection"]:
    """A connection whose reads all see the same state of the database."""
    postgres = made.dialect.name == "postgresql"
    with made.connect().execution_options(
        **({"isolation_level": "REPEATABLE READ"} if postgres else {})
    ) as connection:
        if not postgres:
            connection.exec_driver_sql("BEGIN")  # the driver begins by itself only before it writes
        try:
            yield connection
        finally:
            connection.rollback()


def row_count(made: "Engine", table: str) -> int:
    """Returns: how many rows one of MLflow's tables has."""
    import sqlalchemy as sa

    with made.connect() as connection:
        return (
            connection.execute(sa.select(sa.func.count()).select_from(tables()[table])).scalar()
            or 0
        )
