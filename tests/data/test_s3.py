"""S3 as source and as store, against a real server; wrong keys and silence are mistakes, told within seconds."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from onerun import storage
from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Data, Split
from onerun.data import snapshots
from onerun.data.ingest import store_snapshot
from onerun.data.sources.source import check_source
from onerun.domain.errors import StoreUnreachable
from onerun.tracking import runs
from tests import servers

ROOT = Path(__file__).parents[2]
KEY, SECRET = servers.S3_KEY, servers.S3_SECRET


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns: s3://tables, reachable by the environment's keys."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    system = storage.filesystem("s3://tables")
    if not system.exists("tables"):
        system.mkdir("tables")
    return "s3://tables"


def test_from_s3_to_s3(bucket: str, tmp_path: Path) -> None:
    lines = "".join(f"{i},{'ab'[i % 2]},{i / 7}\n" for i in range(20_000))
    (tmp_path / "t.csv").write_text("a,b,y\n" + lines)
    local = store_snapshot(
        Data(source=str(tmp_path / "t.csv"), target="y"), str(tmp_path / "store")
    )
    storage.put_file(tmp_path / "t.csv", f"{bucket}/in/t.csv")
    far = store_snapshot(Data(source=f"{bucket}/in/t.csv", target="y"), f"{bucket}/store")
    assert far.uri == f"{bucket}/store/snapshots/{local.digest}/table.parquet"
    assert snapshots.rows(far, ["a", "b"], None).equals(snapshots.rows(local, ["a", "b"], None))
    parts = [snapshots.parts(far, Data(source="x", target="y"), Split()) for _ in range(2)]
    assert np.array_equal(*parts)
    assert store_snapshot(
        Data(source=f"{bucket}/in/*.csv", target="y"), f"{bucket}/store"
    ) == far.model_copy(update={"source": f"{bucket}/in/*.csv"})
    again = store_snapshot(Data(source=far.uri, target="y"), str(tmp_path / "store"))
    assert again.digest == local.digest


def test_no_such_object_has_a_near_miss(bucket: str, tmp_path: Path) -> None:
    storage.write_bytes_atomically(f"{bucket}/near/houses.csv", b"a,y\n1,2\n")
    with pytest.raises(Mistakes, match=r"no such object; did you mean houses\.csv"):
        store_snapshot(Data(source=f"{bucket}/near/house.csv", target="y"), str(tmp_path))


def test_no_such_bucket(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    with pytest.raises(Mistakes, match="nowhere"):
        store_snapshot(Data(source=str(tmp_path / "t.csv"), target="y"), "s3://nowhere/store")


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_a_mistake(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    storage.write_bytes_atomically(f"{bucket}/keys/t.csv", b"a,y\n1,2\n")
    monkeypatch.setenv(variable, "wrong-and-confidential")
    start = time.monotonic()
    with pytest.raises(Mistakes, match=f"refuses the credentials.*{variable}") as caught:
        store_snapshot(Data(source=f"{bucket}/keys/t.csv", target="y"), str(tmp_path))
    assert time.monotonic() - start < 10
    assert "confidential" not in str(caught.value)


def test_an_endpoint_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{servers.free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("ONERUN_RETRY_BUDGET", "1s")
    data = Data(source="s3://tables/t.csv", target="y")
    with pytest.raises(StoreUnreachable, match=r"S3 at http://127\.0\.0\.1:\d+ has not answered"):
        store_snapshot(data, str(tmp_path))
    monkeypatch.setenv("ONERUN_RETRY_BUDGET", "1d")
    assert "MLFLOW_S3_ENDPOINT_URL" in str(
        check_source(data)[0]
    )  # before work it is a mistake, and told at once


def test_artifacts_with_wrong_keys_are_a_mistake(
    bucket: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = runs.client().create_experiment(
        f"far {run_id}", artifact_location=f"{bucket}/artifacts"
    )
    far = runs.client().create_run(experiment).info.run_id
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    program = f"from onerun.tracking import runs; runs.log_text({far!r}, 'wrong', 'wrong.txt')"
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
    }  # in a process of its own: boto3 reads the keys once
    done = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, timeout=200
    )
    assert re.search(
        r"Mistakes: .*refuses the credentials .*look at AWS_ACCESS_KEY_ID", done.stderr
    ), done.stderr
