"""Backing up what cannot be opened as a database: a server over HTTP with its artifacts, an old file store."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from onerun.archive import Selection, back_up, restore
from tests.archive.everything import comparable, differences, everything
from tests.archive.filling import fill
from tests.servers import MlflowServer
from tests.servers import mlflow_server as mlflow_server_on


def of_database(said: dict[str, Any]) -> dict[str, Any]:
    """Without what is shown of a version's logged model only where a version was registered a moment ago."""
    for each in said["registered houses"]["versions"].values():
        for key in ("metrics", "params", "model_id"):
            each.pop(key, None)
    return said


@pytest.mark.slow
def test_a_server_over_http(
    mlflow_server: MlflowServer, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Artifacts are fetched through the server's proxy; what comes back says the same through the API."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    runs = fill(mlflow_server.uri, tmp_path / "files", experiments=1, odd=False)
    client = MlflowClient(mlflow_server.uri)
    proxied = client.create_experiment("behind the proxy")
    run_id = client.create_run(proxied).info.run_id
    client.log_text(run_id, "fetched", "a/b/c.txt")
    wanted = {
        key: value for key, value in everything(mlflow_server.uri).items() if key != "experiment 0"
    }
    archive = back_up(Selection(), str(tmp_path / "backups"), "server")
    assert archive.counts["files"] == 10
    assert any("API" in note for note in archive.notes)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", str(tmp_path / "kept"))
    restore(archive.uri, apply=True)
    with mlflow_server_on(tmp_path, backend=empty) as other:
        after = everything(other.uri)
    after = {key: value for key, value in after.items() if key != "experiment 0"}
    assert differences(of_database(after), of_database(wanted)) == []
    assert restore(archive.uri, apply=True).new == 0
    assert next((tmp_path / "kept").rglob("c.txt")).read_text() == "fetched"
    assert len(runs) == 1


def test_an_old_file_store(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    fill(uri, tmp_path / "files", odd=False)
    before = everything(uri)
    archive = back_up(Selection(), str(tmp_path / "backups"), "old")
    shutil.rmtree(tmp_path / "files")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    restore(archive.uri, apply=True)
    assert (
        differences(comparable(of_database(everything(empty))), comparable(of_database(before)))
        == []
    )
