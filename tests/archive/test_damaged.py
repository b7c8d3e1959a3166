"""A damaged archive is named before anything is written; a member that leads elsewhere is refused (P4)."""

import gzip
import hashlib
import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from onerun.archive import Selection, artifacts, back_up, restore
from onerun.config.mistakes import Mistakes
from onerun.domain.archives import MANIFEST, inside, split_member
from onerun.domain.errors import ArchiveDamaged
from tests.archive.conftest import Store

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def archive(store: Store, tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good archive under another name, so that only its content can tell; the environment names an empty store."""
    made = back_up(Selection(runs=(store.runs["1"][0],)), "backups", "daily")
    shutil.rmtree(store.files)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    return Path(shutil.copy(made.uri, tmp_path / "copy.tar.gz"))


def refused(archive: Path, match: str = "") -> None:
    """It is named, and nothing is written: neither files nor rows."""
    database = Path("other.db")
    before = database.read_bytes()
    with pytest.raises(ArchiveDamaged, match=match or None):
        restore(str(archive), apply=True)
    assert not Path("files").exists()
    assert database.read_bytes() == before


def members(archive: Path) -> Members:
    with tarfile.open(archive) as tar:
        return [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]


def rebuilt(archive: Path, change: Callable[[Members], None], sign: bool = False) -> Path:
    """The archive with other members; `sign`: and a manifest that fits them, as whoever wants to do harm would make."""
    content = members(archive)
    change(content)
    if sign:
        counts = content.pop()[1].splitlines()[-1]
        lines = [
            json.dumps(
                {"name": info.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            ).encode()
            for info, data in content
        ]
        content.append((tarfile.TarInfo(MANIFEST), b"\n".join([*lines, counts]) + b"\n"))
    with (
        gzip.open(archive, "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for info, data in content:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive


def test_the_rebuilt_archive_is_good_as_long_as_nothing_is_changed(archive: Path) -> None:
    """A check that cannot fail is a defect."""
    assert restore(str(rebuilt(archive, lambda _: None)), apply=True).new > 0


def test_cut_off_anywhere(archive: Path) -> None:
    whole = archive.read_bytes()
    for length in [0, 1, 5, 10, 100, *range(1000, len(whole), 800), len(whole) - 9, len(whole) - 1]:
        archive.write_bytes(whole[:length])
        refused(archive)


def test_any_bit_is_flipped(archive: Path) -> None:
    """With its digest in its name, even a bit that no content depends on (gzip's own header has some) is noticed."""
    whole = archive.read_bytes()
    named = archive.with_name(f"x-{hashlib.sha256(whole).hexdigest()[:12]}.tar.gz")
    chance = random.Random(7)
    for position in [4, 8, 9, *(chance.randrange(10, len(whole)) for _ in range(60))]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        named.write_bytes(damaged)
        refused(named)
    named.write_bytes(whole)
    assert restore(str(named)).new > 0


def test_bytes_after_the_end(archive: Path) -> None:
    whole = archive.read_bytes()
    named = archive.with_name(f"x-{hashlib.sha256(whole).hexdigest()[:12]}.tar.gz")
    named.write_bytes(whole + b"more")
    refused(named)


def drop_file(content: Members) -> None:
    del content[1]


def drop_manifest(content: Members) -> None:
    content.pop()


def swap(content: Members) -> None:
    content[1], content[2] = content[2], content[1]


def change_content(content: Members) -> None:
    at = next(i for i, (info, _) in enumerate(content) if info.name.endswith("ü.txt"))
    content[at] = content[at][0], b"REPORT of 0"


def add_one(content: Members) -> None:
    content.insert(1, (tarfile.TarInfo("artifacts/run/abc/more.txt"), b"more"))


def other_version(content: Members) -> None:
    content[0] = content[0][0], json.dumps(json.loads(content[0][1]) | {"version": 99}).encode()


def other_format(content: Members) -> None:
    content[0] = content[0][0], b"{}"


def no_header(content: Members) -> None:
    del content[0]


def broken_record(content: Members) -> None:
    at = next(i for i, (info, _) in enumerate(content) if info.name.startswith("records/"))
    content[at] = content[at][0], b'{"kind": "run", "id": "x", "table": "secrets", "rows": [{}]}\n'


@pytest.mark.parametrize(
    ("change", "sign", "words"),
    [
        (drop_file, False, "is missing"),
        (drop_manifest, False, "no manifest"),
        (swap, False, "stands in its place"),
        (change_content, False, r"ü\.txt' is not what was written: its checksum"),
        (add_one, False, "is missing|stands in its place|not in the archive's manifest"),
        (other_version, True, "format is version 99"),
        (other_format, True, "no archive of a store"),
        (no_header, True, "not our header"),
        (broken_record, True, "none that this program knows"),
    ],
)
def test_another_content(
    archive: Path, change: Callable[[Members], None], sign: bool, words: str
) -> None:
    refused(rebuilt(archive, change, sign), words)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../outside.txt", "artifacts/run/abc/../../outside.txt", "artifacts/run/abc//x",
        "artifacts/run/abc/", "artifacts/run/abc/./x", "artifacts/host/abc/x", "records/../x", "artifacts/run//x",
        "artifacts/run/abc/" + "x/" * 3000 + "x",
    ],
)  # fmt: skip
def test_a_member_that_leads_elsewhere(archive: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    refused(
        rebuilt(archive, lambda content: content.insert(1, (info, b"harm")), sign=True), "member"
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_a_member_that_is_no_file(archive: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("artifacts/run/abc/link")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(
        rebuilt(archive, lambda content: content.insert(1, (info, b"")), sign=True),
        "link or no file",
    )


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc/elsewhere",
        "file://{root}/e0/../../outside",
        "file://{root}/e0/%2e%2e/%2e%2e/outside",
        "",
    ],
)
def test_a_run_whose_files_are_to_lie_elsewhere(archive: Path, tmp_path: Path, place: str) -> None:
    """Where files go stands in the records: outside of the experiment's place they are not written."""

    def change(content: Members) -> None:
        at = next(i for i, (info, _) in enumerate(content) if info.name.startswith("records/"))
        lines = [json.loads(line) for line in content[at][1].splitlines()]
        for line in lines:
            if line["table"] == "runs":
                line["rows"][0]["artifact_uri"] = place.replace("{root}", f"{tmp_path}/files")
        content[at] = content[at][0], b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    done = restore(str(rebuilt(archive, change, sign=True)), apply=True)
    left = [
        words for words in done.differing if "its files are not below its experiment's" in words
    ]
    assert len(left) == done.found["run"]["differs"] == 1
    assert not Path("files").exists()
    assert not Path("outside").exists()


def test_a_folder_that_is_a_link_out_of_the_place(
    archive: Path, tmp_path: Path, store: Store
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = tmp_path / "files" / "e0" / store.runs["1"][0] / "artifacts"
    run.mkdir(parents=True)
    (run / "plots").symlink_to(elsewhere)
    with pytest.raises(ArchiveDamaged, match="through a link"):
        restore(str(archive), apply=True)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"", mtime=0), gzip.compress(b"no tar" * 500, mtime=0)],
)
def test_something_else_altogether(archive: Path, content: bytes) -> None:
    archive.write_bytes(content)
    refused(archive)


def test_an_archive_that_is_not_there(store: Store) -> None:
    with pytest.raises(Mistakes, match="no such file"):
        restore("nowhere.tar.gz")


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("a/b", True),
        ("ü b.txt", True),
        ("a\\b", True),
        ("..a", True),
        ("a/..", False),
        ("", False),
        ("/a", False),
        ("a\x00", False),
    ],
)
def test_paths(path: str, good: bool, tmp_path: Path) -> None:
    assert inside(path) == good
    if good:
        assert artifacts.below(str(tmp_path), path) == str(tmp_path / path)
        assert split_member(f"artifacts/run/a%2Fb/{path}") == ("run", "a/b", path)
    else:
        with pytest.raises(ArchiveDamaged):
            artifacts.below(str(tmp_path), path)
