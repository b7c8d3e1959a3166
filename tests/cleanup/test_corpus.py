"""Every kind of damage that a rescue knows, done to a file store: the maintenance plans, tells of it and survives."""

from pathlib import Path

import pytest

from onerun.cleanup.maintenance import planned
from onerun.cleanup.summary import summarise
from onerun.config.loading import load_policy
from tests.rescue.conftest import file_stores, healthy, old
from tests.rescue.damage import CORPUS, Store

__all__ = ["file_stores", "healthy", "old"]
POLICY = "keep: {younger_than: 1h, last: 0}\naction: hard_delete\n"


IN_THE_FILES = {  # what stands in files that clean-up does not read: the rescue tells of it
    "metric_lines_that_do_not_parse", "empty_metric", "points_that_are_there_twice", "data_set_that_is_gone",
    "output_that_cannot_be_read", "values_of_a_model_at_one_moment",
    "tag_written_on_another_system", "input_that_is_there_twice", "input_of_an_odd_kind",
}  # fmt: skip
IN_THE_FILES |= {
    name
    for name in CORPUS
    if name.startswith(("trace_", "assessment")) and name != "trace_without_info"
}
DELETED = {"deleted-run-files", "deleted-experiment-files"}  # of which the healthy one has one each
KINDS = {
    "experiment": {
        "experiment-without-meta", "experiment-with-broken-meta", "backup-folder", "experiment-twice",
    },
    "run": {"run-without-meta", "run-with-broken-meta", "run-twice", "stray"},
    "folder": {"backup-folder"},
    "file": {"stray"},
    "model": {"model-without-meta", "model-without-run"},
    "version": {"version-without-files", "unreadable-part"},
    "alias": {"alias-to-nothing", "unreadable-part"},
}  # fmt: skip


def found(root: Path) -> set[tuple[str, str, str]]:
    with planned(load_policy(POLICY), frozenset(), str(root)) as what:
        return {(finding.kind, finding.id, finding.cause) for finding in what.findings}


def test_nothing_is_wrong_with_a_healthy_store(old: Store) -> None:
    assert {kind for kind, _, _ in found(old.root)} <= DELETED


@pytest.mark.parametrize("name", CORPUS)
def test_damage_is_told_and_stops_nothing(name: str, old: Store) -> None:
    CORPUS[name].do(old)
    kinds = {kind for kind, _, _ in found(old.root)}
    assert summarise(str(old.root)).model_dump(mode="json")["status"] == "done"
    if CORPUS[name].done == "left out":
        return  # MLflow follows links to folders, and so does the maintenance
    if name in IN_THE_FILES:
        assert kinds <= DELETED
    else:
        expected = KINDS.get(CORPUS[name].what, {"unreadable-part"}) | {"beyond-a-database"}
        assert kinds & expected, kinds
