"""What nobody owns is set aside when it is still so, and each one that cannot be moved is a note, not an end."""

import os
import shutil
import time
from pathlib import Path

import pytest

from onerun.cleanup.inspection import examine
from onerun.cleanup.maintenance import carry_out, planned
from onerun.cleanup.quarantine import QUARANTINE, quarantine
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import Experiment
from onerun.store.protocol import open_store
from onerun.tracking.runs import client
from tests.cleanup.conftest import DAY, MakeRun, log_model
from tests.cleanup.test_clean_up import policy
from tests.cleanup.test_troubles import execute

NOW = int(time.time() * 1000)
LONG_AGO = NOW - 100 * DAY
RULES = policy("hard_delete")
HOUSES = Experiment("1", "houses", "active", "", 0, 0, {})
RUN, MODEL = "a" * 32, f"m-{'b' * 32}"


def old(folder: Path) -> Path:
    """Makes a folder with a file two folders down, all of it a hundred days old."""
    (folder / "artifacts" / "plots").mkdir(parents=True)
    (folder / "artifacts" / "plots" / "x").write_bytes(b"x" * 7)
    for path in (folder, *folder.rglob("*")):
        os.utime(path, ns=(LONG_AGO * 10**6,) * 2)
    return folder


def folders(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.name in (RUN, MODEL)
    }


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
    assert quarantine(store, RULES, findings, before=LONG_AGO - 1) == (0, []), "too young"
    assert quarantine(store, RULES, findings, before=NOW) == (2, [])
    assert folders(houses) == {f"{QUARANTINE}/{RUN}", f"{QUARANTINE}/models/{MODEL}"}
    assert examine(store) == []
    (houses / QUARANTINE / RUN).rename(houses / RUN)
    assert [Path(finding.id).name for finding in examine(store)] == [RUN]


def test_a_file_deep_inside_that_somebody_still_writes_keeps_it(houses: Path) -> None:
    """The folder's own time is old: only the file's tells."""
    early = examine(open_store())
    deep = houses / RUN / "artifacts" / "plots" / "x"
    os.utime(deep, ns=(NOW * 10**6,) * 2)
    found = {Path(finding.id).name: finding.since for finding in examine(open_store())}
    assert found == {RUN: NOW, MODEL: LONG_AGO}
    moved, (note,) = quarantine(open_store(), RULES, early, before=NOW - DAY)
    assert (moved, note) == (1, f"{houses / RUN}: was changed since the plan; it was kept (7 B)")
    assert deep.exists()


def test_a_run_that_came_back_while_a_person_was_asked_keeps_its_files(
    houses: Path, experiment: str, make_run: MakeRun
) -> None:
    owned = make_run(50, NOW)
    old(houses / owned / "more")
    stale = [
        Finding(
            "prefix-without-owner",
            str(houses / owned),
            1007,
            LONG_AGO,
            "was gone",
            experiment=HOUSES,
        )
    ]
    moved, (note,) = quarantine(open_store(), RULES, stale, before=NOW)
    assert (moved, note) == (
        0,
        f"{houses / owned}: {owned} is in the store again; it was kept (1.01 kB)",
    )
    assert (houses / owned / "artifacts" / "data.bin").exists()


def test_one_that_cannot_be_moved_does_not_keep_the_others(houses: Path) -> None:
    old(houses / QUARANTINE / RUN)
    moved, (note,) = quarantine(open_store(), RULES, examine(open_store()), before=NOW)
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


def test_where_nobody_says_what_lies_behind_the_proxy_it_is_a_note(
    store_uri: str, tmp_path: Path
) -> None:
    finding = Finding(
        "prefix-without-owner", f"mlflow-artifacts:/1/{RUN}", 7, LONG_AGO, "", experiment=HOUSES
    )
    moved, (note,) = quarantine(open_store(), RULES, [finding], before=NOW)
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
        what.findings.append(
            Finding("prefix-without-owner", "\0", 7, LONG_AGO, "", experiment=HOUSES)
        )
        result = carry_out(what, yes_really=False)
    assert result.done == 1
    assert "orphaned artifacts were kept: ValueError" in result.notes[-1]
    assert not (houses / gone).exists()


def test_a_logged_model_whose_run_is_gone_is_set_aside_unless_a_version_needs_it(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    houses = tmp_path / "artifacts" / "houses"
    lonely, registered, young = (log_model(make_run(3, NOW)) for _ in range(3))
    client().create_registered_model("prices")
    client().create_model_version("prices", f"models:/{registered}")
    execute(
        f"UPDATE logged_models SET source_run_id = '{'c' * 32}', creation_timestamp_ms = {LONG_AGO}"
    )
    for path in houses.rglob("*"):
        os.utime(path, ns=(LONG_AGO * 10**6,) * 2)
    os.utime(houses / "models" / young / "artifacts" / "MLmodel", ns=(NOW * 10**6,) * 2)
    findings = examine(open_store())
    assert {(each.id, each.bytes, each.path) for each in findings} == {
        (model, 500, (houses / "models" / model / "artifacts").as_uri())
        for model in (lonely, registered, young)
    }
    moved, notes = quarantine(open_store(), RULES, findings, before=NOW - DAY)
    assert (moved, len(notes)) == (1, 2)
    assert "prices version 1 needs it; it was kept (500 B)" in "".join(notes)
    assert "was changed since the plan; it was kept (500 B)" in "".join(notes)
    assert {path.name for path in (houses / "models").iterdir()} == {registered, young}
    assert (houses / QUARANTINE / "models" / lonely / "artifacts" / "MLmodel").exists()
    again = [finding for finding in examine(open_store()) if finding.id == lonely]
    assert [finding.bytes for finding in again] == [0]
    assert quarantine(open_store(), RULES, again, before=NOW) == (0, [])


@pytest.mark.parametrize(
    "rules",
    [
        "select: {exclude: [houses]}\n",
        "protect: {experiments: [hou*]}\n",
        "protect: {tags: [team=geo]}\n",
        "pin",
    ],
)
def test_what_the_policy_is_not_about_or_protects_stays(
    houses: Path, experiment: str, rules: str
) -> None:
    client().set_experiment_tag(experiment, "pin" if rules == "pin" else "team", "geo")
    asked = policy("hard_delete", "" if rules == "pin" else rules)
    with planned(asked, ()) as what:
        assert len(what.findings) == 2
        assert carry_out(what, yes_really=False).set_aside == 0
    assert folders(houses) == {RUN, f"models/{MODEL}"}
