"""The store that the environment names, as records: its database where it can be opened, its API where not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Protocol

from onerun.archive.record_io import database, reading
from onerun.archive.record_io.api import Api
from onerun.archive.record_io.reading import Rows
from onerun.domain.archives import Entry
from onerun.tracking.database import identity_of, newest_revision


class Source(Protocol):
    """A store that can be read record by record."""

    @property
    def uri(self) -> str:
        """Where it is."""

    @property
    def identity(self) -> str:
        """Tells stores apart, also those that stood at one address: 12 hexadecimal digits."""

    def entries(self) -> Iterator[Entry]:
        """Yields: every record, without its rows."""

    def rows(self, kind: str, ids: Sequence[str]) -> Iterator[Rows]:
        """Yields: the rows of these records, those of one record together, the one of its main table first."""

    def left_out(self) -> list[str]:
        """Returns: in words, what the store holds and an archive does not."""

    def versions(self) -> dict[str, str]:
        """Returns: what the rows' form depends on."""


class DatabaseSource:
    """A store whose tables are read."""

    def __init__(self, databases: database.Databases, uri: str) -> None:
        self._databases, self.uri = databases, uri

    @property
    def identity(self) -> str:
        """See Source."""
        return identity_of(self.uri, reading.made_at(self._databases))

    def entries(self) -> Iterator[Entry]:
        """See Source."""
        return reading.entries(self._databases)

    def rows(self, kind: str, ids: Sequence[str]) -> Iterator[Rows]:
        """See Source."""
        return reading.rows(self._databases, kind, ids)

    def left_out(self) -> list[str]:
        """See Source."""
        return reading.left_out(self._databases)

    def versions(self) -> dict[str, str]:
        """See Source."""
        return {"mlflow": version("mlflow"), "schema": newest_revision()}


@contextmanager
def source(store: str | None = None) -> Iterator[Source]:
    """The store of that URI, or the environment's. Raises: Mistakes when there is none."""
    tracking, registry = database.uris(store)
    if database.is_sql(tracking) and database.is_sql(registry):
        with database.opened(store) as databases:
            yield DatabaseSource(databases, tracking)
    else:
        yield Api(tracking, registry)
