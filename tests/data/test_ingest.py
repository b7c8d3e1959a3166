"""Tables of every format, however ugly, become the same snapshot for the same content."""

import bz2
import gzip
import json
import lzma
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from onerun.config.recipe import Data
from onerun.data import snapshots
from onerun.data.ingest import ingest, store_snapshot
from onerun.data.sources import delimited
from onerun.domain import names
from onerun.domain.references import Snapshot

Take = Callable[..., Snapshot]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Returns: a function that writes `content` to a file (or takes a source as it is) and ingests it."""

    def taken(
        name: str, content: str | bytes | None = None, target: str = "y", **more: Any
    ) -> Snapshot:
        source = name if "://" in name or name.startswith("sklearn:") else str(tmp_path / name)
        if content is not None:
            Path(source).parent.mkdir(parents=True, exist_ok=True)
            Path(source).write_bytes(content.encode() if isinstance(content, str) else content)
        return store_snapshot(Data(source=source, target=target, **more), str(tmp_path / "store"))

    return taken


def column(snapshot: Snapshot, name: str) -> list[Any]:
    values: list[Any] = snapshots.rows(snapshot, [name], None).column(0).to_pylist()
    return values


TABLE = "a,b,y\n1,x,0.5\n2,,1.5\n"


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_the_same_content_is_the_same_snapshot(
    take: Take, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    plain = take("plain.csv", TABLE)
    assert take(f"t.csv{ending}", pack(TABLE.encode())).digest == plain.digest
    assert take(f"t.tsv{ending}", pack(TABLE.replace(",", "\t").encode())).digest == plain.digest
    lines = '{"a": 1, "b": "x", "y": 0.5}\n{"a": 2, "y": 1.5}\n'
    assert take(f"t.jsonl{ending}", pack(lines.encode())).digest == plain.digest
    assert plain.columns == {"a": "int64", "b": "string", "y": "double"}


def test_zstandard(take: Take, tmp_path: Path) -> None:
    with pa.output_stream(tmp_path / "t.csv.zst") as stream:  # compression from the name
        stream.write(TABLE.encode())
    assert take("t.csv.zst").digest == take("plain.csv", TABLE).digest


def test_parquet_in_any_encoding(take: Take, tmp_path: Path) -> None:
    table = pc.read_csv(
        pa.BufferReader(TABLE.encode()), convert_options=pc.ConvertOptions(strings_can_be_null=True)
    )
    pq.write_table(table, tmp_path / "one.parquet", row_group_size=1)
    categorical = table.set_column(1, "b", table.column("b").dictionary_encode())
    pq.write_table(categorical, tmp_path / "two.parquet")
    assert (
        take("one.parquet").digest == take("two.parquet").digest == take("plain.csv", TABLE).digest
    )


def test_a_snapshot_is_reused_and_nothing_else_is_left(take: Take, tmp_path: Path) -> None:
    first = take("t.csv", TABLE)
    written = Path(first.uri).stat().st_ino
    assert take("copy.csv", TABLE).uri == first.uri
    assert Path(first.uri).stat().st_ino == written
    assert [path.name for path in (tmp_path / "store" / "snapshots").iterdir()] == [first.digest]


def test_writers_of_the_same_content_do_not_disturb_each_other(take: Take, tmp_path: Path) -> None:
    take("t.csv", TABLE)
    Path(tmp_path, "other.csv").write_text(TABLE + "3,z,2\n")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: take("other.csv"), range(16)))
    assert len({snapshot.digest for snapshot in found}) == 1
    assert column(found[0], "a") == [1, 2, 3]


def test_types_survive(take: Take) -> None:
    snapshot = take(
        "t.csv",
        "n,i,t,day,moment,word,empty,y\n1.5,7,true,2020-02-29,2020-01-01 10:00,yes,,a\n,,,,,,,b\n",
    )
    assert snapshot.columns == {
        "n": "double", "i": "int64", "t": "bool", "day": "date32[day]", "moment": "timestamp[us]", "word": "string",
        "empty": "double", "y": "string",
    }  # fmt: skip
    assert column(snapshot, "i") == [7, None]
    assert column(snapshot, "t") == [True, None]
    assert [str(value) for value in column(snapshot, "moment")] == ["2020-01-01 10:00:00", "None"]


def test_names_survive(take: Take) -> None:
    header = '"a [m,2]"," b ","c""q",naïve,,y'
    snapshot = take("t.csv", f"{header}\n1,2,3,4,5,6\n")
    assert list(snapshot.columns) == ["a [m,2]", " b ", 'c"q', "naïve", "Unnamed: 4", "y"]
    assert column(snapshot, "a [m,2]") == [1]


def test_blanks_around_texts_and_missing_texts(take: Take) -> None:
    table = "age, job,y\n39, ?, <=50K\n ?, clerk , >50K\n50, clerk, <=50K\n"
    snapshot = take("adult.csv", table, missing=("?",))
    assert column(snapshot, "y") == ["<=50K", ">50K", "<=50K"]
    assert column(snapshot, " job") == [None, "clerk", "clerk"]
    assert column(snapshot, "age") == [39, None, 50]


def test_rows_without_a_target_are_dropped_and_counted(take: Take) -> None:
    snapshot = take("t.csv", "a,y\n1,1\n2,\n3,NA\n4,2\n")
    assert (snapshot.rows, snapshot.dropped_rows) == (2, 2)
    assert column(snapshot, "a") == [1, 4]


@pytest.mark.parametrize("text", ["2.5", "NA"])
def test_the_last_line_counts_as_much_as_the_first(
    take: Take, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 2048)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    lines = "".join(f"{i},{i},t\n" for i in range(3000))
    snapshot = take("t.csv", f"a,y,c\n{lines}{text},7,5\n")
    assert snapshot.columns == {
        "a": "double" if text == "2.5" else "int64",
        "y": "int64",
        "c": "string",
    }
    assert column(snapshot, "a")[-2:] == [2999, 2.5 if text == "2.5" else None]
    assert column(snapshot, "c")[-1] == "5"


def test_a_column_that_begins_empty(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 2048)
    snapshot = take("t.csv", "a,y\n" + ",1\n" * 3000 + "7,1\n")
    assert snapshot.columns["a"] == "int64"
    assert column(snapshot, "a")[-1] == 7


def test_large_and_small_files_are_read_alike(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lines = "".join(
        f'{rng.normal():.6f}, {"ab"[i % 2]} ,2020-01-{i % 28 + 1:02d},"q\n{i}",{i % 3 == 0}\n'
        for i in range(5000)
    )
    at_once = take("t.csv", f"x,c,d,t,y\n{lines}")
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 2048)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    assert take("t.csv").digest == at_once.digest
    assert at_once.columns == {
        "x": "double",
        "c": "string",
        "d": "date32[day]",
        "t": "string",
        "y": "bool",
    }


def test_declared_types(take: Take) -> None:
    table = "zip,member,n,when,y\n00501,yes,3.0,2020-01-01,1\n10001,No,NA,,2\n"
    types = {"zip": "category", "member": "boolean", "n": "integer", "when": "date"}
    snapshot = take("t.csv", table, types=types)
    assert column(snapshot, "zip") == ["00501", "10001"]
    assert column(snapshot, "member") == [True, False]
    assert column(snapshot, "n") == [3, None]
    assert snapshot.columns["when"].startswith("timestamp")


def test_a_declared_type_of_a_parquet_column(take: Take, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"code": [1, 2], "flag": [0, 1], "y": [1.0, 2.0]}), tmp_path / "t.parquet"
    )
    snapshot = take("t.parquet", types={"code": "category", "flag": "boolean"})
    assert column(snapshot, "code") == ["1", "2"]
    assert column(snapshot, "flag") == [False, True]


def test_parts_unite_and_their_columns_may_stand_in_another_order(take: Take) -> None:
    take("parts/1.csv", "a,b,y\n1,x,1\n")
    together = take("parts/2.csv", "b,y,a\nz,2,2.5\n") and take("parts")
    assert together.columns == {"a": "double", "b": "string", "y": "int64"}
    assert column(together, "a") == [1.0, 2.5]
    assert take("parts/*.csv").digest == together.digest


def test_parquet_parts_unite(take: Take, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    pq.write_table(pa.table({"a": [1], "y": ["u"]}), tmp_path / "parts" / "1.parquet")
    pq.write_table(
        pa.table({"y": pa.array(["v"]).dictionary_encode(), "a": [2.5]}),
        tmp_path / "parts" / "2.parquet",
    )
    (tmp_path / "parts" / "_SUCCESS").touch()
    assert column(take("parts"), "a") == [1.0, 2.5]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_bundled_data_sets(take: Take, name: str) -> None:
    snapshot = take(f"sklearn:{name}", target="target")
    assert snapshot.columns["target"] == ("double" if name == "diabetes" else "string")
    if name == "iris":
        assert sorted(set(column(snapshot, "target"))) == ["setosa", "versicolor", "virginica"]
        assert "sepal length (cm)" in snapshot.columns


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Returns: the address of a web server whose root is `tmp_path`."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_http(take: Take, web: str) -> None:
    plain = take("t.csv", TABLE)
    over_http = take(f"{web}/t.csv?token=secret")
    assert over_http.digest == plain.digest
    assert "secret" not in over_http.source


def test_the_run_knows_its_snapshot(california: Path, run_id: str, tmp_path: Path) -> None:
    from onerun.tracking.runs import client

    data = Data(source=str(california), target="median_house_value")
    snapshot = ingest(run_id, data, str(tmp_path / "store"))
    assert ingest(run_id, data, str(tmp_path / "store")) == snapshot  # a retry
    run = client().get_run(run_id)
    assert snapshot.rows == 20_640
    assert run.data.tags[names.TAG_SNAPSHOT_DIGEST] == snapshot.digest
    assert len(run.inputs.dataset_inputs) == 1
    artifact = tmp_path / "artifacts" / run_id / "artifacts" / names.ARTIFACT_SNAPSHOT
    assert json.loads(artifact.read_text())["digest"] == snapshot.digest
