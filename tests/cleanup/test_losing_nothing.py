"""What looks like nobody's and is somebody's: it stays, and the result says why (P4)."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from onerun import storage
from onerun.cleanup import removal
from onerun.cleanup.execution import TooMuch, apply
from onerun.cleanup.inspection import examine
from onerun.cleanup.maintenance import carry_out, planned
from onerun.cleanup.planner import plan_store
from onerun.cleanup.quarantine import QUARANTINE, quarantine
from onerun.domain.cleanup.findings import Finding
from onerun.store import artifact_paths
from onerun.store.protocol import open_store
from onerun.store.sql import deletion
from onerun.tracking.runs import client
from tests.cleanup.conftest import (
    DAY,
    DYING,
    POSTGRESQL,
    SQLITE,
    MakeRun,
    fresh_database,
    log_model,
    on,
    texts,
)
from tests.cleanup.test_clean_up import NOW, after_the_archive, clean_up, policy, rows, runs_left
from tests.cleanup.test_troubles import execute
from tests.servers import ROOT

LONG_AGO = (NOW - 100 * DAY) * 10**6  # nanoseconds


def aged(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return folder


def test_files_of_a_version_stay_though_the_tracking_store_knows_nothing_of_them(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry is a database of its own, and the tracking database was made anew."""
    run, by_address, lost = (make_run(60, NOW) for _ in range(3))
    model = log_model(run, register="prices")
    houses = tmp_path / "artifacts" / "houses"
    client().create_model_version("prices", f"{(houses / by_address).as_uri()}/artifacts")
    shutil.copy("mlflow.db", "registry.db")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/registry.db")
    for table in (
        "metrics",
        "latest_metrics",
        "params",
        "tags",
        "logged_model_tags",
        "logged_models",
        "runs",
    ):
        execute(f"DELETE FROM {table}")
    aged(houses)
    findings = [each for each in examine(open_store()) if each.kind == "prefix-without-owner"]
    assert {Path(each.id).name: each.remedy for each in findings} == {
        lost: "moved into quarantine by action: hard_delete",
        run: "left: prices version 1 needs it",
        model: "left: prices version 1 needs it",
        by_address: "left: prices version 2 needs it",
    }
    with planned(policy("hard_delete"), ()) as what:
        assert what.plan.quarantined == 1, (
            "a person is asked about what would be moved, and nothing else"
        )
    moved, notes = quarantine(open_store(), policy("hard_delete"), findings, before=NOW)
    assert (moved, len(notes)) == (1, 3)
    assert (houses / "models" / model / "artifacts" / "MLmodel").exists()
    assert (houses / by_address / "artifacts" / "data.bin").exists()


@on(SQLITE, POSTGRESQL)
def test_a_model_that_is_logged_while_its_runs_rows_go_stays(
    experiment: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, logged = make_run(40, NOW), []
    remove = deletion._remove_rows
    logging = threading.Thread(target=lambda: logged.append(log_model(old, experiment=experiment)))

    def while_it_is_logged(*given: object) -> None:
        logging.start()
        time.sleep(1)  # it waits for the transaction's end, or came too early to be seen
        remove(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(deletion, "_remove_rows", while_it_is_logged)
    try:
        assert clean_up(policy("hard_delete")).done == 1
    finally:
        logging.join()
    assert client().get_logged_model(logged[0]).source_run_id == old


def test_what_lies_beside_a_runs_artifacts_is_in_no_archive_and_stays(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    old, plain = make_run(40, NOW), make_run(40, NOW)
    beside = tmp_path / "artifacts" / "houses" / old / "notes.txt"
    beside.write_text("mine")
    result = clean_up(policy("hard_delete"))
    assert (result.done, beside.read_text()) == (2, "mine")
    assert result.notes == [f"{beside.parent} holds what no archive does; that was left"]
    assert sorted(path.name for path in beside.parent.iterdir()) == ["notes.txt"]
    assert not (beside.parents[1] / plain).exists()


def test_what_comes_while_artifacts_are_removed_stays(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_run(40, NOW)
    artifacts = tmp_path / "artifacts" / "houses" / old / "artifacts"
    (artifacts / "deeper" / "still").mkdir(parents=True)
    (artifacts / "deeper" / "still" / "old.txt").write_text("archived")
    aged(artifacts)
    empty = removal._empty

    def while_somebody_writes(folder: int, inside: removal.Tree) -> None:
        (artifacts / "deeper" / "new.txt").write_text("mine")
        empty(folder, inside)

    monkeypatch.setattr(removal, "_empty", while_somebody_writes)
    result = clean_up(policy("hard_delete"))
    assert [path.name for path in artifacts.parent.rglob("*") if path.is_file()] == ["new.txt"]
    assert result.notes == [f"{artifacts.parent} holds what no archive does; that was left"]


def test_a_pin_on_a_logged_model_keeps_its_run(experiment: str, make_run: MakeRun) -> None:
    pinned, staged, late, gone = (make_run(40, NOW) for _ in range(4))
    mlflow, models = client(), {run: log_model(run) for run in (pinned, staged, late, gone)}
    mlflow.set_logged_model_tags(models[pinned], {"pin": "1"})
    mlflow.set_logged_model_tags(models[staged], {"stage": "production"})
    store, rules = open_store(), policy("hard_delete", "protect: {tags: ['stage=prod*']}\n")
    plan, spool = plan_store(store, rules, (), NOW)
    words = {kept.id: str(kept.protected_by) for kept in plan.skipped}
    assert words == {
        pinned: "tag pin of a logged model",
        staged: "tag stage=production of a logged model",
    }
    mlflow.set_logged_model_tags(models[late], {"pin": "1"})
    with spool:
        assert texts(apply(store, rules, plan, spool).skipped) == {
            late: "tag pin of a logged model"
        }
    assert runs_left(experiment) == {pinned, staged, late}


def test_a_pinned_model_whose_run_is_gone_is_not_set_aside(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    pinned, unselected, lonely = (log_model(make_run(3, NOW), name) for name in ("a", "b", "c"))
    client().set_logged_model_tags(pinned, {"pin": "1"})
    execute(f"UPDATE logged_models SET source_run_id = '{'c' * 32}', creation_timestamp_ms = 1")
    models = aged(tmp_path / "artifacts" / "houses") / "models"
    rules = policy("hard_delete", "select: {models: [a, c]}\n")
    moved, notes = quarantine(open_store(), rules, examine(open_store()), before=NOW)
    assert (moved, len(notes)) == (1, 2)
    assert {path.name for path in models.iterdir()} == {pinned, unselected}
    assert lonely


def nobodys(tmp_path: Path, count: int) -> Path:
    houses = tmp_path / "artifacts" / "houses"
    for number in range(count):
        (houses / f"{number:032x}" / "artifacts").mkdir(parents=True)
    return aged(houses)


def test_setting_aside_counts_for_max_delete(
    experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(3, NOW)
    houses = nobodys(tmp_path, 5)
    for limit in ("50%", "0%"):
        with planned(
            policy("hard_delete", "").model_copy(update={"max_delete": float(limit[:-1]) / 100}), ()
        ) as what:
            assert what.plan.amount == "5 orphaned folders (moved into quarantine)"
            with pytest.raises(TooMuch, match=rf"5 orphaned folders .* and max_delete is {limit}"):
                carry_out(what, yes_really=False)
    assert len(list(houses.iterdir())) == 6
    with planned(policy("hard_delete"), ()) as what:
        assert carry_out(what, yes_really=False).set_aside == 5


def test_a_flow_run_that_lives_again_when_a_person_has_answered_keeps_its_family(
    experiment: str, make_run: MakeRun
) -> None:
    failed = make_run(40, NOW, status="FAILED", **{"onerun.flow_run_id": "f-1"})
    child, gone = make_run(40, NOW, **{"mlflow.parentRunId": failed}), make_run(40, NOW)
    with planned(policy("hard_delete"), ()) as what:
        assert what.plan.to_delete == 3
        result = carry_out(what, yes_really=False, live={"f-1"})
    assert texts(result.skipped) == {
        failed: "its flow run is live",
        child: f"parent or child of {failed}, which is kept",
    }
    assert runs_left(experiment) == {failed, child}
    assert gone not in runs_left(experiment)


@pytest.mark.slow
@on(SQLITE, POSTGRESQL)
def test_what_another_database_at_the_same_address_left_behind_is_not_finished(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs are not in this one, which says nothing: its clean-up may never have removed their rows."""
    old = make_run(40, NOW)
    script = f"""{DYING}
from onerun.cleanup import journal
from tests.cleanup.test_clean_up import clean_up, policy
journal.write = then_die(journal.write)
clean_up(policy("hard_delete"))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=False, timeout=200
    )
    store = open_store()
    monkeypatch.setattr(type(store), "fingerprint", "another one")
    with store.database.writing() as connection:  # type: ignore[attr-defined]
        deletion._remove_rows(connection, [old])
    rules = policy("hard_delete")
    with store.exclusive_lock():
        plan, spool = plan_store(store, rules, (), NOW)
        with spool:
            result = apply(store, rules, plan, spool)
    assert result.finished == 0
    assert "is of another database that was at this address; its files were kept" in result.notes[0]
    assert (tmp_path / "artifacts" / "houses" / old / "artifacts" / "data.bin").exists()


@on(SQLITE, POSTGRESQL)
def test_a_database_that_is_made_anew_is_another_one(
    experiment: str, store_uri: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sqlite = store_uri.startswith("sqlite")
    another = (
        f"sqlite:///{tmp_path}/another.db"
        if sqlite
        else fresh_database(request.getfixturevalue("postgres"))
    )
    MlflowClient(another).search_experiments()
    assert open_store().fingerprint == open_store().fingerprint
    assert open_store(another).fingerprint != open_store().fingerprint


def test_a_folder_that_may_not_be_looked_at_is_not_known_and_keeps_no_other(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may look everywhere, so the refusal is put in the way; the rest is real."""
    houses = nobodys(tmp_path, 2)
    listing = os.scandir

    def refused(path: str) -> object:
        if str(path).startswith(str(houses / f"{0:032x}")):
            raise PermissionError(13, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", refused)
    findings: dict[str, Finding] = {Path(each.id).name: each for each in examine(open_store())}
    assert [findings[f"{number:032x}"].bytes for number in (0, 1)] == [None, 0]
    assert artifact_paths.sizes(str(houses), [str(houses / f"{0:032x}")]) == {
        str(houses / f"{0:032x}"): None
    }
    moved, (note,) = quarantine(
        open_store(), policy("hard_delete"), list(findings.values()), before=NOW
    )
    assert (moved, "cannot be looked at (Permission denied); it was kept" in note) == (1, True)


def test_files_that_cannot_go_now_do_not_end_the_clean_up_and_go_with_the_next(
    experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_run(40, NOW)
    with monkeypatch.context() as busy:

        def refused(*_given: object) -> None:
            raise OSError(16, "Device or resource busy")

        busy.setattr(removal, "_empty", refused)
        result = clean_up(policy("hard_delete"))
    assert result.notes == [
        f"files of run {old} are still there: [Errno 16] Device or resource busy"
    ]
    assert clean_up(policy("hard_delete")).finished == 1
    assert not (tmp_path / "artifacts" / "houses" / old).exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_moved_in_with_its_old_time_stays(
    what: str, experiment: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of writing, which a move keeps, is before the archive; and entries of its new folder went since."""
    old = make_run(40, NOW)
    artifacts = tmp_path / "artifacts" / "houses" / old / "artifacts"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("nobody archived this")
    (tmp_path / "file").write_text("nobody archived this")

    def come() -> None:
        time.sleep(0.05)
        (artifacts / "data.bin").unlink()
        (tmp_path / what).rename(artifacts / what)

    after_the_archive(monkeypatch, come)
    assert f"{old} was changed after it was archived" in "".join(
        clean_up(policy("hard_delete")).notes
    )
    assert (artifacts / what).exists()


@pytest.mark.parametrize(
    ("changed", "stays"), [(5_000, True), (5_001, False), (5_401, True), (4_000, False)]
)
def test_an_object_store_that_tells_whole_seconds_does_not_say_what_came_first(
    changed: int, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(storage, "walk", lambda place: [("artifacts/x", 1, changed)])
    monkeypatch.setattr(storage, "remove_below", lambda place, paths: removed.extend(paths))
    with pytest.raises(removal.ChangedMeanwhile) if stays else contextlib.nullcontext():
        removal.remove("s3://b/1", [f"s3://b/1/{0:032x}"], archived=5_400)
    assert bool(removed) != stays


@on(SQLITE, POSTGRESQL)
def test_a_longer_id_is_another_one(experiment: str, make_run: MakeRun) -> None:
    """PostgreSQL cuts what is cast to a column's length."""
    run = make_run(40, NOW)
    assert open_store().existing([run, f"{run}xxxx"]) == {run}
    assert open_store().existing([f"{run}xxxx"]) == set()


def test_folders_of_traces_that_are_gone_are_found_and_set_aside(
    experiment: str, tmp_path: Path
) -> None:
    known, gone = (f"tr-{letter * 32}" for letter in "ab")
    execute(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) "
        f"VALUES ('{known}', {experiment}, 1, 'OK')"
    )
    traces = tmp_path / "artifacts" / "houses" / "traces"
    for trace in (known, gone):
        (traces / trace / "artifacts").mkdir(parents=True)
    aged(traces)
    (finding,) = examine(open_store())
    assert finding.cause == f"the store knows no trace {gone} in houses"
    assert quarantine(open_store(), policy("hard_delete"), [finding], before=NOW) == (1, [])
    assert [path.name for path in traces.iterdir()] == [known]
    assert (traces.parent / QUARANTINE / "traces" / gone).exists()


def test_sums_over_traces_go_with_their_experiment(experiment: str) -> None:
    """SQLite gives its number to the next experiment, which would have them."""
    queue = "sql_trace_rollup_rebuild_queue"
    execute(
        f"INSERT INTO {queue} (experiment_id, rollup_day, rollup_family) VALUES ({experiment}, '2026-01-01', 'x')"
    )
    client().delete_experiment(experiment)
    execute("UPDATE experiments SET last_update_time = 1")
    assert clean_up(policy("hard_delete")).experiments == 1
    assert not rows(queue)
