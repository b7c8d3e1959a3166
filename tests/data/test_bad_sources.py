"""A source that cannot be learned from: one clear error, and nothing half-written."""

import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Data
from onerun.data.ingest import store_snapshot
from onerun.domain.errors import DataError, TransientError

TABLES: dict[str, tuple[bytes, dict[str, object], str]] = {
    "empty file": (b"", {}, "the file is empty"),
    "header only": (b"a,b,y\n", {}, "no rows"),
    "the same name twice": (b"a,a,y\n1,2,3\n", {}, "same name: 'a'"),
    "a short line": (b"a,b,y\n1,2,3\n1,2\n", {}, "line 3 has 2 values where the header has 3"),
    "a long line": (
        b"a,b,y\n1,2,3\n4,5,6\n1,2,3,4\n",
        {},
        "line 4 has 4 values where the header has 3",
    ),
    "no target": (
        b"a,b,price\n1,2,3\n",
        {"target": "prices"},
        "no column 'prices'; did you mean price",
    ),
    "no value of the target": (b"a,y\n1,\n2,NA\n", {}, "'y' is missing in all 2 rows"),
    "Latin-1": ("a,y\nx,1\ncafé,2\n".encode("latin1"), {}, "line 3 is not UTF-8: byte 0xe9"),
    "UTF-16": ("a,y\nx,1\n".encode("utf-16"), {}, "is UTF-16, not UTF-8; .*iconv -f utf-16"),
    "a row without an end": (
        b'a,y\n"x,1\n' + b"x,1\n" * 2**20,
        {},
        "longer than a megabyte; is a closing quote missing",
    ),
    "Latin-1 in the header": ("café,y\nx,1\n".encode("latin1"), {}, "line 1 is not UTF-8"),
    "text among numbers": (
        b"a,y\n1,1\nx,2\n3,3\n4,4\nn.a.,5\n6,6\n",
        {},
        r"'a': 4 of 6 values are numbers, but not row 2: 'x', row 5: 'n\.a\.'.*data\.missing.*data\.types",
    ),
    "text in a declared number": (
        b"a,y\n1,1\nx,2\n",
        {"types": {"a": "number"}},
        "1 of 2 rows are not number.*row 2: 'x'",
    ),
    "no boolean": (
        b"a,y\nyes,1\nperhaps,2\n",
        {"types": {"a": "boolean"}},
        "not boolean.*row 2: 'perhaps'",
    ),
    "no integer": (
        b"a,y\n1.5,1\n2,2\n",
        {"types": {"a": "integer"}},
        r"not integer.*row 1: '1\.5'",
    ),
    "no date": (
        b"a,y\n2020-02-30,1\n2020-01-01,2\n",
        {"types": {"a": "date"}},
        "not date.*row 1: '2020-02-30'",
    ),
    "a declared type of no column": (
        b"age,y\n1,1\n",
        {"types": {"aeg": "number"}},
        "data.types: .*did you mean age",
    ),
}


def ingested(tmp_path: Path, name: str, **more: object) -> None:
    store_snapshot(
        Data(**{"source": str(tmp_path / name), "target": "y", **more}), str(tmp_path / "store")
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_learned_from(tmp_path: Path, case: str) -> None:
    content, more, says = TABLES[case]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        ingested(tmp_path, "t.csv", **more)
    assert not list((tmp_path / "store").rglob("*.parquet"))
    assert not list((tmp_path / "store").rglob(".partial*"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("cut.csv.gz", gzip.compress(b"a,y\n" + b"1,2\n" * 9999, mtime=0)[:60], "cut off"),
        ("plain.csv.gz", b"a,y\n1,2\n", "not compressed as named"),
        ("t.parquet", b"a,y\n1,2\n", "not a Parquet file"),
        ("t.jsonl", b"", "the file is empty"),
        ("array.json", b'[{"a": 1, "y": 2}]', "a JSON array, not JSON lines"),
        ("bad.jsonl", b'{"a": 1, "y": 2}\n{"a": \n', "from line 1 on"),
        ("kinds.jsonl", b'{"a": 1, "y": 2}\n{"a": "x", "y": 2}\n', "changed from number to string"),
        ("deep.jsonl", b'{"a": {"b": 1}, "y": 2}\n', r"data\.drop"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        ingested(tmp_path, name)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hoses.csv", r"no such file; did you mean houses\.csv"),
        ("nowhere/t.csv", "no such folder"),
        ("*.tsv", "no file matches"),
        ("void", "the folder holds no file"),
        ("houses.xyz", r"cannot tell the format.*data\.format"),
    ],
)
def test_a_source_that_is_not_there_is_a_mistake(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "houses.csv").write_text("a,y\n1,2\n")
    (tmp_path / "houses.xyz").write_text("a,y\n1,2\n")
    (tmp_path / "void").mkdir()
    with pytest.raises(Mistakes, match=says):
        ingested(tmp_path, source)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("sklearn:irs", "did you mean iris"),
        ("http://127.0.0.1:9/t.csv", "127.0.0.1 does not answer"),
        ("https://me:${NO_SUCH_VARIABLE}@127.0.0.1:9/t.csv", "NO_SUCH_VARIABLE.*not set"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_mistake(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(Mistakes, match=says):
        store_snapshot(Data(source=source, target="y"), str(tmp_path))


def test_parts_that_do_not_fit_together(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,y\n1,2\n")
    (tmp_path / "2.csv").write_text("a,z,y\n1,2,3\n")
    with pytest.raises(DataError, match=r"2\.csv and .*1\.csv have different columns.*\['z'\]"):
        ingested(tmp_path, "*.csv")


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"a": list(range(5000)), "y": list(range(5000))}), tmp_path / "t.parquet"
    )
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[4:2000] = bytes(1996)
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(DataError, match="damaged Parquet file"):
        ingested(tmp_path, "t.parquet")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [b"\xff\xfe"], "y": [1]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'a' \(.*binary.*\) cannot be stored as string"):
        ingested(tmp_path, "t.parquet")


def test_parquet_parts_of_different_kinds(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "y": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"], "y": [1]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"'a' is int64 in .*1\.parquet but string in .*2\.parquet"):
        ingested(tmp_path, "*.parquet")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Returns: a folder on a disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], stderr=subprocess.DEVNULL
    )
    if not mounted:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i * 0.37},{i}\n" for i in range(50_000)))
    with pytest.raises(TransientError, match="no space left"):
        store_snapshot(Data(source=str(tmp_path / "t.csv"), target="y"), str(small_disk))
    assert not list(small_disk.rglob("*.*"))


def test_a_store_that_may_not_be_written_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    with pytest.raises(Mistakes, match="/proc"):
        store_snapshot(Data(source=str(tmp_path / "t.csv"), target="y"), "/proc/onerun")
