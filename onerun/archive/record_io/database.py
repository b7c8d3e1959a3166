"""The databases of a tracking store and its registry, opened for the rows of MLflow's tables."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onerun.archive.record_io.layout import REGISTRY
from onerun.tracking.database import make_tables, make_whole, open_engine

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

SQL = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Databases:
    """Tracking store and registry; most often the same one."""

    tracking: "Engine"
    registry: "Engine"

    def of(self, kind: str) -> "Engine":
        """Return the database that holds records of that kind."""
        return self.registry if kind in REGISTRY else self.tracking


def uris(store: str | None = None) -> tuple[str, str]:
    """Return tracking and registry URI: `store` as both, or the environment's."""
    if store:
        return store, store
    tracking = os.environ["MLFLOW_TRACKING_URI"]
    return tracking, os.environ.get("MLFLOW_REGISTRY_URI") or tracking


def kind_of(uri: str) -> str:
    """Return `postgresql` of `postgresql+psycopg://host/database`."""
    return uri.partition(":")[0].partition("+")[0]


def is_sql(uri: str) -> bool:
    """Return whether the store is a database that can be opened here."""
    return kind_of(uri) in SQL


@contextmanager
def opened(store: str | None = None, make: bool = False) -> Iterator[Databases]:
    """Yield the databases of that URI, or the environment's.

    Args:
        store: a tracking URI for both, in place of the environment's.
        make: make tables where there are none.

    Raises: Mistakes when there is none, or its schema is not the installed MLflow's.
    """
    tracking, registry = uris(store)
    with ExitStack() as stack:
        first = stack.enter_context(engine(tracking, make))
        other = first if registry == tracking else stack.enter_context(engine(registry, make))
        yield Databases(first, other)


@contextmanager
def engine(uri: str, make: bool = False) -> Iterator["Engine"]:
    """Yield one database, closed at the end. Raises: as `opened`."""
    if make:
        make_whole(uri)
        make_tables(uri)
    made = open_engine(uri)
    try:
        yield made
    finally:
        made.dispose()


def tables() -> dict[str, "Table"]:
    """Return MLflow's own tables by name."""
    from mlflow.store.db import utils  # makes all of them known

    return dict(utils.Base.metadata.tables)  # type: ignore[attr-defined]


def row_count(made: "Engine", table: str) -> int:
    """Return how many rows one of MLflow's tables has."""
    import sqlalchemy as sa

    with made.connect() as connection:
        return (
            connection.execute(sa.select(sa.func.count()).select_from(tables()[table])).scalar()
            or 0
        )
