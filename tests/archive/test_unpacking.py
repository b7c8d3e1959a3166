"""An archive of folders comes back: what is missing is written with its times, what is there is never touched."""

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from onerun import storage
from onerun.archive import folders, repository, restore, restore_folders
from onerun.cli import main
from onerun.config.mistakes import Mistakes
from onerun.domain.cleanup.messages import command_back
from onerun.domain.errors import ArchiveDamaged
from tests import servers

THEN = 1_600_000_000
RECORDS = Path(__file__).parent / "old" / "records-1.tar.gz"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns: a store of files with one experiment that cannot be read, all of it years old."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "mlruns" / "1" / "r"
    (run / "params").mkdir(parents=True)
    (run / "params" / "depth").write_text("3")
    (run / "params" / "width").write_text("4")
    (run / "link").symlink_to("/etc/hostname")
    for path in (tmp_path / "mlruns").rglob("*"):
        os.utime(path, (THEN, THEN), follow_symlinks=False)
    return tmp_path / "mlruns"


def packed(store: Path, to: str) -> str:
    return folders.back_up(store, [store / "1"], to, "weekly").uri


def restored(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["restore", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_there_stays_and_what_is_missing_comes_with_its_times(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = packed(store, "backups")
    store.joinpath("1", "r", "params", "depth").write_text("newer")
    store.joinpath("1", "r", "params", "width").unlink()
    before = sorted(store.rglob("*"))
    code, planned = restored(capsys, archive, "--to", "mlruns")
    assert (code, planned["status"]) == (0, "planned")
    assert sorted(store.rglob("*")) == before
    code, done = restored(capsys, archive, "--to", "mlruns", "--apply")
    assert (code, done["found"], done["bytes"]) == (0, {"files": {"differs": 1, "new": 1}}, 1)
    assert done["differing"] == [str(store / "1" / "r" / "params" / "depth")]
    assert done["notes"] == ["1/r/link is a link or no file: left out; `tar` brings it"]
    assert store.joinpath("1", "r", "params", "depth").read_text() == "newer"
    assert store.joinpath("1", "r", "params", "width").read_text() == "4"
    _, again = restored(capsys, archive, "--to", "mlruns", "--apply")
    assert again["found"] == {"files": {"differs": 1, "same": 1}}
    (store.parent / "empty").mkdir()
    assert restored(capsys, archive, "--to", "empty", "--apply")[0] == 0
    assert {path.stat().st_mtime for path in store.parent.joinpath("empty").rglob("*")} == {THEN}
    assert not list(store.parent.rglob(".onerun*"))


def test_nothing_is_written_through_a_link(store: Path, tmp_path: Path) -> None:
    archive = packed(store, "backups")
    (tmp_path / "target" / "1").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target" / "1" / "r").symlink_to(tmp_path / "elsewhere")
    done = restore_folders(archive, str(tmp_path / "target"), apply=True)
    assert done.found["files"] == {"differs": 2}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_member_that_leads_out_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.folders.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../out"), io.BytesIO())
    (tmp_path / "target").mkdir()
    with pytest.raises(ArchiveDamaged, match="outside"):
        restore_folders(str(archive), str(tmp_path / "target"), apply=True)
    assert not (tmp_path / "out").exists()


def test_mistakes_and_damage_are_told(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = packed(store, "backups")
    for arguments, said in (
        ([archive], "--to: is missing"),
        ([archive, "--to", "nowhere"], "no such folder"),
        ([archive, "--to", "mlruns", "--run", "x"], "takes no parts"),
        (["other.tar.gz", "--to", "mlruns"], "is for archives of folders"),
        (["none.folders.tar.gz", "--to", "mlruns"], "no such file"),
    ):
        code, told = restored(capsys, *arguments)
        assert code == 2
        assert said in told["error"]
    assert restored(capsys, archive, "--verify")[1]["status"] == "whole"
    damaged = bytearray(Path(archive).read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    Path(archive).write_bytes(damaged)
    for arguments in ([archive, "--verify"], [archive, "--to", "mlruns", "--apply"]):
        code, told = restored(capsys, *arguments)
        assert (code, "damaged" in told["error"]) == (1, True)


def test_in_an_object_store_it_is_read_back_and_comes_back(
    store: Path, s3_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    archive = packed(store, "s3://folders/weekly")
    (store.parent / "back").mkdir()
    assert command_back(archive, "back") == f"python -m flows.restore {archive} --to back --apply"
    assert restored(capsys, *command_back(archive, "back").split()[3:])[0] == 0
    assert (store.parent / "back" / "1" / "r" / "params" / "depth").read_text() == "3"

    def cut_off(local: Path, uri: str) -> None:
        storage.write_bytes_atomically(uri, local.read_bytes()[:-9])

    monkeypatch.setattr(repository, "put", cut_off)  # as a proxy in between does it
    with pytest.raises(ArchiveDamaged, match="is not what was sent"):
        packed(store, "s3://folders/weekly")


def test_what_an_archive_holds_stands_in_it(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name only says which command line is right; a name that is wrong is a mistake."""
    archive = packed(store, "backups")
    renamed = Path(archive).rename("other.tar.gz")
    with pytest.raises(Mistakes, match="holds folders: let its name end with"):
        restore(str(renamed), store="sqlite:///none.db")
    shutil.copy(RECORDS, "records.folders.tar.gz")
    code, told = restored(capsys, "records.folders.tar.gz", "--to", "mlruns")
    assert (code, "holds records" in told["error"]) == (2, True)
