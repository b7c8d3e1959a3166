"""Stores of files: the case from the field, and what is damaged in them."""

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from onerun.archive import folders, read_back
from onerun.cleanup.summary import summarise
from onerun.cli import main as restore
from onerun.commands.maintain import COMMAND
from onerun.domain.archives import HEADER, MANIFEST
from onerun.domain.errors import ArchiveDamaged
from onerun.store.files import layout
from tests.cleanup.file_stores import age, digests, make_experiment

main = COMMAND.main

POLICY = """
name: weekly
keep: {younger_than: 30d, last: 0}
action: hard_delete
backups: {to: BACKUPS}
"""


def counts(root: Path) -> tuple[int, int]:
    folders = layout.experiment_folders(root)
    return len(folders), sum(len(layout.run_folders(folder)) for folder in folders)


@pytest.mark.slow
def test_the_case_from_the_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """17 experiments, 1,293 runs, two without meta.yaml, 143 runs older than 30 days: 15 and 1,150 are left."""
    root = tmp_path / "mlruns"
    for number in range(15):
        own = range(number, 1293, 15)
        make_experiment(
            root, number, {run: 40 + run % 50 if run < 143 else run % 29 for run in own}
        )
    for number in (15, 16):
        (root / str(number) / "tags").mkdir(parents=True)
        (root / str(number) / "leftover.txt").write_text("somebody's notes")
        age(root / str(number), 60)
    assert counts(root) == (17, 1293)
    before = digests(root)

    asked = [
        "--policy",
        POLICY.replace("BACKUPS", str(tmp_path / "backups")),
        "--store",
        str(root),
        "--json",
    ]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["plan"]["going"],
        told["plan"]["going_experiments"],
        told["plan"]["experiments"],
    ) == (143, 2, 17)
    assert [finding["kind"] for finding in told["findings"]] == ["experiment-without-meta"] * 2
    assert digests(root) == before

    assert main([*asked, "--apply"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["result"]["done"], told["result"]["experiments"]) == (143, 2)
    assert counts(root) == (15, 1150)
    after = {
        name: content for name, content in digests(root).items() if not name.startswith(".onerun")
    }
    assert after.items() <= before.items()

    archive = told["result"]["archive"]
    assert restore(["restore", archive, "--to", str(root), "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert (planned["status"], planned["new"], planned["differ"]) == (
        "planned",
        len(before) - len(after),
        0,
    )
    assert counts(root) == (15, 1150)
    assert restore(["restore", archive, "--to", str(root), "--apply"]) == 0
    assert counts(root) == (17, 1293)
    there = digests(root)
    assert {
        name: content for name, content in there.items() if not name.startswith(".onerun")
    } == before
    assert main(asked) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])["plan"]
    assert (plan["going"], plan["going_experiments"]) == (143, 2), "times came back too"


def test_an_archive_of_folders_is_a_plain_tar(tmp_path: Path) -> None:
    make_experiment(tmp_path / "mlruns", 1, {1: 3})
    artifacts = tmp_path / "mlruns" / "1" / f"{1:032x}" / "artifacts"
    (artifacts / "a\nb\\c").write_text("an odd name")
    (artifacts / "twice.bin").hardlink_to(artifacts / "data.bin")
    (artifacts / "link").symlink_to("/etc/hostname")
    os.mkfifo(artifacts / "pipe")
    made = folders.back_up(
        tmp_path / "mlruns", [tmp_path / "mlruns" / "1"], str(tmp_path / "b"), "x"
    )
    assert made.notes == ()
    uri = made.uri
    assert [path.name for path in (tmp_path / "b").iterdir()] == [Path(uri).name]
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "xzf", uri], cwd=out, check=True)
    there = {path.relative_to(tmp_path / "mlruns") for path in (tmp_path / "mlruns").rglob("*")}
    assert {path.relative_to(out) for path in out.rglob("*")} == {
        *there,
        Path(HEADER),
        Path(MANIFEST),
    }
    *lines, counts = map(json.loads, (out / MANIFEST).read_text().splitlines())
    assert {line["name"] for line in lines} == {*map(str, there), HEADER}
    for line in lines:
        if "sha256" in line:
            assert hashlib.sha256((out / line["name"]).read_bytes()).hexdigest() == line["sha256"]
    assert counts == {"counts": made.counts}
    damaged = bytearray(Path(uri).read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    Path(uri).write_bytes(damaged)
    with pytest.raises(ArchiveDamaged):
        read_back(uri)


@pytest.mark.parametrize("text", ["longer" * 100, "y" * 100, ""])
def test_what_changes_while_folders_are_archived_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    make_experiment(tmp_path / "mlruns", 1, {1: 3})
    add = tarfile.TarFile.addfile

    def changed(tar: tarfile.TarFile, info: tarfile.TarInfo, *content: Any) -> None:
        add(tar, info, *content)
        if info.name.endswith("data.bin"):
            (tmp_path / "mlruns" / info.name).write_text(text)

    monkeypatch.setattr(tarfile.TarFile, "addfile", changed)
    with pytest.raises(ArchiveDamaged, match="changed while it was archived"):
        folders.back_up(tmp_path / "mlruns", [tmp_path / "mlruns" / "1"], str(tmp_path / "b"), "x")
    assert list((tmp_path / "b").iterdir()) == []


def test_damage_is_told_by_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "mlruns"
    make_experiment(root, 1, {1: 3, 2: 3, 3: 3, 4: 3})
    make_experiment(root, 2, {})
    (root / "2" / "meta.yaml").write_text("")
    make_experiment(root, 3, {})
    (root / "3" / "meta.yaml").write_text("{broken")
    runs = {number: root / "1" / f"{number:032x}" for number in (1, 2, 3, 4)}
    (runs[1] / "meta.yaml").unlink()
    (runs[2] / "meta.yaml").write_text("a: [")
    (runs[3] / "params" / "Depth").write_text("4")
    (runs[4] / "params" / "depth").write_text("3\n4")
    subprocess.run(["cp", "-r", root / "1", root / "1.bak"], check=True)
    (root / "models" / "prices" / "aliases").mkdir(parents=True)
    (root / "models" / "prices" / "aliases" / "champion").write_text("7")
    asked = [
        "--policy",
        POLICY.replace("BACKUPS", str(tmp_path / "b")),
        "--store",
        str(root),
        "--json",
    ]
    assert main(asked) == 0
    found = {
        (each["kind"], Path(each["id"]).name)
        for each in json.loads(capsys.readouterr().out)["findings"]
    }
    assert found == {
        ("run-without-meta", runs[1].name), ("run-with-broken-meta", runs[2].name),
        ("duplicate-parameter", runs[3].name), ("conflicting-parameter", runs[4].name),
        ("experiment-with-broken-meta", "2"), ("experiment-with-broken-meta", "3"), ("backup-folder", "1.bak"),
        ("alias-to-nothing", "prices@champion"), ("unreadable-part", "prices"),
    }  # fmt: skip


def test_what_protects_in_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "mlruns"
    make_experiment(root, 1, dict.fromkeys(range(1, 6), 60))
    folders = {number: root / "1" / f"{number:032x}" for number in range(1, 6)}
    (folders[1] / "tags" / "pin").write_text("true")
    (folders[2] / "meta.yaml").write_text(
        (folders[2] / "meta.yaml").read_text().replace("status: 3", "status: 1")
    )
    (folders[3] / "tags" / "mlflow.parentRunId").write_text(folders[1].name)
    version = root / "models" / "prices" / "version-1"
    version.mkdir(parents=True)
    (version / "meta.yaml").write_text(
        yaml.safe_dump({"name": "prices", "version": 1, "run_id": folders[4].name})
    )
    policy = POLICY.replace("BACKUPS", str(tmp_path / "b"))
    asked = ["--policy", policy, "--store", str(root), "--json", "--apply", "--yes-really"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["result"]["done"] == 1
    assert not folders[5].exists()
    assert {kept["id"]: kept["protected_by"] for kept in told["plan"]["kept"]} == {
        folders[1].name: "tag pin", folders[2].name: "has status RUNNING", folders[4].name: "prices version 1",
        folders[3].name: f"parent or child of {folders[1].name}, which is kept",
    }  # fmt: skip


def test_every_version_is_counted_and_one_without_files_is_found(tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    make_experiment(root, 1, {1: 3})
    run = root / "1" / f"{1:032x}"
    (run / "artifacts" / "model").mkdir()
    for number, source in enumerate(
        (
            f"runs:/{run.name}/model",
            f"runs:/{run.name}/other",
            f"models:/m-{'a' * 32}",
            "models:/prices/1",
        ),
        start=1,
    ):
        version = root / "models" / "prices" / f"version-{number}"
        version.mkdir(parents=True)
        (version / "meta.yaml").write_text(
            yaml.safe_dump({"name": "prices", "version": number, "source": source})
        )
    (root / "models" / "prices" / "version-5").mkdir()
    (root / "models" / "prices" / "version-5" / "meta.yaml").write_text("\0: [")
    told = summarise(str(root)).model_dump(mode="json")
    assert (told["registered_models"], told["versions"]) == (1, 5)
    lacking = [
        trouble for trouble in told["troubles"] if trouble["kind"] == "version-without-files"
    ]
    assert {trouble["id"]: trouble["cause"] for trouble in lacking} == {
        "prices version 2": f"there is nothing at {run}/artifacts/other",
        "prices version 3": "what it was made of is missing",
    }
