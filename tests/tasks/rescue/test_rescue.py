"""Rescue: what is broken is found, what can be saved is in the database, proven; the old store is only read."""

import hashlib
import os
import sqlite3
import tarfile
from pathlib import Path

import pytest

from domain import names
from tasks.archives.rescue import Rescue, examine, rescue
from tests.tasks.rescue.damage import CORPUS, Damage, Store

ALL = [pytest.param(each, id=name) for name, each in CORPUS.items()]
FEW = ("experiment_without_meta", "run_without_meta", "metric_lines_that_do_not_parse", "alias_to_nothing")
SOME_LONG = [
    pytest.param(each, id=name, marks=() if name in FEW else pytest.mark.long) for name, each in CORPUS.items()
]
SAVED = {"experiment": 4, "run": 6, "model": 6, "metric": 126, "parameter": 12, "version": 2, "alias": 1, "input": 12}


def tree(root: Path) -> dict[str, str]:
    """Every path below with its kind, time and content."""
    found = {}
    for folder, _, files in os.walk(root):
        found[folder] = "folder"
        for name in files:
            path = Path(folder, name)
            small = path.is_file() and path.stat().st_size < 10**6
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small and not path.is_symlink() else ""
            found[str(path)] = f"{path.lstat().st_mtime_ns} {path.lstat().st_size} {content}"
    return found


def matching(done: Rescue, damage: Damage) -> list[str]:
    return [
        finding.path
        for finding in done.findings
        if finding.what == damage.what and damage.cause in finding.cause and finding.done == damage.done
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
    lost = {kind: count - done.after.get(kind, 0) for kind, count in whole.items() if count > done.after.get(kind, 0)}
    assert lost == damage.lost
    assert marked(file) == damage.rebuilt
    with tarfile.open(done.backup) as tar:
        assert len(tar.getnames()) == len({*before})
    if damage.done in ("quarantined", "rebuilt") and "missing" not in damage.cause:
        assert any(path.name for path in Path(done.quarantine).rglob("*") if not path.is_dir() or path.is_symlink())


def marked(file: Path) -> int:
    """How many things carry the tag that says what was rebuilt."""
    tables = {"tags": "key", "experiment_tags": "key", "logged_model_tags": "tag_key", "registered_model_tags": "key"}
    with sqlite3.connect(file) as database:
        return sum(
            database.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", [names.TAG_RESCUED]).fetchone()[0]
            for table, column in tables.items()
        )
