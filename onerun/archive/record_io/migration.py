"""MLflow's own migration of a file store, what its database holds afterwards, and its mark.

A database that a rescue fills carries a mark, from before its first row until all is proven.
"""

import contextlib
import io
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.archive.record_io.database import tables
from onerun.tracking.database import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

MARK = "onerun_rescue"  # a table

# A row of the first table whose columns name no row of the second is an orphan.
_LINKS = (
    (
        "inputs",
        "destination_id",
        "runs",
        "run_uuid",
        "source_type = 'DATASET' AND destination_type = 'RUN'",
    ),
    ("inputs", "source_id", "runs", "run_uuid", "source_type IN ('RUN_INPUT', 'RUN_OUTPUT')"),
    ("inputs", "source_id", "datasets", "dataset_uuid", "source_type = 'DATASET'"),
)


def migrate(source: Path, file: Path) -> str:
    """Run `mlflow migrate-filestore` into a new SQLite `file`. Return its output and warnings."""
    from mlflow.store.fs2db import migrate as migrate_filestore

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("mlflow.store.fs2db")
    logger.addHandler(handler)
    try:
        with contextlib.redirect_stdout(said):
            migrate_filestore(source, f"sqlite:///{file}.draft", progress=False)
    finally:
        logger.removeHandler(handler)
    # The tool leaves connections open and half of its rows in a log: a copy is whole.
    with (
        contextlib.closing(sqlite3.connect(f"{file}.draft")) as draft,
        contextlib.closing(sqlite3.connect(file)) as whole,
    ):
        draft.backup(whole)
        whole.execute("PRAGMA journal_mode = DELETE")
    return said.getvalue()


def orphans(engine: Any) -> dict[str, int]:
    """Return table -> number of rows that refer to something that does not exist.

    By MLflow's own foreign keys, and by links that have none.
    """
    import sqlalchemy as sa

    found: dict[str, int] = {}
    with engine.connect() as connection:
        for child in tables().values():
            for constraint in child.foreign_key_constraints:
                count = connection.execute(_missing(child, constraint)).scalar() or 0
                if count:
                    found[f"{child.name} without {constraint.referred_table.name}"] = count
        for child_name, column, parent, key, condition in _LINKS:
            query = (
                f"SELECT count(*) FROM {child_name} WHERE {condition} "
                f"AND {column} NOT IN (SELECT {key} FROM {parent})"
            )
            if count := connection.execute(sa.text(query)).scalar() or 0:
                found[f"{child_name} without {parent}"] = count
    return found


def _missing(child: Any, constraint: Any) -> Any:
    import sqlalchemy as sa

    parent = constraint.referred_table.alias("parent")
    pairs = [(element.parent, parent.c[element.column.name]) for element in constraint.elements]
    refers = sa.and_(*(column.is_not(None) for column, _ in pairs))
    match = sa.exists().where(sa.and_(*(column == key for column, key in pairs)))
    return sa.select(sa.func.count()).select_from(child).where(refers, ~match)


def lost_experiments(engine: Any) -> Iterator[tuple[int, list[str], int]]:
    """Yield experiments that have runs or logged models and no row.

    Each with its id, the artifact addresses of its runs, and the first start.
    """
    import sqlalchemy as sa

    runs, models, experiments = tables()["runs"], tables()["logged_models"], tables()["experiments"]
    known = sa.select(experiments.c.experiment_id)
    with engine.connect() as connection:
        ids = {
            each
            for table in (runs, models)
            for (each,) in connection.execute(
                sa.select(table.c.experiment_id)
                .distinct()
                .where(table.c.experiment_id.not_in(known))
            )
            if each is not None
        }
        for each in sorted(ids):
            query = sa.select(runs.c.artifact_uri).where(runs.c.experiment_id == each).limit(1000)
            places = [place for (place,) in connection.execute(query) if place]
            start = connection.execute(
                sa.select(sa.func.min(runs.c.start_time)).where(runs.c.experiment_id == each)
            ).scalar()
            yield each, places, start or 0


def begin_filling(engine: "Engine", source: str) -> None:
    """Mark the database: what comes now comes from `source` and is not proven yet."""
    table = _table()
    with writing(engine) as connection:
        table.create(connection, checkfirst=True)
        connection.execute(table.delete())
        connection.execute(table.insert().values(source=source))


def source_filling(engine: "Engine") -> str | None:
    """Return what an unfinished rescue was filling the database from; None: there was none."""
    import sqlalchemy as sa

    if not sa.inspect(engine).has_table(MARK):
        return None
    with engine.connect() as connection:
        found: Any = connection.execute(sa.select(_table().c.source)).scalar()
    return str(found or "")


def end_filling(engine: "Engine") -> None:
    """Remove the mark: everything was written and proven."""
    with writing(engine) as connection:
        _table().drop(connection)


def _table() -> "Table":
    import sqlalchemy as sa

    return sa.Table(MARK, sa.MetaData(), sa.Column("source", sa.Text, nullable=False))
