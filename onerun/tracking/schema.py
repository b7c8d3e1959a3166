"""Whether a database has the schema that the installed MLflow knows: nothing is read from another one, or written."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes

if TYPE_CHECKING:
    from sqlalchemy import Engine


def require_known(engine: "Engine", uri: str) -> None:
    """Raises: Mistakes: the database cannot be read, is no store of MLflow, or another version of MLflow made it."""
    from mlflow.store.db.utils import _get_schema_version
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = _get_schema_version(engine)  # type: ignore[no-untyped-call]
    except SQLAlchemyError as error:
        raise unreadable(uri, error) from None
    if found is None:
        raise _mistake(f"{redact(uri)} is no MLflow store: it has no schema version")
    if found != newest_revision():
        raise _mistake(_way_out(found, redact(uri)))


def newest_revision() -> str:
    """Returns: the schema version of the installed MLflow."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]


def unreadable(uri: str, error: Exception) -> Mistakes:
    """Returns: what the database's driver says, in one line."""
    reason = (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0]
    return _mistake(f"{redact(uri)} cannot be read: {reason}")


@contextmanager
def schema_explained(uri: str) -> Iterator[None]:
    """Within the block, a database that another version of MLflow made is a mistake with its way out (P5).

    MLflow's own words always advise to upgrade the database, also when the installed MLflow is the one that is too old.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        found = re.search(r"database schema \(found version (\w+), but expected \w+\)", str(error))
        if found is None:
            raise
        raise _mistake(_way_out(found[1], redact(uri))) from error


def _way_out(revision: str, uri: str) -> str:
    import mlflow

    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(migrations.glob(f"{revision}_*.py")):
        ours = f"this is {mlflow.__version__}: back it up, end all trainings, and run `mlflow db upgrade {uri}`"
        return f"the database was made by an older MLflow (schema {revision}) and {ours}"
    ours = f"than {mlflow.__version__}; install the one that made it, or name another database"
    return f"the database was made by a newer MLflow (schema {revision}) {ours}"


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("MLFLOW_TRACKING_URI", message)])
