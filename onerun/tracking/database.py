"""MLflow's databases: made whole, told apart, opened when MLflow here knows their schema."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BUSY_MILLISECONDS = 60_000  # how long a connection waits for another writer of an SQLite file
CACHE_KILOBYTES = (
    64_000  # of SQLite, at most; with its 2,000 the same pages are read again and again
)
_CREATION = threading.Lock()  # Alembic keeps the migration under way in a module


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite `uri`; None for another kind of store."""
    if not uri.startswith("sqlite"):
        return None
    return Path(uri.partition(":///")[2].partition("?")[0])


def identity_of(uri: str, made: int | None = None) -> str:
    """Return 12 hexadecimal digits that tell stores apart, from the address or where a file lies.

    `sqlite:///mlflow.db` is another store in each working directory. A changed password makes no
    other store.

    Args:
        uri: the address of a database, a server or a folder.
        made: when its first experiment was made: tells apart what stood at one address.
    """
    if file := sqlite_file(uri):
        address = f"sqlite:///{file.resolve()}"
    elif uri.startswith("file:") or "://" not in uri:
        address = str(Path(uri.removeprefix("file://")).expanduser().resolve())
    else:
        address = redact(uri)
    named = address if made is None else f"{address} {made}"
    return hashlib.sha256(named.encode()).hexdigest()[:12]


# Creation


def make_whole(uri: str) -> None:
    """Make the database of an SQLite `uri` where there is none, whole or not at all.

    MLflow makes its tables step by step in the file itself. Of first trainings that start together
    each would stumble over the others' tables, and one that is killed meanwhile would leave a file
    that nothing can open any more. Other processes may call this at the same time.
    """
    file = sqlite_file(uri)
    if file and not file.exists():
        with _CREATION:
            if not file.exists():
                _make(file)


def _make(file: Path) -> None:
    """Make it beside its place, which it then takes: the first wins, no file is replaced."""
    draft = file.with_name(f".{file.name}-{uuid4().hex}")
    try:
        make_tables(f"sqlite:///{draft}")
        _take_place(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _take_place(draft: Path, file: Path) -> None:
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        pass  # another training was a moment faster; its database is as good
    except OSError:  # a file system without hard links, such as FAT
        if not file.exists():
            draft.rename(file)


def make_tables(uri: str) -> None:
    """Make MLflow's tables in a database that has none. Raises: Mistakes when it cannot be read."""
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy.exc import SQLAlchemyError

    with plain_engine(uri) as engine:
        try:
            if _is_empty(engine):
                _initialize_tables(engine)  # type: ignore[no-untyped-call]
        except SQLAlchemyError as error:
            raise _unreadable(uri, error) from None


def is_missing(uri: str) -> bool:
    """Return whether there is no store yet: no file, or a database without a table."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return True
    with plain_engine(uri) as engine:
        return _is_empty(engine)


def _is_empty(engine: "Engine") -> bool:
    from sqlalchemy import inspect

    return not inspect(engine).get_table_names()


@contextmanager
def plain_engine(uri: str) -> Iterator["Engine"]:
    """Yield an engine as MLflow makes it, for what works on the schema itself."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    try:
        yield engine
    finally:
        engine.dispose()


# Opening


def open_engine(uri: str) -> "Engine":
    """Return an engine for a database of the schema that the installed MLflow knows.

    Transactions begin when `reading` or `writing` says so: Python's SQLite driver begins them late,
    and never for reading.

    Raises: Mistakes: there is no such file, or MLflow here cannot read it.
    """
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy import event

    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise _mistake(f"{file} does not exist: nothing was tracked there yet")
    engine: Engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        _require_known_schema(engine, uri)
    except Mistakes:
        engine.dispose()
        raise
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")


def _begin_sqlite(connection: "Connection") -> None:
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def reading(engine: "Engine") -> Iterator["Connection"]:
    """Yield a connection whose queries all see the same moment; it blocks no writer."""
    level = {}
    if engine.dialect.name == "postgresql":
        level = {"isolation_level": "REPEATABLE READ"}
    with engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: "Engine") -> Iterator["Connection"]:
    """Yield a short transaction that may write from its beginning: what it reads stays true."""
    with connect_to_write(engine) as connection, connection.begin():
        yield connection


def connect_to_write(engine: "Engine") -> "Connection":
    """Return a connection whose transactions may write from their beginning."""
    return engine.connect().execution_options(write=True)


# Schema


def newest_revision() -> str:
    """Return the schema revision of the installed MLflow."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]


def _require_known_schema(engine: "Engine", uri: str) -> None:
    from mlflow.store.db.utils import _get_schema_version
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = _get_schema_version(engine)  # type: ignore[no-untyped-call]
    except SQLAlchemyError as error:
        raise _unreadable(uri, error) from None
    if found is None:
        raise _mistake(f"{redact(uri)} is not an MLflow store: it has no schema version")
    if found != newest_revision():
        raise _mistake(_way_out(found, redact(uri)))


@contextmanager
def schema_explained(uri: str) -> Iterator[None]:
    """Turn MLflow's error about a database of another version into a mistake with its remedy.

    MLflow's own message always advises to upgrade the database, also when the installed MLflow is
    the one that is too old.
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
        return (
            f"the database was made by an older MLflow (schema {revision}) and this is "
            f"{mlflow.__version__}: back it up, end all trainings, and run "
            f"`mlflow db upgrade {uri}`"
        )
    return (
        f"the database was made by a newer MLflow (schema {revision}) than {mlflow.__version__}; "
        "install the one that made it, or name another database"
    )


def _unreadable(uri: str, error: Exception) -> Mistakes:
    """Return what the database's driver says, in one line."""
    lines = str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__]
    return _mistake(f"{redact(uri)} cannot be read: {lines[0]}")


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("MLFLOW_TRACKING_URI", message)])
