"""The stores that records are read from and written to.

Read from a database where it can be opened, through MLflow's API otherwise. Written to databases
alone: only there records keep their ids and times.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Protocol

from onerun.archive.record_io import database, reader
from onerun.archive.record_io.api import Api
from onerun.archive.record_io.reader import Rows
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import RecordEntry
from onerun.tracking.database import identity_of, is_missing, newest_revision


class Source(Protocol):
    """A store that can be read record by record."""

    @property
    def uri(self) -> str:
        """Return its address."""

    @property
    def identity(self) -> str:
        """Return 12 hexadecimal digits that tell stores apart, also two of one address."""

    def entries(self) -> Iterator[RecordEntry]:
        """Yield every record, without its rows."""

    def rows(self, kind: str, ids: Sequence[str]) -> Iterator[Rows]:
        """Yield the rows of these records, record by record, its main table first."""

    def left_out(self) -> list[str]:
        """Return, in words, what the store holds and an archive does not."""

    def versions(self) -> dict[str, str]:
        """Return the versions that the form of the rows depends on."""


class DatabaseSource:
    """A store whose tables are read."""

    def __init__(self, databases: database.Databases, uri: str) -> None:
        self._databases, self.uri = databases, uri

    @property
    def identity(self) -> str:
        """See Source."""
        return identity_of(self.uri, reader.made_at(self._databases))

    def entries(self) -> Iterator[RecordEntry]:
        """See Source."""
        return reader.entries(self._databases)

    def rows(self, kind: str, ids: Sequence[str]) -> Iterator[Rows]:
        """See Source."""
        return reader.rows(self._databases, kind, ids)

    def left_out(self) -> list[str]:
        """See Source."""
        return reader.left_out(self._databases)

    def versions(self) -> dict[str, str]:
        """See Source."""
        return {"mlflow": version("mlflow"), "schema": newest_revision()}


@contextmanager
def source(store: str | None = None) -> Iterator[Source]:
    """Open the store of that URI, or the environment's. Raises: Mistakes: there is none."""
    tracking, registry = database.uris(store)
    if database.is_sql(tracking) and database.is_sql(registry):
        with database.opened(store) as databases:
            yield DatabaseSource(databases, tracking)
    else:
        yield Api(tracking, registry)


@contextmanager
def target(make: bool, store: str | None = None) -> Iterator[database.Databases | None]:
    """Open the databases of that URI, or the environment's, to restore to.

    Yields: None when there is no store yet and none is to be made.

    Raises: Mistakes: it is a server or a file store.
    """
    for uri in database.uris(store):
        if not database.is_sql(uri):
            raise Mistakes([Mistake("MLFLOW_TRACKING_URI", f"{redact(uri)}: {_refusal(uri)}")])
    if not make and any(is_missing(uri) for uri in database.uris(store)):
        yield None
        return
    with database.opened(store, make) as databases:
        yield databases


def _refusal(uri: str) -> str:
    if uri.startswith("http"):
        return (
            "a server's API gives runs new ids and new times, so nothing can be restored "
            "through it; "
            "set this to the database behind the server (postgresql://... or sqlite:///...)"
        )
    return (
        "an archive is restored to a database (sqlite:///... or postgresql://...), "
        "not to a file store"
    )
