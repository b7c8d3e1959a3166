"""Records read from MLflow's databases: first what there is, then the rows, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from onerun.archive.record_io.database import Databases, tables
from onerun.archive.record_io.layout import (
    ARCHIVED,
    DELETED,
    KNOWN,
    NATURAL,
    NOT_KEPT,
    PARTS,
    PLACE_OF_TRACE,
    REGISTRY,
    WORKSPACE,
    RecordTable,
    identity,
)
from onerun.domain.archives import KINDS, RecordEntry, Sameness, entry_of
from onerun.tracking.database import reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

BATCH = 200  # records asked for at once
LINE = 1000  # rows handed on at once
Rows = tuple[str, str, list[dict[str, Any]]]  # id, table, rows


def entries(databases: Databases) -> Iterator[RecordEntry]:
    """Yield every record of the store, without its rows."""
    for kind in KINDS:
        with reading(databases.of(kind)) as connection:
            yield from _entries(connection, kind)


def _entries(connection: "Connection", kind: str) -> Iterator[RecordEntry]:
    import sqlalchemy as sa

    main = PARTS[kind][0]
    table = tables()[main.table]
    query = sa.select(*(table.c[column] for column in KNOWN[kind])).distinct()
    if kind in REGISTRY:
        query = query.where(table.c.workspace == WORKSPACE)
    places = _places_of_traces(connection) if kind == "trace" else {}
    for row in connection.execution_options(yield_per=5000).execute(query).mappings():
        entry = entry_of(kind, identity(main, dict(row)), dict(row))
        if kind == "trace":
            entry = replace(entry, place=places.get(entry.id))
        yield entry


def _places_of_traces(connection: "Connection") -> dict[str, str]:
    import sqlalchemy as sa

    tags = tables()["trace_tags"]
    query = sa.select(tags.c.request_id, tags.c.value).where(tags.c.key == PLACE_OF_TRACE)
    return {row.request_id: row.value for row in connection.execute(query)}


def made_at(databases: Databases) -> int | None:
    """Return when the first experiment was made, in milliseconds since 1970, or None."""
    import sqlalchemy as sa

    table = tables()["experiments"]
    with reading(databases.tracking) as connection:
        made = connection.scalar(
            sa.select(table.c.creation_time).order_by(table.c.experiment_id).limit(1)
        )
    return None if made is None else int(made)


def rows(databases: Databases, kind: str, ids: Sequence[str]) -> Iterator[Rows]:
    """Yield the rows of these records, record by record, its main table first.

    A record that was deleted meanwhile yields nothing.
    """
    for start in range(0, len(ids), BATCH):
        batch = list(ids[start : start + BATCH])
        with reading(databases.of(kind)) as connection:
            yield from _batch(connection, kind, batch)


def _batch(connection: "Connection", kind: str, ids: Sequence[str]) -> Iterator[Rows]:
    main, *others = PARTS[kind]
    if not others:
        yield from ((each, main.table, some) for each, some in _grouped(connection, main, ids))
        return
    *short, long = others
    heads = _collected(connection, main, ids)
    bodies = {part.table: _collected(connection, part, list(heads)) for part in short}
    pending = set(heads)
    for each, some in _grouped(connection, long, list(heads)):
        if each in pending:
            pending.discard(each)
            yield from _head(each, main, heads, bodies)
        yield each, long.table, some
    for each in pending:
        yield from _head(each, main, heads, bodies)


def _head(
    each: str,
    main: RecordTable,
    heads: dict[str, list[dict[str, Any]]],
    bodies: dict[str, dict[str, list[dict[str, Any]]]],
) -> Iterator[Rows]:
    yield each, main.table, heads[each]
    for table, body in bodies.items():
        for start in range(0, len(body.get(each, [])), LINE):
            yield each, table, body[each][start : start + LINE]


def _collected(
    connection: "Connection", part: RecordTable, ids: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    collected: dict[str, list[dict[str, Any]]] = {}
    for each, some in _grouped(connection, part, ids):
        collected.setdefault(each, []).extend(some)
    return collected


def _grouped(
    connection: "Connection", part: RecordTable, ids: Sequence[str]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield id and at most LINE of its rows; the rows of one id come together."""
    if not ids:
        return
    wanted = set(ids)
    stream = connection.execution_options(yield_per=LINE).execute(_query(part, ids)).mappings()
    for each, group in groupby((dict(row) for row in stream), key=lambda row: identity(part, row)):
        if each not in wanted:
            continue
        held: list[dict[str, Any]] = []
        for row in group:
            held.append(row)
            if len(held) == LINE:
                yield each, held
                held = []
        if held:
            yield each, held


def _query(part: RecordTable, ids: Sequence[str]) -> "Select[Any]":
    """Return a query by the first column, which is indexed; a caller with two filters the rest."""
    import sqlalchemy as sa

    table = tables()[part.table]
    column = table.c[part.columns[0]]
    firsts = set(ids)
    if len(part.columns) > 1:
        firsts = {each.partition("/")[0] for each in ids}
    values: list[Any] = list(firsts)
    if isinstance(column.type, sa.Integer):
        values = [int(each) for each in firsts]
    order = [table.c[name] for name in part.columns]
    query = sa.select(table).where(column.in_(values)).order_by(*order)
    if part.columns[0] == "name":
        query = query.where(table.c.workspace == WORKSPACE)
    return query


class Found(NamedTuple):
    """What a store has of a record: its digest, the row of its main table, where its files lie."""

    digest: str
    row: dict[str, Any]
    place: str | None

    @property
    def deleted(self) -> bool:
        """Return whether it is only what a deletion leaves."""
        return bool(self.row.get("current_stage") == DELETED)


def found(databases: Databases, kind: str, ids: Sequence[str]) -> dict[str, Found]:
    """Return id -> what the store has, for those records that it has."""
    known: dict[str, Sameness] = {}
    heads: dict[str, dict[str, Any]] = {}
    for each, table, some in rows(databases, kind, ids):
        if each not in known:
            known[each], heads[each] = Sameness(), some[0]
        for row in some:
            known[each].add(table, row)
    return {
        each: Found(same.digest, heads[each], entry_of(kind, each, heads[each]).place)
        for each, same in known.items()
    }


def twin(databases: Databases, kind: str, row: dict[str, Any]) -> str | None:
    """Return the id under which the store has the same data set or link, or None."""
    import sqlalchemy as sa

    main = PARTS[kind][0]
    table = tables()[main.table]
    query = sa.select(table.c[main.columns[0]]).where(
        *(table.c[name] == row[name] for name in NATURAL[kind])
    )
    with databases.of(kind).connect() as connection:
        there = connection.execute(query).scalar()
    return None if there is None else str(there)


def left_out(databases: Databases) -> list[str]:
    """Return, in words, what the store holds and an archive does not."""
    import sqlalchemy as sa

    notes = []
    for name, table in tables().items():
        if name in ARCHIVED | NOT_KEPT or name.endswith("_rollups"):
            continue
        with databases.tracking.connect() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0
        if count:
            notes.append(f"{count} rows of MLflow's table {name} are not part of an archive")
    return notes + _other_workspaces(databases)


def _other_workspaces(databases: Databases) -> list[str]:
    import sqlalchemy as sa

    table = tables()["registered_models"]
    query = sa.select(sa.func.count()).select_from(table).where(table.c.workspace != WORKSPACE)
    with databases.registry.connect() as connection:
        count = connection.execute(query).scalar() or 0
    if not count:
        return []
    return [f"{count} registered models of other workspaces are not part of an archive"]
