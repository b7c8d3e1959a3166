"""The store that records are restored to: a database, since only there records keep their ids and times."""

from collections.abc import Iterator
from contextlib import contextmanager

from onerun.archive.record_io import database
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.tracking.database import is_missing


@contextmanager
def target(make: bool, store: str | None = None) -> Iterator[database.Databases | None]:
    """The databases of that URI, or the environment's; None when there is no store yet and none is to be made.

    Raises: Mistakes for a server or a file store.
    """
    for uri in database.uris(store):
        if not database.is_sql(uri):
            raise Mistakes([Mistake("MLFLOW_TRACKING_URI", f"{redact(uri)}: {_why(uri)}")])
    if not make and any(is_missing(uri) for uri in database.uris(store)):
        yield None
        return
    with database.opened(store, make) as databases:
        yield databases


def _why(uri: str) -> str:
    if uri.startswith("http"):
        return (
            "a server's API gives runs new ids and new times, so nothing can be restored through it; "
            "set this to the database behind the server (postgresql://... or sqlite:///...)"
        )
    return "an archive is restored to a database (sqlite:///... or postgresql://...), not to a file store"
