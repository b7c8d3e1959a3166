"""Families, links, and what changes in a file store between the plan and the deed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onerun.cleanup import execution
from onerun.store.files import trash
from tests.cleanup.conftest import texts
from tests.cleanup.file_stores import (
    PARENT,
    clean_up,
    edit,
    logged_model,
    make_experiment,
    run_of,
    unreadable,
)


@pytest.mark.parametrize("action", ["soft_delete", "hard_delete"])
def test_a_family_across_experiments_stays(action: str, root: Path) -> None:
    make_experiment(root, 1, {1: 60, 2: 60})
    make_experiment(root, 2, {3: 3})
    (run_of(root, 1, 1) / "tags" / PARENT).write_text(f"{3:032x}")
    plan, result = clean_up(root, f"action={action}")
    assert (plan.to_delete, result.done) == (1, 1)
    assert [str(kept.protected_by) for kept in plan.skipped] == [
        "has a parent or child in another experiment"
    ]


@pytest.mark.parametrize("action", ["quarantine", "soft_delete", "hard_delete"])
def test_a_run_that_cannot_be_read_any_more_stays_with_its_family(action: str, root: Path) -> None:
    make_experiment(root, 1, {1: 60, 2: 60, 3: 60, 4: 60})
    for child, parent in ((2, 1), (3, 2)):
        (run_of(root, 1, child) / "tags" / PARENT).write_text(f"{parent:032x}")
    family = {f"{number:032x}" for number in (1, 2, 3)}
    meta = run_of(root, 1, 1) / "meta.yaml"
    plan, result = clean_up(root, f"action={action}", meanwhile=lambda: meta.write_text(""))
    assert (plan.to_delete, result.done) == (4, 1)
    assert texts(result.skipped).keys() == family
    assert texts(result.skipped)[f"{1:032x}"] == "cannot be read any more"
    assert texts(result.skipped)[f"{2:032x}"] == f"parent or child of {1:032x}, which is kept"
    assert all((root / "1" / run / "artifacts" / "data.bin").exists() for run in family)


AFTER_THE_ARCHIVE: dict[str, Callable[[Path], object]] = {
    "a new artifact": lambda run: (run / "artifacts" / "late.bin").write_text("late"),
    "another parameter": lambda run: (run / "params" / "depth").write_text("9"),
    "a file less": lambda run: (run / "artifacts" / "data.bin").unlink(),
    "a new model": lambda run: logged_model(run.parent, run.name),
}


@pytest.mark.parametrize("case", AFTER_THE_ARCHIVE)
def test_what_is_not_in_the_archive_as_it_is_stays(
    case: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_experiment(root, 1, {1: 60, 2: 60, 3: 60})
    (run_of(root, 1, 2) / "tags" / PARENT).write_text(f"{1:032x}")
    damaged = unreadable(root, 4, 1)
    _after_the_archive(
        monkeypatch,
        lambda: [AFTER_THE_ARCHIVE[case](run_of(root, *at)) for at in ((1, 1), (4, 4000))],
    )
    _, result = clean_up(root)
    assert (result.done, result.experiments) == (1, 0)
    assert texts(result.skipped).keys() == {f"{1:032x}", f"{2:032x}", "4"}
    assert "archive" in texts(result.skipped)[f"{1:032x}"]
    assert "archive" in texts(result.skipped)["4"]
    assert (damaged / f"{4000:032x}").exists()


@pytest.mark.parametrize("file", ["tags/pin", "artifacts/late.bin"])
def test_what_changes_while_others_go_stays_with_its_family(
    file: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_experiment(root, 1, {1: 60, 2: 60, 3: 60})
    (run_of(root, 1, 3) / "tags" / PARENT).write_text(f"{2:032x}")
    move = trash.move_run_out

    def then(store: Path, run: Path, models: Any) -> str | None:
        (run_of(root, 1, 3) / file).write_text("1")
        return move(store, run, models)

    monkeypatch.setattr(trash, "move_run_out", then)
    _, result = clean_up(root)
    assert texts(result.skipped) == {
        f"{2:032x}": f"parent or child of {3:032x}, which is kept",
        f"{3:032x}": "its files changed since they were archived",
    }
    assert (run_of(root, 1, 3) / file).exists()
    assert not run_of(root, 1, 1).exists()


def _after_the_archive(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    write_archive = execution.write_archive

    def then(*arguments: Any) -> Any:
        archive = write_archive(*arguments)
        does()
        return archive

    monkeypatch.setattr(execution, "write_archive", then)


@pytest.mark.parametrize("does", ["restored", "pinned", "written"])
def test_a_deleted_experiment_is_looked_at_again(
    does: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_experiment(root / ".trash", 1, {})
    edit(root / ".trash" / "1", lifecycle_stage="deleted", last_update_time=1)

    def meanwhile() -> None:
        if does == "restored":
            shutil.move(root / ".trash" / "1", root / "1")
            edit(root / "1", lifecycle_stage="active")
        else:
            (root / ".trash" / "1" / "tags").mkdir()
            (root / ".trash" / "1" / "tags" / ("pin" if does == "pinned" else "note")).write_text(
                "1"
            )

    _after_the_archive(monkeypatch, meanwhile)
    plan, result = clean_up(root)
    assert (plan.experiments_to_delete, result.experiments) == (1, 0)
    words = {"restored": "is not deleted any more", "pinned": "tag pin of the experiment"}
    assert texts(result.skipped) == {
        "1": words.get(does, "its files changed since they were archived")
    }


def test_what_lies_behind_links_is_left_and_all_else_goes(root: Path, tmp_path: Path) -> None:
    make_experiment(root, 1, {1: 60})
    make_experiment(tmp_path / "elsewhere", 2, {2: 60})
    (root / "2").symlink_to(tmp_path / "elsewhere" / "2")
    unreadable(tmp_path / "elsewhere", 3, 1)
    (root / "3").symlink_to(tmp_path / "elsewhere" / "3")
    unreadable(root, 4, 1)
    plan, result = clean_up(root)
    assert (result.done, result.experiments) == (2, 1)
    assert [str(kept.protected_by) for kept in plan.skipped] == ["lies behind a link"]
    assert run_of(tmp_path / "elsewhere", 2, 2).exists()
    assert run_of(tmp_path / "elsewhere", 3, 3000).exists()


def test_an_experiment_that_became_a_link_is_left(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_experiment(root, 1, {1: 60})
    make_experiment(root, 2, {2: 60})
    make_experiment(root / ".trash", 3, {})
    edit(root / ".trash" / "3", lifecycle_stage="deleted", last_update_time=1)

    def link() -> None:
        for folder in (root / "1", root / ".trash" / "3"):
            shutil.move(folder, tmp_path / folder.name)
            folder.symlink_to(tmp_path / folder.name)

    _after_the_archive(monkeypatch, link)
    _, result = clean_up(root)
    assert (result.done, result.experiments) == (1, 0)
    words = "lies behind a link, which is never followed to delete"
    assert texts(result.skipped) == {f"{1:032x}": words, "3": words}
    assert not run_of(root, 2, 2).exists()


def test_when_all_of_the_plan_is_gone_there_is_no_archive(root: Path) -> None:
    make_experiment(root, 1, {1: 60, 2: 3})
    plan, result = clean_up(root, meanwhile=lambda: shutil.rmtree(run_of(root, 1, 1)))
    assert (plan.to_delete, result.done, result.archive, texts(result.skipped)) == (
        1,
        0,
        "",
        {f"{1:032x}": "is not there any more"},
    )
    assert run_of(root, 1, 2).exists()
