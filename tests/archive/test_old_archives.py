"""Archives that earlier versions made are still read. Never make these files again: a new format gets new ones.

`records-1.tar.gz` holds what tests/archive/filling.py fills (one experiment, two runs) and a trace,
`folders-1.folders.tar.gz` a run of an old store of files, as a clean-up archived it.
"""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.public import commands

HERE = Path(__file__).parent / "old"
RECORDS, FOLDERS = HERE / "records-1.tar.gz", HERE / "folders-1.folders.tar.gz"
RUN, TRACE = "9d1c2f0550cd46f6bff8c3cec72d9778", "tr-d6b9d21941205799cca6af2f2f885d39"
FOUND = {
    "experiment": 3, "run": 2, "dataset": 1, "model": 2, "link": 6, "model-metrics": 2, "trace": 1,
    "registered-model": 1, "model-version": 1, "files": 7,
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_records_come_back_into_a_new_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{folder}/new.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    whole = commands.run("flows.restore", str(RECORDS), "--verify", "--json").json
    assert (whole["status"], whole["header"]["version"], whole["counts"]["files"]) == (
        "whole",
        1,
        7,
    )
    arguments = ["flows.restore", str(RECORDS), "--artifacts", "files", "--apply", "--json"]
    done = commands.run(*arguments).json
    assert {kind: sum(counts.values()) for kind, counts in done["found"].items()} == FOUND
    again = commands.run(*arguments).json
    assert (done["status"], again["new"], again["differ"]) == ("done", 0, 0)

    client = MlflowClient(uri, uri)
    run = client.get_run(RUN)
    assert (run.info.status, run.data.params["depth"], run.data.metrics["loss"]) == (
        "FINISHED",
        "0",
        1 / 22,
    )
    assert run.data.tags["note"] == "several\nlines; ü"
    assert len(client.get_metric_history(RUN, "loss")) == 20
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["table"]
    assert Path(client.download_artifacts(RUN, "plots/a b/ü.txt")).read_text() == "report of 0"
    version = client.get_model_version_by_alias("houses", "champion")
    assert (str(version.version), version.run_id, version.tags) == (
        "1",
        RUN,
        {"onerun.run_id": RUN},
    )
    assert len(client.get_trace(TRACE).data.spans) == 2


def test_folders_are_unpacked(folder: Path) -> None:
    run = folder / "store" / "7" / ("a" * 32)
    (folder / "store").mkdir()
    assert (
        commands.run("flows.restore", str(FOLDERS), "--verify", "--json").json["status"] == "whole"
    )
    done = commands.run("flows.restore", str(FOLDERS), "--to", "store", "--apply", "--json").json
    assert (done["status"], done["new"], done["differ"]) == ("done", 5, 0)
    assert (run / "artifacts" / "data.txt").read_text() == "data"
    assert (run / "params" / "depth").read_text() == "3"
    assert "run_name: r" in (run / "meta.yaml").read_text()
