"""What is removed, what is left and found again, and what keeps none of the others."""

import errno
import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from onerun import storage
from onerun.archive import restore
from onerun.cleanup import removal
from onerun.cleanup.inspection import examine
from onerun.cleanup.planner import plan_store
from onerun.config.mistakes import Mistakes
from onerun.store import artifact_paths
from onerun.store.files import trash
from onerun.store.lock import MaintenanceUnderWay
from onerun.store.protocol import open_store
from onerun.store.sql.engine import open_database
from onerun.tracking.runs import client
from tests.cleanup import file_stores
from tests.cleanup.conftest import MakeRun, log_model, texts
from tests.cleanup.test_clean_up import NOW, after_the_archive, clean_up, policy
from tests.cleanup.test_troubles import execute

HARD = "hard_delete"


def of(houses: Path, run: str) -> Path:
    return houses / run / "artifacts"


@pytest.fixture
def houses(experiment: str, tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / "houses"


def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_given: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(removal, "_empty", refused)


def test_links_that_lead_elsewhere_and_pipes_are_in_no_archive_and_stay(
    houses: Path, make_run: MakeRun
) -> None:
    run = make_run(40, NOW)
    artifacts = of(houses, run)
    (artifacts / "deep").mkdir()
    (artifacts / "deep" / "out").symlink_to(houses)
    (artifacts / "deep" / "file").write_text("archived")
    (artifacts / "within").symlink_to(artifacts / "data.bin")
    os.mkfifo(artifacts / "pipe")
    result = clean_up(policy(HARD))
    assert f"{houses / run} holds what no archive does; that was left" in result.notes
    assert {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*")} == {
        "deep",
        "deep/out",
        "pipe",
    }
    assert [each.kind for each in examine(open_store())] == ["prefix-without-owner"], (
        "it is found again"
    )


def test_files_with_several_names_go(houses: Path, make_run: MakeRun) -> None:
    """Removing one name changes the inode that the others share."""
    one, two = make_run(40, NOW), make_run(40, NOW)
    (of(houses, two) / "data.bin").unlink()
    (of(houses, two) / "data.bin").hardlink_to(of(houses, one) / "data.bin")
    assert clean_up(policy(HARD)).notes == []
    assert not list(houses.iterdir())


def test_a_folder_that_is_moved_to_a_runs_place_stays(
    houses: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = make_run(40, NOW), houses.parent / "other"
    (other / "artifacts").mkdir(parents=True)
    (other / "artifacts" / "inside").write_text("nobody archived this")

    def come() -> None:
        time.sleep(0.05)
        shutil.rmtree(houses / run)
        other.rename(houses / run)

    after_the_archive(monkeypatch, come)
    assert f"{run} was changed after it was archived" in "".join(clean_up(policy(HARD)).notes)
    assert (of(houses, run) / "inside").exists()


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_what_is_moved_in_before_a_killed_removal_is_finished_stays(
    what: str, houses: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(40, NOW)
    elsewhere = houses.parent / "elsewhere"
    inside = elsewhere / "inside" if what == "a folder" else elsewhere
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("nobody archived this")
    with monkeypatch.context() as once:
        busy(once)
        clean_up(policy(HARD))
    time.sleep(0.05)
    elsewhere.rename(of(houses, run) / "moved")
    assert f"{run} was changed after it was archived" in "".join(clean_up(policy(HARD)).notes)
    assert (of(houses, run) / "moved").exists()


def test_files_that_stay_are_not_counted_as_gone(
    houses: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(40, NOW)
    busy(monkeypatch)
    results = [clean_up(policy(HARD)) for _ in range(2)]
    assert [(result.done, result.finished, len(result.notes)) for result in results] == [
        (1, 0, 1),
        (0, 0, 1),
    ]


def test_a_journal_that_cannot_be_read_is_told_and_ends_nothing(
    houses: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(40, NOW)
    with monkeypatch.context() as once:
        busy(once)
        clean_up(policy(HARD))
    (journal,) = Path(".onerun/backups/journals").iterdir()
    journal.write_bytes(b"")
    make_run(40, NOW)
    result = clean_up(policy(HARD))
    assert result.done == 1
    assert f"{journal.name} cannot be read" in "".join(result.notes)


def test_a_journal_is_finished_though_the_oldest_experiment_went(
    houses: Path, experiment: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is still the same one."""
    run = make_run(40, NOW)
    oldest = client().create_experiment("oldest")
    client().delete_experiment(oldest)
    execute(
        f"UPDATE experiments SET creation_time = 5, last_update_time = 5 WHERE experiment_id = {oldest}"
    )
    with monkeypatch.context() as once:
        busy(once)
        assert clean_up(policy(HARD)).experiments == 1
    assert clean_up(policy(HARD)).finished == 1
    assert not (houses / run).exists()


def test_a_deleted_experiment_stays_while_its_folder_holds_files(
    houses: Path, experiment: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it nobody would find them again."""
    run = make_run(40, NOW)
    client().delete_experiment(experiment)
    execute(f"UPDATE runs SET deleted_time = {NOW - 10 * 86_400_000}")
    execute("UPDATE experiments SET last_update_time = 1")
    with monkeypatch.context() as once:
        after_the_archive(
            once, lambda: (time.sleep(0.05), (of(houses, run) / "late").write_text("x"))
        )
        result = clean_up(policy(HARD))
    assert (result.done, result.experiments, texts(result.skipped)) == (
        1,
        0,
        {experiment: "still holds files"},
    )
    assert "prefix-without-owner" in {each.kind for each in examine(open_store())}
    shutil.rmtree(houses / run)
    assert clean_up(policy(HARD)).experiments == 1


def test_a_restore_and_a_clean_up_do_not_meet(
    houses: Path, make_run: MakeRun, store_uri: str
) -> None:
    """The clean-up would remove files that the restore found the same."""
    make_run(40, NOW)
    archive = clean_up(policy(HARD)).archive
    with closing(open_database(store_uri)) as database, database.exclusive_lock():
        assert restore(archive).found["run"] == {"new": 1}
        with pytest.raises(MaintenanceUnderWay, match="another clean-up or restore"):
            restore(archive, apply=True)
    assert restore(archive, apply=True).found["run"] == {"new": 1}


def test_a_database_and_a_link_to_it_are_one(store_uri: str, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "mlflow.db")
    here, linked = open_database(store_uri), open_database(f"sqlite:///{tmp_path}/link.db")
    with (
        closing(here),
        closing(linked),
        here.exclusive_lock(),
        pytest.raises(MaintenanceUnderWay),
        linked.exclusive_lock(),
    ):
        pass


def test_a_place_that_may_not_be_looked_at_ends_nothing(
    houses: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, listing, there = make_run(40, NOW), os.scandir, Path.exists
    client().create_registered_model("prices")
    client().create_model_version("prices", str(houses.parent / "somebody" / "model"))

    def refused(path: str | Path = ".") -> object:
        if "houses" in str(path) or "somebody" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listing(path)

    def exists(path: Path) -> bool:
        if "somebody" in str(path):
            refused(path)
        return there(path)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(os, "listdir", refused)
    monkeypatch.setattr(Path, "exists", exists)
    assert examine(open_store()) == []
    plan, spool = plan_store(open_store(), policy(HARD), ())
    with spool:
        assert [(item.id, item.bytes) for item in plan.items] == [(run, None)]


def test_an_experiment_without_an_address_has_no_folder(houses: Path, experiment: str) -> None:
    assert artifact_paths.real_address("") is artifact_paths.real_address("file:///") is None
    execute(f"UPDATE experiments SET artifact_location = NULL WHERE experiment_id = {experiment}")
    assert examine(open_store()) == []


@pytest.mark.parametrize("place", ["gs://bucket/archives", "https://host/archives", "s3://"])
def test_archives_go_to_folders_and_buckets_alone(place: str, store_uri: str) -> None:
    with pytest.raises(Mistakes, match=r"backups\.to: expected a folder or s3://bucket/prefix"):
        policy(HARD, f"backups: {{to: '{place}'}}\n")


def test_folders_that_cannot_be_removed_keep_none_of_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are out of the store and archived; every later clean-up tries again."""
    file_stores.make_experiment(root, 1, {1: 60, 2: 60})
    remove = shutil.rmtree

    def refused(path: str | Path, *given: Any, **named: Any) -> None:
        if list(Path(path).glob(f"{1:032x}")):
            raise PermissionError(errno.EACCES, "Permission denied", "data")
        remove(path, *given, **named)

    with monkeypatch.context() as once:
        once.setattr(shutil, "rmtree", refused)
        for done in (2, 1):
            _, result = file_stores.clean_up(root)
            assert result.done == done
            assert (
                "out of the store and archived, but cannot be removed: Permission denied"
                in "".join(result.notes)
            )
            assert len(list((root / trash.GOING).iterdir())) == 1
            file_stores.make_run(root / "1", f"{3:032x}", 60)
    file_stores.clean_up(root)
    assert not (root / trash.GOING).exists()


def test_a_run_that_cannot_be_changed_keeps_none_of_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_stores.make_experiment(root, 1, {1: 60, 2: 60, 3: 60})
    write = Path.write_text

    def refused(path: Path, text: str) -> int:
        if path.parent.name == f"{2:032x}":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refused)
    _, result = file_stores.clean_up(root, "action=soft_delete")
    assert (result.done, texts(result.skipped)) == (
        2,
        {f"{2:032x}": "cannot be changed: Permission denied"},
    )


def test_names_that_are_no_text_are_told(root: Path) -> None:
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    (root / os.fsdecode(b"caf\xe9") / "x").touch()
    (finding,) = examine(open_store(str(root)))
    assert finding.id.encode() == f"{root}/caf\\udce9".encode()


def test_what_is_written_whole_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure leaves no journal that is empty: its content is there before its name is."""
    seen: list[list[str]] = []
    sync = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda file: (seen.append([path.name for path in tmp_path.iterdir()]), sync(file)),
    )
    storage.write_bytes_atomically(str(tmp_path / "journal"), b"x")
    assert len(seen) == 1
    assert "journal" not in seen[0]


def test_a_model_of_a_run_that_goes_is_measured_by_its_own_folder(
    houses: Path, make_run: MakeRun
) -> None:
    """What is logged beside it, in the folder of all models, is no change of it."""
    old, young = make_run(40, NOW), make_run(3, NOW)
    gone, kept = log_model(old), log_model(young)
    assert clean_up(policy(HARD)).notes == []
    assert [path.name for path in (houses / "models").iterdir()] == [kept]
    assert gone != kept
