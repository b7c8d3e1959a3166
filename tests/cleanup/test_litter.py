"""What trainings leave outside of MLflow: shown with its bytes, removed when old, never while
something may need it.
"""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from onerun.cleanup.litter import Places, examine_litter, remove_litter
from onerun.commands import maintain, summary
from onerun.config.loading import load_policy
from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.result import Result
from onerun.store.protocol import open_store
from onerun.tracking.runs import client
from tests import servers
from tests.cleanup.conftest import DAY, MakeRun, log_model

NOW = int(time.time() * 1000)
DIGESTS = [f"{number:064x}" for number in range(4)]
REMOVES = (
    "name: ours\naction: hard_delete\nkeep: {younger_than: 3650d, last: 100}\nmax_delete: 100%\n"
    "snapshots: {action: remove}\n"
)


@pytest.fixture
def places(store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Returns: the profile's folders; lock files lie in one of this test's own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return Places(str(tmp_path / ".onerun"), str(tmp_path / ".onerun"))


def made(folder: Path, days: float, name: str = "table.parquet") -> Path:
    """Makes a folder with 100 bytes in it that nothing changed for so many days."""
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"x" * 100)
    aged(folder / name, days)
    aged(folder, days)
    return folder


def aged(path: Path, days: float) -> None:
    at = (NOW - days * DAY) / 1000
    os.utime(path, (at, at))


def work(places: Places, run: str, days: float) -> Path:
    return made(Path(places.work, "runs", run), days)


def snapshot(places: Places, digest: str, days: float) -> Path:
    return made(Path(places.store, "snapshots", digest), days)


def policy(text: str = REMOVES) -> Policy:
    return load_policy(text)


def removed(places: Places, rules: Policy, live: tuple[str, ...] = ()) -> Result:
    store, result = open_store(), Result()
    found = examine_litter(store, places, rules, live)
    remove_litter(store, places, rules, found, live, result)
    return result


def test_work_folders_go_by_age_and_never_while_a_training_may_need_them(
    places: Places, make_run: MakeRun
) -> None:
    failed, young = (make_run(40, NOW, "FAILED") for _ in range(2))
    running = make_run(40, NOW, "RUNNING")
    waiting = make_run(40, NOW, "FAILED", **{names.TAG_FLOW_RUN_ID: "f-1"})
    old = work(places, failed, 31)
    kept = [work(places, young, 29), work(places, running, 31), work(places, waiting, 31)]
    other = made(Path(places.work, "runs", "no-run"), 100)
    unknown = work(places, "f" * 32, 31)
    result = removed(places, policy(), live=("f-1",))
    assert (result.litter, result.litter_bytes, result.notes) == (2, 200, [])
    assert not old.exists() and not unknown.exists()
    assert all(path.exists() for path in (*kept, other))
    assert removed(places, policy()).litter == 1, "its flow run is not live any more"


def test_a_snapshot_that_a_run_names_is_never_removed(places: Places, make_run: MakeRun) -> None:
    named, deleted, unused, young = (snapshot(places, each, 100) for each in DIGESTS)
    aged(young / "table.parquet", 1)
    make_run(1, NOW, **{names.TAG_SNAPSHOT_DIGEST: DIGESTS[0]})
    client().delete_run(make_run(1, NOW, **{names.TAG_SNAPSHOT_DIGEST: DIGESTS[1]}))
    assert removed(places, policy()).litter == 1
    assert not unused.exists()
    assert named.exists() and deleted.exists() and young.exists()


def test_no_snapshot_is_removed_while_a_training_has_not_named_its_own(
    places: Places, make_run: MakeRun
) -> None:
    """It may have found one there that no other run names, and be about to read it."""
    unused = snapshot(places, DIGESTS[0], 100)
    store, rules = open_store(), policy()
    found = examine_litter(store, places, rules, ())
    running = make_run(0, NOW, "RUNNING", **{names.TAG_PROCESS: "{}"})
    result = Result()
    remove_litter(store, places, rules, found, (), result)
    assert unused.exists()
    assert "1 trainings under way have not named their snapshot yet" in result.notes[0]
    assert examine_litter(store, places, rules, ()) == []
    client().set_tag(running, names.TAG_SNAPSHOT_DIGEST, DIGESTS[1])
    assert removed(places, rules).litter == 1


def test_a_version_without_its_run_keeps_all_snapshots(places: Places, make_run: MakeRun) -> None:
    from sqlalchemy import create_engine, text

    run = make_run(1, NOW)
    log_model(run, register="prices")
    unused = snapshot(places, DIGESTS[0], 100)
    engine = create_engine(os.environ["MLFLOW_TRACKING_URI"])
    with engine.begin() as connection:
        connection.execute(text("UPDATE model_versions SET run_id = 'missing'"))
    assert removed(places, policy()).litter == 0
    assert unused.exists()


def test_one_that_is_used_between_plan_and_removal_is_kept(places: Places, experiment: str) -> None:
    unused, folder = snapshot(places, DIGESTS[0], 100), work(places, "f" * 32, 100)
    store, rules = open_store(), policy()
    found = examine_litter(store, places, rules, ())
    for path in (unused, folder):
        os.utime(path / "table.parquet")
    result = Result()
    remove_litter(store, places, rules, found, (), result)
    assert (result.litter, len(result.notes)) == (0, 2)
    assert unused.exists() and folder.exists()


def test_lock_files_go_after_a_day_unless_they_are_held(places: Places, experiment: str) -> None:
    old, held, young, other = (
        Path(places.locks, name)
        for name in ("onerun-a.lock", "onerun-b.lock", "onerun-c.lock", "others.lock")
    )
    for path in (old, held, young, other):
        path.touch()
        aged(path, 0 if path == young else 2)
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert removed(places, policy()).litter == 1
    assert not old.exists()
    assert held.exists() and young.exists() and other.exists()


@pytest.mark.parametrize(
    ("rules", "kinds"),
    [
        ("action: soft_delete\nsnapshots: {action: remove}\n", 0),
        ("action: hard_delete\n", 1),
        ("action: hard_delete\nsnapshots: {action: remove}\n", 2),
        ("action: hard_delete\nwork: {older_than: 200d}\nsnapshots: {unused_for: 200d}\n", 0),
    ],
)
def test_what_a_policy_removes(rules: str, kinds: int, places: Places, experiment: str) -> None:
    work(places, "f" * 32, 100)
    snapshot(places, DIGESTS[0], 100)
    assert removed(places, policy(f"name: ours\n{rules}")).litter == kinds


def test_the_commands_show_it_with_its_bytes_and_remove_it(
    places: Places, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = work(places, make_run(40, NOW, "FAILED"), 31)
    snapshot(places, DIGESTS[0], 100)
    assert summary.COMMAND.main(["--json"]) == 0
    troubles = json.loads(capsys.readouterr().out)["troubles"]
    assert {(each["kind"], each["bytes"]) for each in troubles} == {
        ("old-work-folder", 100), ("unused-snapshot", 100),
    }  # fmt: skip
    asked = ["--policy", REMOVES, "--json"]
    assert maintain.COMMAND.main(asked) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["litter"], plan["litter_bytes"], plan["going"]) == (2, 200, 0)
    assert folder.exists()
    assert maintain.COMMAND.main([*asked, "--apply"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["litter"], result["litter_bytes"]) == (2, 200)
    assert not folder.exists()


def test_snapshots_in_a_bucket(
    s3_server: str, places: Places, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object's age cannot be set: the policy's least span is an hour, so nothing here is old
    enough.
    """
    from onerun import storage

    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    storage.ensure_bucket("s3://litter")
    in_bucket = Places(places.work, "s3://litter/data")
    for digest in DIGESTS[:2]:
        for name in ("table.parquet", "row-hashes.npy"):
            storage.write_bytes_atomically(
                f"{in_bucket.store}/snapshots/{digest}/{name}", b"x" * 100
            )
    make_run(1, NOW, **{names.TAG_SNAPSHOT_DIGEST: DIGESTS[0]})
    rules, store, result = policy(), open_store(), Result()
    assert examine_litter(store, in_bucket, rules, ()) == []
    at_once = rules.model_copy(
        update={"snapshots": rules.snapshots.model_copy(update={"unused_for": 0.0})}
    )
    found = examine_litter(store, in_bucket, at_once, ())
    assert [(each.id, each.bytes) for each in found] == [
        (f"{in_bucket.store}/snapshots/{DIGESTS[1]}", 200)
    ]
    remove_litter(store, in_bucket, at_once, found, (), result)
    assert result.litter_bytes == 200
    left = {uri.split("/")[-2] for uri, _ in storage.list_objects(f"{in_bucket.store}/snapshots")}
    assert left == {DIGESTS[0]}
