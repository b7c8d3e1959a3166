"""What nobody owns is set aside when it is still so, and each one that cannot be moved is a note, not an end."""

import os
import shutil
import time
from pathlib import Path

import pytest

from domain.maintenance.findings import Finding
from tasks.maintain import carry_out, planned
from tasks.maintenance.examining import examine
from tasks.maintenance.setting_aside import QUARANTINE, set_aside
from tasks.maintenance.stores import open_store
from tasks.tracking.runs import client
from tests.tasks.maintenance.conftest import DAY, MakeRun
from tests.tasks.maintenance.test_clean_up import policy

NOW = int(time.time() * 1000)
LONG_AGO = NOW - 100 * DAY
RUN, MODEL = "a" * 32, f"m-{'b' * 32}"


def old(folder: Path) -> Path:
    """Makes a folder with a file two folders down, all of it a hundred days old."""
    (folder / "artifacts" / "plots").mkdir(parents=True)
    (folder / "artifacts" / "plots" / "x").write_bytes(b"x" * 7)
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (LONG_AGO / 1000, LONG_AGO / 1000))
    return folder


def folders(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.name in (RUN, MODEL)}


@pytest.fixture
def houses(experiment: str, make_run: MakeRun, tmp_path: Path) -> Path:
    """Returns: the artifacts of an experiment with a run of its own and two folders that nobody owns."""
    make_run(3, NOW)
    old(tmp_path / "artifacts" / "houses" / RUN)
    old(tmp_path / "artifacts" / "houses" / "models" / MODEL)
    return tmp_path / "artifacts" / "houses"


def test_it_can_be_moved_back(houses: Path) -> None:
    store, findings = open_store(), examine(open_store())
    assert {(finding.since, finding.bytes) for finding in findings} == {(LONG_AGO, 7)}
    assert set_aside(store, findings, before=LONG_AGO - 1) == (0, []), "too young"
    assert set_aside(store, findings, before=NOW) == (2, [])
    assert folders(houses) == {f"{QUARANTINE}/{RUN}", f"{QUARANTINE}/models/{MODEL}"}
    assert examine(store) == []
    (houses / QUARANTINE / RUN).rename(houses / RUN)
    assert [Path(finding.id).name for finding in examine(store)] == [RUN]


def test_a_file_deep_inside_that_somebody_still_writes_keeps_it(houses: Path) -> None:
    """The folder's own time is old: only the file's tells."""
    early = examine(open_store())
    deep = houses / RUN / "artifacts" / "plots" / "x"
    os.utime(deep, (NOW / 1000, NOW / 1000))
    found = {Path(finding.id).name: finding.since for finding in examine(open_store())}
    assert found == {RUN: NOW, MODEL: LONG_AGO}
    moved, (note,) = set_aside(open_store(), early, before=NOW - DAY)
    assert (moved, note) == (1, f"{houses / RUN}: was changed meanwhile; it was left (7 B)")
    assert deep.exists()


def test_a_run_that_came_back_while_a_person_was_asked_keeps_its_files(
    houses: Path, experiment: str, make_run: MakeRun
) -> None:
    owned = make_run(50, NOW)
    old(houses / owned / "more")
    stale = [Finding("prefix-without-owner", str(houses / owned), 1007, LONG_AGO, "the store knew no such run")]
    moved, (note,) = set_aside(open_store(), stale, before=NOW)
    assert (moved, note) == (0, f"{houses / owned}: {owned} is in the store again; it was left (1.01 kB)")
    assert (houses / owned / "artifacts" / "data.bin").exists()


def test_one_that_cannot_be_moved_does_not_keep_the_others(houses: Path) -> None:
    old(houses / QUARANTINE / RUN)
    moved, (note,) = set_aside(open_store(), examine(open_store()), before=NOW)
    assert moved == 1
    assert note.startswith(f"{houses / RUN}: cannot be moved to {houses / QUARANTINE / RUN} (")
    assert folders(houses) == {RUN, f"{QUARANTINE}/{RUN}", f"{QUARANTINE}/models/{MODEL}"}


def test_behind_a_proxy_it_is_found_and_moved_where_the_server_keeps_it(
    store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client().create_experiment("houses", artifact_location="mlflow-artifacts:/1")
    old(tmp_path / "served" / "1" / RUN)
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", str(tmp_path / "served"))
    with planned(policy("hard_delete"), ()) as what:
        assert [finding.id for finding in what.findings] == [f"mlflow-artifacts:/1/{RUN}"]
        result = carry_out(what, yes_really=False)
    assert (result.set_aside, result.notes) == (1, [])
    assert folders(tmp_path / "served") == {f"1/{QUARANTINE}/{RUN}"}
    assert not list(tmp_path.glob("mlflow-artifacts*"))


def test_where_nobody_says_what_lies_behind_the_proxy_it_is_a_note(store_uri: str, tmp_path: Path) -> None:
    finding = Finding("prefix-without-owner", f"mlflow-artifacts:/1/{RUN}", 7, LONG_AGO, "")
    moved, (note,) = set_aside(open_store(), [finding], before=NOW)
    assert moved == 0
    assert "MLFLOW_ARTIFACTS_DESTINATION does not say where" in note
    assert not list(tmp_path.glob("mlflow-artifacts*"))


def test_what_was_done_is_told_though_setting_aside_fails_as_a_whole(
    houses: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    gone = make_run(40, NOW)
    with planned(policy("hard_delete"), ()) as what:
        shutil.rmtree(houses / "models")
        (houses / "models").write_text("no folder")  # reading it is an error that nobody foresaw
        what.findings.append(Finding("prefix-without-owner", "\0", 7, LONG_AGO, ""))
        result = carry_out(what, yes_really=False)
    assert result.done == 1
    assert "artifacts that nobody owns were left: ValueError" in result.notes[-1]
    assert not (houses / gone).exists()
