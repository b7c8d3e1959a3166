"""Archives in S3, artifacts in S3, stores in PostgreSQL: real servers; the newest archives of a label are kept."""

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from onerun import storage
from onerun.archive import Selection, artifacts, back_up, repository, restore
from onerun.archive.comparison import Verdict
from onerun.config.mistakes import Mistakes
from onerun.domain.errors import ArchiveDamaged
from onerun.processes import locks
from onerun.tracking.database import identity_of
from tests import servers
from tests.archive.conftest import Store
from tests.archive.everything import everything
from tests.archive.filling import fill


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The S3 server, reachable by the environment's keys."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return s3_server


def test_archives_in_s3(s3: str, store: Store, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(store.uri)
    archive = back_up(Selection(), "s3://archives-of-ours/mlflow", "daily")
    assert archive.notes == ()
    assert archive.uri.startswith("s3://archives-of-ours/mlflow/daily-")
    client = storage.minio()
    assert client.get_bucket_versioning("archives-of-ours").status == "Enabled"
    rule = client.get_bucket_lifecycle("archives-of-ours").rules[0]
    assert rule.noncurrent_version_expiration.noncurrent_days == 90
    shutil.rmtree(store.files)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    restore(archive.uri, apply=True)
    assert everything(empty) == before
    content = storage.read_bytes(archive.uri)
    storage.write_bytes_atomically(archive.uri, content[:-100] + bytes(100))
    with pytest.raises(ArchiveDamaged):
        restore(archive.uri)
    storage.write_bytes_atomically(archive.uri, content[:-100])
    with pytest.raises(ArchiveDamaged):
        restore(archive.uri)


def test_the_newest_of_a_label_are_kept_in_s3(s3: str, store: Store) -> None:
    place = "s3://kept-archives/deep/er"
    made = [back_up(Selection(experiments=("0",)), place, "daily").uri for _ in range(3)]
    other = back_up(Selection(experiments=("0",)), place, "daily-2").uri
    assert repository.keep(made[2], 2) == made[:1]
    assert repository.archives(made[2]) == made[1:]
    assert storage.exists(other)
    versions = storage.minio().list_objects("kept-archives", recursive=True, include_version=True)
    assert made[0].rpartition("/")[2] in {
        str(each.object_name).rpartition("/")[2] for each in versions
    }


def test_p4_a_run_in_s3_of_a_local_experiment_comes_back(s3: str, store: Store) -> None:
    """A clean-up leaves its files, which are not below the experiment's place."""
    import sqlite3

    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    storage.minio().make_bucket("far-artifacts")
    run_id = store.runs["1"][0]
    with sqlite3.connect("mlflow.db") as database:
        place = f"s3://far-artifacts/1/{run_id}/artifacts"
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", [place, run_id])
    storage.write_bytes_atomically(f"{place}/a.txt", b"far")
    archive = back_up(Selection(runs=(run_id,)), "backups", "clean-up")
    SqlAlchemyStore(store.uri, str(store.files))._hard_delete_run(run_id)
    planned = restore(archive.uri)
    assert (planned.found["run"], planned.found["files"]) == ({"new": 1}, {"same": 2}), (
        "its own, and its model's"
    )
    assert restore(archive.uri, apply=True).differ == 0
    assert MlflowClient(store.uri).get_run(run_id).info.artifact_uri == place


def test_a_bucket_that_is_there_stays_as_it_is(s3: str, store: Store) -> None:
    storage.minio().make_bucket("somebodys")
    archive = back_up(Selection(experiments=("0",)), "s3://somebodys/x", "daily")
    assert archive.notes == (
        "bucket somebodys keeps no versions: what is deleted there is gone at once",
    )
    assert storage.minio().get_bucket_versioning("somebodys").status != "Enabled"


def test_wrong_keys_are_a_mistake_and_nothing_is_left(
    s3: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-confidential")
    with pytest.raises(Mistakes, match="refuses the credentials") as caught:
        back_up(Selection(), "s3://archives-of-ours/mlflow", "daily")
    assert "confidential" not in str(caught.value)


@pytest.mark.long
def test_p4_postgres_with_artifacts_in_s3(
    s3: str, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = [_database(postgres, name) for name in ("one", "two")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uris[0])
    storage.minio().make_bucket("artifacts")
    client = MlflowClient(uris[0])
    runs = fill(uris[0], tmp_path / "files")
    far = client.create_experiment("far", artifact_location="s3://artifacts/far")
    run_id = client.create_run(far).info.run_id
    client.log_text(run_id, "in S3", "a/b.txt")
    client.log_text(run_id, "also", "c ü.txt")
    before = everything(uris[0])
    archive = back_up(Selection(), str(tmp_path / "backups"), "daily")
    assert archive.counts["files"] == 20
    for uri, _ in list(storage.list_objects("s3://artifacts/far")):
        storage.remove(uri)
    assert not list(artifacts.files("s3://artifacts/far"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uris[1])
    assert restore(archive.uri, apply=True).found["files"] == {"same": 18, "new": 2}
    assert everything(uris[1]) == before
    assert restore(archive.uri, apply=True).new == 0
    assert storage.read_bytes(f"s3://artifacts/far/{run_id}/artifacts/a/b.txt") == b"in S3"
    fresh = MlflowClient(uris[1]).create_experiment("made after the restore")
    assert int(fresh) > max(map(int, runs)), "the sequence goes on after the restored ids"
    storage.write_bytes_atomically(f"s3://artifacts/far/{run_id}/artifacts/a/b.txt", b"other")
    assert restore(archive.uri, apply=True).found["files"][Verdict.DIFFERS] == 1
    moved = restore(archive.uri, artifacts="s3://artifacts/moved")
    assert moved.places[0].startswith("s3://artifacts/moved/")


def _database(address: str, name: str) -> str:
    import psycopg

    user = f"{servers.POSTGRES_USER}:{quote(servers.POSTGRES_PASSWORD)}"
    with psycopg.connect(f"postgresql://{user}@{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE archive_{name}".encode())
    return f"postgresql+psycopg://{user}@{address}/archive_{name}"


def test_a_run_of_a_server_with_a_proxy(
    store: Store, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's database is opened directly, its artifacts where the server keeps them."""
    client = MlflowClient(store.uri)
    experiment = client.create_experiment("proxied", artifact_location="mlflow-artifacts:/7")
    run_id = client.create_run(experiment).info.run_id
    file = tmp_path / "kept" / "7" / run_id / "artifacts" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text("behind the proxy")
    with pytest.raises(Mistakes, match="MLFLOW_ARTIFACTS_DESTINATION"):
        back_up(Selection(runs=(run_id,)), "backups", "daily")
    assert not list(Path("backups").iterdir()), "whole or not at all"
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", str(tmp_path / "kept"))
    archive = back_up(Selection(runs=(run_id,)), "backups", "daily")
    file.unlink()
    assert restore(archive.uri, apply=True).found["files"] == {"new": 1}
    assert file.read_text() == "behind the proxy"


def test_the_newest_of_a_label_are_kept(store: Store) -> None:
    made = [back_up(Selection(experiments=("0",)), "backups", "daily").uri for _ in range(3)]
    other = back_up(Selection(experiments=("0",)), "backups", "daily-old").uri
    Path("backups/daily-notes.tar.gz").write_text("somebody's")
    assert repository.keep(made[2], 2) == [made[0]]
    assert {path.name for path in Path("backups").iterdir()} == {
        Path(made[1]).name, Path(made[2]).name, Path(other).name, "daily-notes.tar.gz",
    }  # fmt: skip
    with pytest.raises(Mistakes, match="at least one"):
        repository.keep(made[2], 0)


def test_the_one_just_made_is_kept_though_the_clock_was_set_back(store: Store) -> None:
    ahead = []
    for name in ("29990101T000000000000Z", "29990102T000000000000Z"):
        made = Path(back_up(Selection(experiments=("0",)), "backups", "daily").uri)
        ahead.append(str(made.rename(made.with_name(re.sub(r"\d{8}T\d{12}Z", name, made.name)))))
    newest = back_up(Selection(experiments=("0",)), "backups", "daily").uri
    assert repository.keep(newest, 2) == ahead[:1]
    assert Path(newest).exists()
    assert repository.keep(newest, 1) == ahead[1:]


@pytest.mark.parametrize(
    ("given", "place"), [("file:///a%20b/c", "/a b/c"), ("s3://b/c", "s3://b/c")]
)
def test_where_archives_go(
    given: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert repository.place_of(given) == place
    assert repository.place_of("backups") == f"{tmp_path}/backups"
    with pytest.raises(Mistakes, match="expected a folder or s3://bucket/prefix, got gs://b/c"):
        back_up(Selection(), "gs://b/c", "daily")
    assert not list(tmp_path.iterdir())


def test_a_workplace_that_is_just_made_is_not_taken_for_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    lock = locks.fcntl.flock

    def while_another_begins(file: Any, how: int) -> None:
        if how == locks.fcntl.LOCK_EX:
            repository._remove_dead(tmp_path / "other")
        lock(file, how)

    monkeypatch.setattr(locks.fcntl, "flock", while_another_begins)
    with repository.workplace(str(tmp_path)) as work:
        assert (work / "lock").exists()


def test_another_stores_archives_of_the_same_label_stay(store: Store, empty: str) -> None:
    earlier = Path(
        "backups/daily-20200101T000000000000Z-8b0b75be744f.tar.gz"
    )  # as no store was named yet
    other = back_up(Selection(experiments=("0",)), "backups", "daily").uri
    earlier.touch()
    _ = everything(empty)  # MLflow makes its default experiment when it first looks
    made = [
        back_up(Selection(experiments=("0",)), "backups", "daily", store=empty).uri
        for _ in range(2)
    ]
    assert repository.keep(made[1], 1) == made[:1]
    assert {path.name for path in Path("backups").iterdir()} == {
        Path(uri).name for uri in (made[1], other, earlier)
    }


def test_archives_of_a_database_that_was_lost_stay(store: Store, empty: str) -> None:
    """Another one stands at its address now."""
    lost = back_up(Selection(experiments=("0",)), "backups", "daily").uri
    file, new = (Path(uri.removeprefix("sqlite:///")) for uri in (store.uri, empty))
    _ = everything(empty)  # MLflow makes its default experiment when it first looks
    new.replace(file)
    made = [back_up(Selection(experiments=("0",)), "backups", "daily").uri for _ in range(2)]
    assert repository.keep(made[1], 1) == made[:1]
    assert {path.name for path in Path("backups").iterdir()} == {
        Path(uri).name for uri in (made[1], lost)
    }


def test_which_store_is_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen_from(folder: Path, uri: str) -> str:
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        return identity_of(uri)

    one, two = tmp_path / "one", tmp_path / "two"
    assert seen_from(one, "sqlite:///mlflow.db") != seen_from(two, "sqlite:///mlflow.db")
    assert seen_from(one, "sqlite:///mlflow.db") == seen_from(two, f"sqlite:///{one}/mlflow.db")
    assert (
        seen_from(one, "./mlruns")
        == seen_from(two, (one / "mlruns").as_uri())
        == identity_of(f"{one}/mlruns")
    )
    assert identity_of("postgresql://me:old@db/mlflow") == identity_of(
        "postgresql://me:new@db/mlflow"
    )
    assert identity_of("postgresql://me:old@db/mlflow") != identity_of(
        "postgresql://me:old@db/other"
    )


@pytest.mark.parametrize("label", ["", "../x", "a/b", "-x", "ü", "a" * 101])
def test_a_label_is_part_of_a_name(store: Store, label: str) -> None:
    with pytest.raises(Mistakes, match="is not a label"):
        back_up(Selection(), "backups", label)
    assert not Path("backups").exists()


def test_links_and_odd_names(store: Store, tmp_path: Path) -> None:
    run_id = store.runs["1"][0]
    folder = tmp_path / "files" / "e0" / run_id / "artifacts"
    (tmp_path / "secret.txt").write_text("elsewhere")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "in.txt").symlink_to(folder / "empty.txt")
    (folder / "broken").symlink_to("nowhere")
    odd = folder / ("n" * 120) / ("m" * 120) / "back\\slash\nline \udce9 %2F.bin"
    odd.parent.mkdir(parents=True)
    odd.write_bytes(b"odd")
    archive = back_up(Selection(runs=(run_id,)), "backups", "daily")
    assert sorted(Path(note.partition(":")[0]).name for note in archive.notes) == [
        "broken",
        "out.txt",
    ]
    shutil.rmtree(folder)
    restore(archive.uri, apply=True)
    assert odd.read_bytes() == b"odd"
    assert (folder / "in.txt").read_bytes() == b""
    assert not (folder / "out.txt").exists()


def test_a_schema_that_is_not_known(store: Store) -> None:
    import sqlite3

    archive = back_up(Selection(), "backups", "daily")
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(Mistakes, match=r"made by a newer MLflow \(schema ffffffffffff\)"):
        back_up(Selection(), "backups", "daily")
    with pytest.raises(Mistakes, match="made by a newer MLflow"):
        restore(archive.uri, apply=True)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "file:///tmp/mlruns", "./mlruns"])
def test_only_a_database_takes_records_back(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = back_up(Selection(experiments=("0",)), "backups", "daily")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(Mistakes, match=r"new ids|not to a file store"):
        restore(archive.uri, apply=True)


def test_a_file_that_changes_while_it_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.archive import backup

    monkeypatch.setattr(backup, "SMALL", -1)  # as a large file is read
    size = artifacts.Artifact.__init__

    def larger(self: artifacts.Artifact, path: str, said: int, *others: object) -> None:
        size(self, path, said + 5, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(artifacts.Artifact, "__init__", larger)
    with pytest.raises(ArchiveDamaged, match="changed while it was archived"):
        back_up(Selection(), "backups", "daily")
    assert not list(Path("backups").iterdir())
