"""A database that a rescue fills says so, from before its first row until all of it is proven."""

from typing import TYPE_CHECKING, Any

from onerun.tracking.database import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

TABLE = "onerun_rescue"


def begin(engine: "Engine", source: str) -> None:
    """What comes now comes from `source` and is not proven yet."""
    table = _table()
    with writing(engine) as connection:
        table.create(connection, checkfirst=True)
        connection.execute(table.delete())
        connection.execute(table.insert().values(source=source))


def source(engine: "Engine") -> str | None:
    """Returns: what a rescue that did not end was filling the database from; None: there is no such rescue."""
    import sqlalchemy as sa

    if not sa.inspect(engine).has_table(TABLE):
        return None
    with engine.connect() as connection:
        found: Any = connection.execute(sa.select(_table().c.source)).scalar()
    return str(found or "")


def end(engine: "Engine") -> None:
    """All of it is there and proven."""
    with writing(engine) as connection:
        _table().drop(connection)


def _table() -> "Table":
    import sqlalchemy as sa

    return sa.Table(TABLE, sa.MetaData(), sa.Column("source", sa.Text, nullable=False))
