"""Reading a snapshot: what was asked for, in the table's order, and its parts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onerun.config.recipe import Data, Split
from onerun.data import snapshots
from onerun.data.ingest import store_snapshot
from onerun.domain.errors import DataError
from onerun.domain.references import Snapshot

DATA = Data(source="unused", target="y", group="g", time="t")


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    lines = [f"{i},{i % 40},2020-{i % 12 + 1:02d}-01,{'xyz'[i % 3]}\n" for i in range(3000)]
    (tmp_path / "t.csv").write_text("a,g,t,y\n" + "".join(lines))
    return store_snapshot(Data(source=str(tmp_path / "t.csv"), target="y"), str(tmp_path / "store"))


def test_batches_have_the_columns_in_the_order_asked(snapshot: Snapshot) -> None:
    batches = list(snapshots.batches(snapshot, ["y", "a"]))
    assert batches[0].schema.names == ["y", "a"]
    assert sum(batch.num_rows for batch in batches) == 3000


def test_rows_of_a_mask(snapshot: Snapshot) -> None:
    mask = np.arange(3000) % 100 == 7
    assert snapshots.rows(snapshot, ["a"], mask).column(0).to_pylist() == list(range(7, 3000, 100))
    assert snapshots.rows(snapshot, ["a", "y"], np.zeros(3000, bool)).num_rows == 0


def test_a_column_that_is_not_there(snapshot: Snapshot) -> None:
    with pytest.raises(DataError, match="no column 'b'"):
        snapshots.rows(snapshot, ["b"], None)


@pytest.mark.parametrize("by", ["hash", "random", "stratified", "group", "time"])
def test_parts_are_made_once_and_read_back(snapshot: Snapshot, by: str) -> None:
    split = Split(by=by)  # type: ignore[arg-type]
    parts = snapshots.parts(snapshot, DATA, split)
    kept = list(Path(snapshot.uri).parent.glob("split-*.npy"))
    assert len(kept) == 1
    np.save(kept[0], 2 - parts)
    assert np.array_equal(snapshots.parts(snapshot, DATA, split), 2 - parts)
    assert {int(part) for part in np.unique(parts)} == {0, 1, 2}


def test_moments_that_are_text_are_refused(snapshot: Snapshot) -> None:
    data = Data(source="unused", target="a", time="y")
    with pytest.raises(
        DataError, match=r"'y' is text, sorted by its letters; declare data.types: \{y: date\}"
    ):
        snapshots.parts(snapshot, data, Split(by="time"))


def test_groups_and_moments_stay_whole(snapshot: Snapshot) -> None:
    for by, name in (("group", "g"), ("time", "t")):
        parts = snapshots.parts(snapshot, DATA, Split(by=by))  # type: ignore[arg-type]
        values = snapshots.rows(snapshot, [name], None).column(0).to_pylist()
        assert len({(value, int(part)) for value, part in zip(values, parts, strict=True)}) == len(
            set(values)
        )


def test_rows_are_known_by_the_columns_that_identify_them(snapshot: Snapshot) -> None:
    parts = snapshots.parts(snapshot, DATA, Split(columns=("g",)))
    groups = np.arange(3000) % 40
    assert all(len(set(parts[groups == group].tolist())) == 1 for group in range(40))
    with pytest.raises(DataError, match=r"split\.columns.*'gg'; did you mean g"):
        snapshots.parts(snapshot, DATA, Split(columns=("gg",)))


def test_hashes_read_again_are_those_of_the_ingest(snapshot: Snapshot) -> None:
    before = snapshots.parts(snapshot, DATA, Split())
    folder = Path(snapshot.uri).parent
    for path in folder.glob("*.npy"):
        path.unlink()
    assert np.array_equal(snapshots.parts(snapshot, DATA, Split()), before)


MEASURED = """
import resource, sys
import onerun.data.ingest
from onerun.config.recipe import Data
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
snapshot = onerun.data.ingest.store_snapshot(Data(source=sys.argv[1], target="c0"), sys.argv[2])
print(snapshot.rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Five million rows of seven columns are 280 MB, and need a good part less."""
    column = np.random.default_rng(0).normal(size=500_000)
    schema = pa.schema([(f"c{i}", pa.float64()) for i in range(7)])
    with pq.ParquetWriter(
        tmp_path / "t.parquet", schema, compression="none", use_dictionary=False
    ) as writer:
        for _ in range(10):
            writer.write_table(pa.table([column] * 7, schema=schema))
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "t.parquet"), str(tmp_path / "store")]
    root = Path(__file__).parents[2]
    said = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    rows, megabytes = map(int, said.split())
    assert rows == 5_000_000
    assert megabytes < 200
