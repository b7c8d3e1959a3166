"""Archives of folders before format 2, with SHA256SUMS: restored, and their damage found first.

The file in `old/` is never made again: a new format gets a new one.
"""

import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest

from onerun.archive import read_back, restore_folders
from onerun.domain.errors import ArchiveDamaged

FOLDERS = Path(__file__).parent / "old" / "folders-1.folders.tar.gz"


def test_folders_come_back(tmp_path: Path) -> None:
    assert read_back(str(FOLDERS)).bytes == FOLDERS.stat().st_size
    run = tmp_path / "7" / ("a" * 32)
    planned = restore_folders(str(FOLDERS), str(tmp_path))
    assert (planned.applied, planned.new, run.exists()) == (False, 5, False)
    assert restore_folders(str(FOLDERS), str(tmp_path), apply=True).new == 5
    assert (run / "artifacts" / "data.txt").read_text() == "data"
    assert (run / "params" / "depth").read_text() == "3"
    assert not list(tmp_path.rglob(".onerun*"))
    assert not list(tmp_path.rglob("SHA256SUMS"))
    (run / "params" / "depth").write_text("4")
    again = restore_folders(str(FOLDERS), str(tmp_path), apply=True)
    assert again.found["files"] == {"same": 4, "differs": 1}
    assert (run / "params" / "depth").read_text() == "4"


def changed(archive: Path, name: str, content: bytes | None) -> Path:
    """Return an old archive of folders in which one file has another content, or is missing."""
    with (
        tarfile.open(FOLDERS) as old,
        gzip.open(archive, "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in old:
            held = old.extractfile(member)
            body = held.read() if held else b""
            if member.name.endswith(name):
                if content is None:
                    continue
                body = content
                member.size = len(content)
            new.addfile(member, io.BytesIO(body))
    return archive


@pytest.mark.parametrize(
    ("name", "content"),
    [("params/depth", b"9"), ("params/depth", None), ("SHA256SUMS", None), ("SHA256SUMS", b"")],
)
def test_damage_is_found_before_anything_is_written(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    archive = changed(tmp_path / "x.folders.tar.gz", name, content)
    (tmp_path / "target").mkdir()
    with pytest.raises(ArchiveDamaged):
        restore_folders(str(archive), str(tmp_path / "target"), apply=True)
    assert not list((tmp_path / "target").iterdir())


def test_the_changed_archive_is_good_as_long_as_nothing_is_changed(tmp_path: Path) -> None:
    archive = changed(tmp_path / "x.folders.tar.gz", "params/depth", b"3")
    shutil.rmtree(tmp_path / "target", ignore_errors=True)
    (tmp_path / "target").mkdir()
    assert restore_folders(str(archive), str(tmp_path / "target"), apply=True).new == 5
