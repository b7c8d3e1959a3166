"""Records written to MLflow's databases, whole ones at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from onerun.archive.record_io.database import Databases, tables
from onerun.archive.record_io.layout import PARTS
from onerun.domain import names
from onerun.domain.errors import StoreUnknown, TransientError
from onerun.tracking.database import connect_to_write
from onerun.tracking.database import writing as begin

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

AT_ONCE = 200  # records of one transaction
LARGEST_ID = 2**31 - 1  # of an experiment, where the column is an integer of four bytes
Rows = Iterable[tuple[str, list[dict[str, Any]]]]


class RecordWriter:
    """Writes records in the order in which they come, some hundred to a transaction.

    An interruption leaves whole ones. Used within `with`; the last transaction ends with it.
    """

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._open: tuple[Engine, Connection] | None = None
        self._count = 0

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(commit=kind is None)

    def write(self, kind: str, identity: str, rows: Rows, replace: bool = False) -> None:
        """Insert a record; `replace`: the store has it, with another content."""
        connection = self._connection(kind)
        main = PARTS[kind][0].table
        for table, found in rows:
            _require_columns(table, found)
            if table == main:
                # SQLite may hold leftovers, also of a record that is not there.
                _clear(connection, kind, identity)
            if replace and table == main:
                _update(connection, kind, found[0])
            else:
                connection.execute(tables()[table].insert(), _without_computed(table, found))
        self._count += 1
        if self._count >= AT_ONCE:
            self._close(commit=True)

    def _connection(self, kind: str) -> "Connection":
        engine = self._databases.of(kind)
        if self._open and self._open[0] is not engine:
            self._close(commit=True)
        if not self._open:
            connection = connect_to_write(engine)
            self._open = engine, connection
        return self._open[1]

    def _close(self, commit: bool) -> None:
        if self._open:
            connection = self._open[1]
            self._open, self._count = None, 0
            try:
                if commit:
                    connection.commit()
                else:
                    connection.rollback()
            finally:
                connection.close()


def _require_columns(table: str, rows: Sequence[dict[str, Any]]) -> None:
    unknown = {column for row in rows for column in row} - set(tables()[table].columns.keys())
    if unknown:
        raise StoreUnknown(
            f"the archive's {table} have {', '.join(sorted(unknown))}, unknown to this MLflow: "
            "restore with the MLflow version that the archive names, then upgrade the database"
        )


def _without_computed(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without columns that the database computes, such as how long a span took."""
    computed = {column.name for column in tables()[table].columns if column.computed is not None}
    if not computed:
        return rows
    return [{name: row[name] for name in row.keys() - computed} for row in rows]


def _clear(connection: "Connection", kind: str, identity: str) -> None:
    import sqlalchemy as sa

    for part in PARTS[kind][:0:-1]:
        table = tables()[part.table]
        values = identity.split("/") if len(part.columns) > 1 else [identity]
        pairs = zip(part.columns, values, strict=True)
        matches = [table.c[name] == _typed(table.c[name], value) for name, value in pairs]
        connection.execute(sa.delete(table).where(*matches))


def _update(connection: "Connection", kind: str, row: dict[str, Any]) -> None:
    """Update the main row in its place: rows of other tables refer to it."""
    import sqlalchemy as sa

    part = PARTS[kind][0]
    table = tables()[part.table]
    connection.execute(
        sa.update(table).where(*(table.c[name] == row[name] for name in part.columns)).values(row)
    )


def _typed(column: Any, value: str) -> Any:
    import sqlalchemy as sa

    return int(value) if isinstance(column.type, sa.Integer) else value


def finish(databases: Databases) -> None:
    """Move the sequence of experiments behind those written with an id of their own."""
    if databases.tracking.dialect.name == "postgresql":
        advance = (
            "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'),"
            " GREATEST((SELECT max(experiment_id) FROM experiments), 1))"
        )
        with begin(databases.tracking) as connection:
            connection.exec_driver_sql(advance)


def needs_new_id(databases: Databases, experiment: str) -> bool:
    """Return whether the database's column is too small for the id; SQLite takes every one."""
    return databases.tracking.dialect.name != "sqlite" and int(experiment) > LARGEST_ID


def id_in_store(databases: Databases, experiment: str, taken: Iterable[str]) -> str:
    """Return the id that an experiment with too large an id has, or is to have, in the store."""
    import sqlalchemy as sa

    tags, experiments = tables()["experiment_tags"], tables()["experiments"]
    query = sa.select(tags.c.experiment_id).where(
        tags.c.key == names.TAG_ARCHIVED_EXPERIMENT, tags.c.value == experiment
    )
    with databases.tracking.connect() as connection:
        found = connection.execute(query).scalar()
        newest = (
            connection.execute(sa.select(sa.func.max(experiments.c.experiment_id))).scalar() or 0
        )
    return str(found) if found is not None else str(max([newest, *map(int, taken)]) + 1)


def unused_default(databases: Databases, experiment: str) -> bool:
    """Return whether it is the experiment that MLflow makes by itself, and unused."""
    import sqlalchemy as sa

    if experiment != "0":
        return False
    with databases.tracking.connect() as connection:
        for name in ("runs", "logged_models", "trace_info", "datasets", "experiment_tags"):
            table = tables()[name]
            if connection.execute(
                sa.select(table.c.experiment_id).where(table.c.experiment_id == 0).limit(1)
            ).first():
                return False
    return True


def experiment_named(databases: Databases, name: str) -> str | None:
    """Return the id of the experiment of that name, or None."""
    import sqlalchemy as sa

    table = tables()["experiments"]
    with databases.tracking.connect() as connection:
        found = connection.execute(
            sa.select(table.c.experiment_id).where(table.c.name == name)
        ).scalar()
    return None if found is None else str(found)


@contextmanager
def open_writer(databases: Databases) -> Iterator[RecordWriter]:
    """Yield a writer of records. Raises: TransientError: the store changed since it was read."""
    from sqlalchemy.exc import IntegrityError

    try:
        with RecordWriter(databases) as writer:
            yield writer
    except IntegrityError as error:
        reason = str(error.orig).partition("\n")[0]
        raise TransientError(
            f"the store changed while it was written to ({reason}): run it again"
        ) from error
