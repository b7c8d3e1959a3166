"""Rescue: what is broken is found, what can be saved is in the database, proven; the old store is only read."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import ViewType

from onerun.config.mistakes import Mistakes
from onerun.domain import names
from onerun.rescue import Rescue, examine, rescue
from onerun.rescue.checksums import Checksums
from onerun.rescue.repair import repair
from tests import servers
from tests.archive.everything import comparable, everything
from tests.rescue.conftest import rights_count
from tests.rescue.damage import CORPUS, Damage, Store

ALL = [pytest.param(each, id=name) for name, each in CORPUS.items()]
FEW = (
    "experiment_without_meta",
    "run_without_meta",
    "metric_lines_that_do_not_parse",
    "alias_to_nothing",
)
SAVABLE = {name: each for name, each in CORPUS.items() if each.done != "left out"}
SOME_LONG = [
    pytest.param(each, id=name, marks=() if name in FEW else pytest.mark.long)
    for name, each in SAVABLE.items()
]
SAVED = {
    "experiment": 4,
    "run": 6,
    "model": 6,
    "metric": 126,
    "parameter": 12,
    "version": 2,
    "alias": 1,
    "input": 12,
}


def tree(root: Path) -> dict[str, str]:
    """Every path below with its kind, time and content."""
    found = {}
    for folder, folders, files in os.walk(root):
        found[folder] = "folder"
        for name in [*files, *(each for each in folders if Path(folder, each).is_symlink())]:
            path = Path(folder, name)
            small = path.is_file() and path.stat().st_size < 10**6
            content = (
                hashlib.sha256(path.read_bytes()).hexdigest()
                if small and not path.is_symlink()
                else ""
            )
            found[str(path)] = f"{path.lstat().st_mtime_ns} {path.lstat().st_size} {content}"
    return found


def matching(done: Rescue, damage: Damage) -> list[str]:
    return [
        finding.path
        for finding in done.findings
        if finding.what == damage.what
        and damage.cause in finding.cause
        and finding.done == damage.done
    ]


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 25


def test_nothing_is_wrong_with_a_healthy_store(old: Store) -> None:
    before = tree(old.root.parent)
    done = examine(str(old.root))
    assert done.findings == []
    assert SAVED.items() <= done.before.items()
    assert tree(old.root.parent) == before


@pytest.mark.parametrize("damage", ALL)
def test_damage_is_found_and_nothing_written(old: Store, damage: Damage) -> None:
    damage.do(old)
    before = tree(old.root.parent)
    done = examine(str(old.root))
    assert matching(done, damage), [str(finding) for finding in done.findings]
    assert tree(old.root.parent) == before
    assert not (old.root.parent / "harm").exists()


@pytest.mark.parametrize("damage", SOME_LONG)
def test_damage_is_rescued(old: Store, healthy: Store, damage: Damage, quick_schema: None) -> None:
    whole = examine(str(healthy.root)).before
    damage.do(old)
    before = tree(old.root)
    file = old.root.parent / "new.db"
    done = rescue(str(old.root), f"sqlite:///{file}")
    assert done.proven, (done.differences, done.orphans)
    assert done.to
    assert done.after == done.before
    assert tree(old.root) == before
    assert matching(done, damage)
    lost = {
        kind: count - done.after.get(kind, 0)
        for kind, count in whole.items()
        if count > done.after.get(kind, 0)
    }
    assert lost == damage.lost
    assert marked(file) == damage.rebuilt
    with tarfile.open(done.backup) as tar:
        assert len(tar.getnames()) == len({*before}) + 2  # header and manifest
    if damage.done in ("quarantined", "rebuilt") and "missing" not in damage.cause:
        assert any(
            path.name
            for path in Path(done.quarantine).rglob("*")
            if not path.is_dir() or path.is_symlink()
        )


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(each, id=name, marks=() if name.startswith("experiment") else pytest.mark.long)
        for name, each in CORPUS.items()
        if name not in SAVABLE
    ],
)
def test_what_is_in_no_backup_is_not_proven(old: Store, damage: Damage, quick_schema: None) -> None:
    damage.do(old)
    before = tree(old.root.parent)
    done = rescue(str(old.root), f"sqlite:///{old.root.parent}/new.db")
    assert not done.proven
    assert not done.to
    assert matching(done, damage)
    assert any("take the link away" in each for each in done.differences)
    assert not (old.root.parent / "new.db").exists()
    assert before.items() <= tree(old.root.parent).items()


def marked(file: Path) -> int:
    """How many things carry the tag that says what was rebuilt."""
    tables = {
        "tags": "key",
        "experiment_tags": "key",
        "logged_model_tags": "tag_key",
        "registered_model_tags": "key",
    }
    with sqlite3.connect(file) as database:
        return sum(
            database.execute(
                f"SELECT count(*) FROM {table} WHERE {column} = ?", [names.TAG_RESCUED]
            ).fetchone()[0]
            for table, column in tables.items()
        )


def where_it_is(said: dict[str, Any]) -> dict[str, Any]:
    """A file store says of a deleted experiment that it is where it was; a rescue says where its files are."""
    for key, each in said.items():
        if key.startswith("experiment "):
            each["artifact_location"] = each["artifact_location"].replace("/.trash/", "/")
    return said


def traces_read(said: dict[str, Any]) -> dict[str, Any]:
    """Assessments come in any order, and a file store says of none that it is valid."""
    for key in (each for each in said if each.startswith("trace ")):
        said[key] = json.loads(said[key])
        found = said[key]["info"].pop("assessments")
        said[key]["assessments"] = {
            each["assessment_id"]: {"valid": True, **each} for each in found
        }
    return said


def test_a_healthy_store_comes_out_identical(
    healthy: Store, tmp_path: Path, quick_schema: None
) -> None:
    """By MLflow's API, on the folder and on the database."""
    done = rescue(str(healthy.root), f"sqlite:///{tmp_path}/new.db", str(tmp_path / "kept"))
    assert (done.findings, done.orphans, done.quarantine) == ([], (), "")
    before, after = everything(healthy.root.as_uri()), everything(f"sqlite:///{tmp_path}/new.db")
    assert comparable(traces_read(where_it_is(after))) == comparable(traces_read(before))
    assert len([key for key in after if key.startswith("run ")]) == 6


def test_a_store_that_was_moved_has_its_files(
    old: Store, tmp_path: Path, quick_schema: None
) -> None:
    """What stands in its files about its place is true no more: the database says where they are."""
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert done.totals["moved"] > 0
    after = everything(f"sqlite:///{tmp_path}/new.db")
    run = after[f"run {old.runs[0]}"]
    assert str(old.run / "artifacts") in run["info"]["artifact_uri"]
    assert set(run["files"]) == {"empty.txt", "plots/a b/ü.txt"}


def test_a_moved_trace_has_its_spans(old: Store, tmp_path: Path, quick_schema: None) -> None:
    """They stand in a file of its own, and a tag says where that is."""
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert done.proven, done.differences
    client = MlflowClient(f"sqlite:///{tmp_path}/new.db")
    (trace,) = client.search_traces(locations=[old.experiment], include_spans=True)
    assert trace.info.tags["mlflow.artifactLocation"] == (old.trace / "artifacts").as_uri()
    assert sorted(span.name for span in trace.data.spans) == ["ask", "think"]
    assert (
        trace.info.trace_metadata["mlflow.trace.tokenUsage"]
        == '{"input_tokens": 3, "total_tokens": 7}'
    )
    said = {each.name: each.value for each in trace.info.assessments}
    assert said == {"right": 0.5, "answer": {"is": [42]}}
    assert all(each.create_time_ms > 10**12 for each in trace.info.assessments)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("trace_tags", "trace's tag team of trace"),
        ("trace_request_metadata", "trace's metadata mlflow.traceInputs of trace"),
        ("assessments", "assessment a-"),
    ],
)
def test_what_a_trace_lost_is_listed(
    old: Store,
    tmp_path: Path,
    quick_schema: None,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    words: str,
) -> None:
    from onerun.archive.record_io import migration

    original = migration.migrate

    def lossy(source: Path, file: Path) -> str:
        said = original(source, file)
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(f"DELETE FROM {table}")
        return said

    monkeypatch.setattr(migration, "migrate", lossy)
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert not done.proven
    assert any(each.startswith(words) for each in done.differences), done.differences


@pytest.mark.parametrize(
    "place", ["s3://bucket/old/artifacts", "mlflow-artifacts:/1/a/artifacts", "dbfs:/old/artifacts"]
)
def test_files_elsewhere_are_counted_and_said_not_to_be_compared(
    old: Store, tmp_path: Path, quick_schema: None, place: str
) -> None:
    meta = old.run / "meta.yaml"
    said = yaml.safe_load(meta.read_text()) | {"artifact_uri": place}
    meta.write_text(yaml.safe_dump(said))
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert done.proven and done.before["place elsewhere, files not compared"] == 1
    after = everything(f"sqlite:///{tmp_path}/new.db", files=False)
    assert place in after[f"run {old.runs[0]}"]["info"]["artifact_uri"]


def test_an_address_that_the_tool_changes_is_a_difference(
    old: Store, tmp_path: Path, quick_schema: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.archive.record_io import migration

    original = migration.migrate

    def elsewhere(source: Path, file: Path) -> str:
        said = original(source, file)
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(
                "UPDATE runs SET artifact_uri = 's3://other/x' WHERE run_uuid = ?", [old.runs[1]]
            )
        return said

    monkeypatch.setattr(migration, "migrate", elsewhere)
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert f"place of files of run {old.runs[1]} is not there as it was" in done.differences


def test_all_damage_at_once(old: Store, tmp_path: Path, quick_schema: None) -> None:
    """In another order, one upon the other: whatever is left is in the database, and MLflow can list it."""
    for name, damage in sorted(SAVABLE.items(), reverse=True):
        try:
            damage.do(old)
        except (
            OSError,
            AttributeError,
            TypeError,
            ValueError,
            StopIteration,
            yaml.YAMLError,
        ):  # another one was here before
            assert name
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert done.proven, (done.differences, done.orphans)
    assert len(done.findings) > 10  # one covers the other
    assert everything(f"sqlite:///{tmp_path}/new.db")


def test_what_the_tool_itself_loses_is_listed(
    old: Store, tmp_path: Path, quick_schema: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that cannot fail is a defect: the tool loses a run, a metric and a file."""
    from onerun.archive.record_io import migration

    original = migration.migrate

    def lossy(source: Path, file: Path) -> str:
        said = original(source, file)
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(
                "DELETE FROM params WHERE key = 'depth' AND run_uuid = ?", [old.runs[0]]
            )
            database.execute(
                "DELETE FROM experiments WHERE experiment_id = ?", [int(old.experiment)]
            )
        (old.run / "artifacts" / "empty.txt").write_text("changed")
        return said

    monkeypatch.setattr(migration, "migrate", lossy)
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    assert not done.proven
    assert not (tmp_path / "new.db").exists()
    assert f"parameter depth of run {old.runs[0]} is not there as it was" in done.differences
    assert f"artifact empty.txt of run {old.runs[0]} is not there as it was" in done.differences
    assert "runs without experiments: 3" in done.orphans
    assert json.loads(Path(done.report).read_text())["differences"] == list(done.differences)


def test_what_is_there_less_often_is_listed(tmp_path: Path) -> None:
    facts = Checksums(tmp_path)
    for facts.side, times in (("before", 3), ("after", 2)):
        for _ in range(times):
            facts.add("input", "run a", "table", {})
    assert facts.differences() == ["input table of run a was there 3 times and is there 2 times"]
    assert facts.digests("before") != facts.digests("after")


def test_the_report_has_counts_and_digests(old: Store, tmp_path: Path, quick_schema: None) -> None:
    done = rescue(str(old.root), f"sqlite:///{tmp_path}/new.db")
    said = json.loads(Path(done.report).read_text())
    assert said["digests_before"] == said["digests_after"] == examine(str(old.root)).digests_before
    assert said["digests_before"].keys() == said["before"].keys()
    assert all(len(digest) == 64 for digest in said["digests_before"].values())


def test_an_unreadable_model_costs_no_other_one(old: Store) -> None:
    closed = old.root / "models" / "a model"
    shutil.copytree(old.root / "models" / "houses", closed)
    closed.chmod(0)
    with rights_count():
        done = examine(str(old.root))
    assert [(each.path, each.what, each.cause, each.done) for each in done.findings] == [
        ("models/a model", "registered model", "Permission denied", "left out")
    ]
    assert (done.before["registered model"], done.before["version"]) == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("rights", [0, 0o444], ids=["closed", "not to be entered"])
def test_what_may_not_be_read_is_never_proven(
    old: Store, tmp_path: Path, quick_schema: None, rights: int
) -> None:
    """Every folder of the store in turn: it is told, and it ends nothing."""
    for number, (name, _, _) in enumerate(list(os.walk(old.root))[1:]):
        folder, was = Path(name), Path(name).stat().st_mode
        folder.chmod(rights)
        try:
            with rights_count():
                done = examine(str(old.root))
                told = {each.path for each in done.findings if each.done == "left out"}
                if number % 20 == 0:
                    again = rescue(
                        str(old.root),
                        f"sqlite:///{tmp_path}/{number}.db",
                        str(tmp_path / f"{number}"),
                    )
                    assert again.proven == (not told)
        finally:
            folder.chmod(was)
        inside = {str(each.relative_to(old.root)) for each in (folder, *folder.rglob("*"))}
        here = any(told_of.startswith(str(folder.relative_to(old.root))) for told_of in told)
        assert here or "artifacts" in name or not any(inside), (
            name,
            [str(each) for each in done.findings],
        )


@pytest.mark.parametrize(
    ("source", "to", "words"),
    [
        ("nowhere", "sqlite:///new.db", "is no folder"),
        ("empty", "sqlite:///new.db", "no file store of MLflow"),
        ("mlruns", "mlruns2", "no database"),
        ("mlruns", "http://127.0.0.1:5000", "no database"),
        ("mlruns", "sqlite:///used.db", "is there already"),
    ],
)
def test_mistakes(
    old: Store,
    tmp_path: Path,
    schema: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    to: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    shutil.copy(schema, "used.db")
    with pytest.raises(Mistakes, match=words):
        rescue(source, to)
    assert not (tmp_path / "mlruns-rescue").exists()
    assert not (tmp_path / "new.db").exists()


@pytest.mark.slow
def test_into_postgres_and_the_server_shows_it(old: Store, tmp_path: Path, postgres: str) -> None:
    """Ids of 18 digits do not fit its columns: those experiments get another number, and a tag that says which."""
    for name in ("run_without_meta", "experiment_without_meta", "binary_parameter"):
        CORPUS[name].do(old)
    user = f"{servers.POSTGRES_USER}:{quote(servers.POSTGRES_PASSWORD)}"
    with psycopg.connect(f"postgresql://{user}@{postgres}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE rescued")
    to = f"postgresql+psycopg://{user}@{postgres}/rescued"
    killed_when_half_is_there(old, to)
    with pytest.raises(Mistakes, match=f"a rescue of {old.root} into this database did not end"):
        rescue(str(shutil.copytree(old.root, tmp_path / "another")), to)
    done = rescue(str(old.root), to)
    assert done.proven, (done.differences, done.orphans)
    with pytest.raises(Mistakes, match="holds experiments already"):
        rescue(str(old.root), to)
    assert servers.POSTGRES_PASSWORD not in Path(done.report).read_text()
    assert done.after == done.before
    shows(tmp_path, to, old)


def killed_when_half_is_there(old: Store, to: str) -> None:
    """Kill -9 while a server's database is filled."""
    code = f"""
import os, signal
from onerun.rescue import rescue
from onerun.archive.record_io import writer
writer.AT_ONCE = 3
written, calls = writer.RecordWriter.write, []
def counted(*arguments, **named):
    calls.append(1)
    os.kill(os.getpid(), signal.SIGKILL if len(calls) == 9 else 0)
    return written(*arguments, **named)
writer.RecordWriter.write = counted
rescue({str(old.root)!r}, {to!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(servers.ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=200)
    assert ended.returncode == -signal.SIGKILL


def shows(tmp_path: Path, uri: str, old: Store) -> None:
    """A real `mlflow server` on the result: listed over HTTP, as its UI does."""
    with servers.mlflow_server(tmp_path, backend=uri) as server:
        client = MlflowClient(server.uri, server.uri)
        found = {each.name: each for each in client.search_experiments(view_type=ViewType.ALL)}
        assert {"Default", f"rescued-{old.experiment}", "houses 1", "gone"} == set(found)
        rescued = found[f"rescued-{old.experiment}"]
        assert rescued.tags[names.TAG_RESCUED] == "meta.yaml: missing"
        runs = client.search_runs([rescued.experiment_id], run_view_type=ViewType.ALL)
        assert {run.info.run_id for run in runs} == set(old.runs)
        rebuilt = client.get_run(old.runs[0])
        assert rebuilt.data.tags[names.TAG_RESCUED] == "meta.yaml: missing"
        assert (rebuilt.info.run_name, rebuilt.info.status) == ("run 0", "KILLED")
        assert len(client.get_metric_history(old.runs[0], "loss")) == 20
        assert client.get_model_version_by_alias("houses", "champion").version in ("2", 2)
        page = urllib.request.urlopen(f"{server.uri}/", timeout=60).read()
        assert b"<title>MLflow" in page


@pytest.mark.long
def test_the_server_shows_an_sqlite_file(old: Store, tmp_path: Path) -> None:
    for name in ("run_without_meta", "experiment_without_meta", "binary_parameter"):
        CORPUS[name].do(old)
    assert rescue(str(old.root), f"sqlite:///{tmp_path}/new.db").proven
    shows(tmp_path, f"sqlite:///{tmp_path}/new.db", old)


def test_a_database_that_was_migrated_badly(old: Store, tmp_path: Path, quick_schema: None) -> None:
    """`mlflow migrate-filestore` on a damaged store writes runs without an experiment, and says it is done."""
    from onerun.archive.record_io import migration

    (old.home / "meta.yaml").unlink()
    migration.migrate(old.root.parent, tmp_path / "bad.db")
    uri = f"sqlite:///{tmp_path}/bad.db"
    examined = repair(uri, False, str(tmp_path / "backups"))
    assert list(examined.experiments) == [old.experiment]
    assert examined.orphans["runs without experiments"] == 3
    assert not (tmp_path / "backups").exists()
    done = repair(uri, True, str(tmp_path / "backups"))
    assert done.applied
    assert done.orphans == {}
    assert done.backup
    client = MlflowClient(uri)
    experiment = client.get_experiment(old.experiment)
    assert experiment.name == f"rescued-{old.experiment}"
    assert experiment.tags[names.TAG_RESCUED]
    assert experiment.artifact_location.endswith(f"/mlruns/{old.experiment}")
    assert len(client.search_runs([old.experiment], run_view_type=ViewType.ALL)) == 3
    assert not repair(uri, True, str(tmp_path / "backups")).applied, (
        "there is nothing left to repair"
    )


@pytest.mark.long
def test_the_case_from_the_field(tmp_path: Path, quick_schema: None) -> None:
    """17 experiments, 1,293 runs, two experiments without meta.yaml; all of it comes out."""
    root = tmp_path / "mlruns"
    for number in range(17):
        field(root / str(number + 1), number, 1293 // 17 + (number < 1293 % 17))
    (root / "3" / "meta.yaml").unlink()
    (root / "11" / "meta.yaml").unlink()
    done = rescue(str(root), f"sqlite:///{tmp_path}/new.db")
    assert done.proven
    assert (done.before["experiment"], done.before["run"]) == (17, 1293)
    assert [(each.path, each.done) for each in done.findings] == [
        ("11/meta.yaml", "rebuilt"),
        ("3/meta.yaml", "rebuilt"),
    ]
    client = MlflowClient(f"sqlite:///{tmp_path}/new.db")
    made_by_every_client = {"Default"}
    assert {each.name for each in client.search_experiments()} - made_by_every_client == {
        *(f"e{number}" for number in range(17) if number not in (2, 10)), "rescued-3", "rescued-11",
    }  # fmt: skip


def field(folder: Path, number: int, runs: int) -> None:
    folder.mkdir(parents=True)
    meta = {
        "artifact_location": folder.as_uri(),
        "experiment_id": folder.name,
        "lifecycle_stage": "active",
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta | {"name": f"e{number}"}))
    for each in range(runs):
        run = folder / f"{number:04x}{each:028x}"
        (run / "metrics").mkdir(parents=True)
        (run / "artifacts").mkdir()
        said = {
            "run_id": run.name,
            "run_uuid": run.name,
            "experiment_id": folder.name,
            "status": 3,
            "source_type": 4,
        }
        said |= {
            "start_time": 1,
            "end_time": 2,
            "lifecycle_stage": "active",
            "user_id": "me",
            "source_name": "",
        }
        (run / "meta.yaml").write_text(
            yaml.safe_dump(said | {"artifact_uri": (run / "artifacts").as_uri()})
        )
        (run / "metrics" / "m").write_text("1 0.5 0\n2 0.25 1\n")
