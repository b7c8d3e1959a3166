"""Databases as source: SQLite always, PostgreSQL where its server is installed."""

import sqlite3
import time
from pathlib import Path

import pytest

from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Data
from onerun.data import snapshots
from onerun.data.ingest import store_snapshot
from onerun.data.sources import sql
from onerun.domain.errors import DataError


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Returns: the URL of a database whose column `a` is whole numbers at first, and later not."""
    with sqlite3.connect(tmp_path / "d.db") as database:
        database.execute("CREATE TABLE t (a, late, word TEXT, y REAL)")
        rows = [
            (i if i < 900 else i + 0.5, i if i > 500 else None, "ab"[i % 2], i / 4)
            for i in range(1000)
        ]
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    return f"sqlite:///{tmp_path}/d.db"


def test_types_are_right_for_all_rows(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "ROWS", 100)
    snapshot = store_snapshot(
        Data(source=sqlite, query="SELECT * FROM t", target="y"), str(tmp_path / "store")
    )
    assert snapshot.columns == {"a": "double", "late": "int64", "word": "string", "y": "double"}
    assert snapshot.rows == 1000
    assert snapshots.rows(snapshot, ["a"], None).column(0).to_pylist()[-1] == 999.5


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM houses", r"data\.query.*no such table: houses"),
        ("SELEC 1", r"data\.query.*syntax error"),
        (None, r"data\.query.*needs a query"),
    ],
)
def test_a_bad_query_is_a_mistake(
    sqlite: str, tmp_path: Path, query: str | None, says: str
) -> None:
    with pytest.raises(Mistakes, match=says):
        store_snapshot(Data(source=sqlite, query=query, target="y"), str(tmp_path))


def test_values_of_different_kinds(sqlite: str, tmp_path: Path) -> None:
    query = "SELECT CASE WHEN a > 5 THEN 'x' ELSE 1 END AS mixed, y FROM t"
    with pytest.raises(DataError, match="'mixed' holds values of different kinds"):
        store_snapshot(Data(source=sqlite, query=query, target="y"), str(tmp_path / "store"))


def test_no_rows(sqlite: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        store_snapshot(
            Data(source=sqlite, query="SELECT * FROM t WHERE y < 0", target="y"),
            str(tmp_path / "store"),
        )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("sqlite:///nowhere.db", "no such database file"),
        ("nosuchdatabase://host/x", "no SQLAlchemy URL|not an SQLAlchemy URL"),
        ("postgresql+psycopg://me@127.0.0.1:9/x", "(?i)connection.*refused"),
    ],
)
def test_a_database_that_is_not_there_is_a_mistake(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(Mistakes, match=says):
        store_snapshot(Data(source=source, query="SELECT 1 AS y", target="y"), str(tmp_path))


def test_postgresql_streams_with_types(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_PASSWORD", "pg-password")
    query = """SELECT i, i::numeric(9, 2) / 4 AS price, i % 2 = 0 AS even, date '2020-01-01' + i AS day,
                      NULL::int AS none, md5('')::uuid AS id, now() AS moment, CASE WHEN i > 30000 THEN i END AS y
               FROM generate_series(1, 50000) AS i"""
    source = f"postgresql+psycopg://me:${{PG_PASSWORD}}@{postgres}/postgres"
    snapshot = store_snapshot(Data(source=source, query=query, target="y"), str(tmp_path))
    assert (snapshot.rows, snapshot.dropped_rows) == (20_000, 30_000)
    assert snapshot.columns == {
        "i": "int64", "price": "double", "even": "bool", "day": "date32[day]", "none": "double", "id": "string",
        "moment": "timestamp[us, tz=UTC]", "y": "int64",
    }  # fmt: skip
    assert "pg-password" not in snapshot.model_dump_json()


def test_a_wrong_password_is_a_mistake(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_PASSWORD", "wrong-and-confidential")
    source = f"postgresql+psycopg://me:${{PG_PASSWORD}}@{postgres}/postgres"
    start = time.monotonic()
    with pytest.raises(Mistakes, match="password authentication failed") as caught:
        store_snapshot(Data(source=source, query="SELECT 1 AS y", target="y"), str(tmp_path))
    assert "confidential" not in str(caught.value)
    assert time.monotonic() - start < 10
