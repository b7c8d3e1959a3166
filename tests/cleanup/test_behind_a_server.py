"""docs/maintenance.md, where a server is in between: with its database and bucket named, all of it works."""

import json
import time
from pathlib import Path

import pytest

from onerun import storage
from onerun.cli import main as restore
from onerun.commands.maintain import COMMAND
from onerun.tracking.runs import client
from tests import servers
from tests.cleanup.conftest import DAY

main = COMMAND.main

NOW = int(time.time() * 1000)
ASKED = [
    "--policy",
    "name: weekly\nkeep: {last: 0}\nmax_delete: 100%\naction: hard_delete\n",
    "--apply",
    "--json",
]


def test_a_hard_delete_and_its_restore_where_the_server_keeps_artifacts_in_a_bucket(
    store_uri: str,
    s3_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "MLFLOW_S3_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": servers.S3_KEY,
        "AWS_SECRET_ACCESS_KEY": servers.S3_SECRET,
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://behind/mlflow",
        "ONERUN_STORE": "s3://behind/data",
    }.items():
        monkeypatch.setenv(name, value)
    storage.filesystem("s3://behind").mkdir("behind")
    ended = NOW - 40 * DAY
    run = (
        client()
        .create_run(client().create_experiment("houses", "mlflow-artifacts:/1"), start_time=ended)
        .info
    )
    client().set_terminated(run.run_id, "FINISHED", ended)
    assert run.artifact_uri == f"mlflow-artifacts:/1/{run.run_id}/artifacts"
    file = f"s3://behind/mlflow/1/{run.run_id}/artifacts/x"
    storage.write_bytes_atomically(file, b"four")
    before = {path.name for path in tmp_path.iterdir()}
    assert main(ASKED) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["done"], result["bytes"], result["left_count"]) == (1, 4, 0)
    assert not storage.exists(file)
    assert result["archive"].startswith("s3://behind/data/backups/weekly-")
    new = {path.name for path in tmp_path.iterdir()} - before
    assert new <= {"mlflow.db.maintenance.lock"}, (
        "nothing lies in the working directory, which dies with a container"
    )
    assert restore(["restore", result["archive"], "--apply"]) == 0
    assert storage.read_bytes(file) == b"four"
    assert client().get_run(run.run_id).info.end_time == ended
