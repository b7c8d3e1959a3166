"""What is damaged in a file store, there twice, or nothing of the store: what protects it, and what is told of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from onerun.cleanup.execution import TooMuch
from onerun.cleanup.maintenance import planned
from onerun.cleanup.summary import summarise
from onerun.commands.maintain import COMMAND
from onerun.config.loading import load_policy
from tests.cleanup.conftest import texts
from tests.cleanup.file_stores import (
    PARENT,
    POLICY,
    age,
    clean_up,
    edit,
    kinds,
    logged_model,
    make_experiment,
    run_of,
    unreadable,
    version_of,
)

main = COMMAND.main


def test_runs_of_damaged_experiments_count_for_max_delete_and_approval(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_experiment(root, 1, dict.fromkeys(range(1, 6), 3))
    damaged = unreadable(root, 2, 95)
    with pytest.raises(TooMuch, match="95 of 100 runs"):
        clean_up(root, "max_delete=94%")
    asked = ["--policy", POLICY + "approval: manual\n", "--store", str(root), "--apply"]
    assert main(asked) == 2
    assert "approval: is manual" in capsys.readouterr().err
    assert len(list(damaged.iterdir())) == 95
    plan, result = clean_up(root)
    assert (plan.to_delete, plan.runs, plan.inside, plan.experiments_to_delete) == (95, 100, 95, 1)
    assert (result.done, result.experiments) == (95, 1)
    assert result.bytes == plan.bytes > 95 * 100
    assert not damaged.exists()


def test_an_experiment_that_holds_no_run_is_asked_about_too(root: Path) -> None:
    unreadable(root, 2, 0, "{broken")
    assert main(["--policy", POLICY + "approval: manual\n", "--store", str(root), "--apply"]) == 2
    assert (root / "2").exists()


PROTECTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a run is scheduled": (lambda at: edit(at / f"{2000:032x}", status=2), ""),
    "a run was ended of late": (lambda at: edit(at / f"{2000:032x}", end_time=4102444800000), ""),
    "the experiment is pinned": (lambda at: (at / "tags" / "pin").write_text("1"), ""),
    "a run is pinned": (lambda at: (at / f"{2000:032x}" / "tags" / "pin").write_text("1"), ""),
    "a version needs a run": (lambda at: version_of(at.parent, run_id=f"{2000:032x}"), ""),
    "a version needs a model": (lambda at: version_of(at.parent, source=f"models:/m-{1:032x}"), ""),
    "a child is elsewhere": (
        lambda at: (run_of(at.parent, 1, 1) / "tags" / PARENT).write_text(f"{2000:032x}"),
        "",
    ),
    "the parent is elsewhere": (
        lambda at: (at / f"{2001:032x}" / "tags" / PARENT).write_text(f"{1:032x}"),
        "",
    ),
    "protected by its name": (
        lambda at: (at / "meta.yaml").write_text("name: houses\nx: [\n"),
        "protect.experiments=[hou*]",
    ),
    "its name is not known": (lambda at: None, "protect.experiments=[hou*]"),
    "it may be excluded": (lambda at: None, "select.exclude=[hou*]"),
    "it is not selected": (lambda at: None, "select.experiments=[houses]"),
    "its tags are not selected": (lambda at: None, "select.tags={team: geo}"),
    "its model is not selected": (lambda at: None, "select.models=[other]"),
    "it changed of late": (lambda at: (at / "notes.txt").write_text("new"), ""),
    "its id is in the trash too": (
        lambda at: shutil.copytree(at, at.parent / ".trash" / at.name),
        "",
    ),
}


@pytest.mark.parametrize("case", PROTECTED)
def test_a_damaged_experiment_is_protected_as_any_other(case: str, root: Path) -> None:
    make_experiment(root, 1, {1: 3})
    damaged = unreadable(root, 2, 2)
    (damaged / "tags").mkdir(exist_ok=True)
    logged_model(damaged, f"{2000:032x}")
    does, override = PROTECTED[case]
    does(damaged)
    if case != "it changed of late":
        age(root, 60)
    plan, _ = clean_up(root, *([override] if override else []))
    assert plan.experiments_to_delete == 0
    assert damaged.exists()
    if override:
        assert clean_up(root)[1].experiments == 1  # it was that alone


MEANWHILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "repaired": (
        lambda at: (at / "meta.yaml").write_text("experiment_id: '2'\nname: two\n"), "was repaired since the plan"
    ),
    "pinned": (lambda at: (at / f"{2000:032x}" / "tags" / "pin").write_text("1"), "tag pin"),
    "registered": (lambda at: version_of(at.parent, run_id=f"{2000:032x}"), "prices version 1"),
    "running": (lambda at: edit(at / f"{2000:032x}", status=1), "changed"),
    "written": (lambda at: (at / "notes.txt").write_text("new"), "changed"),
    "gone": (lambda at: shutil.rmtree(at), "is not there any more"),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANWHILE)
def test_a_damaged_experiment_is_looked_at_again(case: str, root: Path) -> None:
    make_experiment(root, 1, {1: 3})
    damaged = unreadable(root, 2, 2)
    does, word = MEANWHILE[case]

    def meanwhile() -> None:
        does(damaged)
        if case in ("pinned", "registered"):
            age(root, 60)

    _, result = clean_up(root, meanwhile=meanwhile)
    assert result.experiments == 0
    assert word in texts(result.skipped)["2"]
    assert case == "gone" or damaged.exists()


# What is nothing of the store's, and what is there twice


@pytest.mark.parametrize("name", ["plots", "7.old", "2024", "1.bak"])
def test_only_an_experiment_is_a_damaged_experiment(name: str, root: Path) -> None:
    make_experiment(root, 1, {1: 3})
    mine = root / name / ("runs" if name != "7.old" else f"{7:032x}")
    mine.mkdir(parents=True)
    (mine / "mine.png").write_text("png")
    age(root, 60)
    plan, result = clean_up(root)
    assert (plan.experiments_to_delete, result.experiments) == (0, 0)
    assert (mine / "mine.png").exists()
    assert kinds(root) == {(name, "folder-of-something-else")}


def test_an_experiment_of_which_only_the_folder_is_left_goes(root: Path) -> None:
    (root / "7").mkdir()
    age(root, 60)
    _, result = clean_up(root)
    assert result.experiments == 1
    assert not (root / "7").exists()


def test_copies_of_experiments_are_left_and_their_pins_protect(root: Path) -> None:
    make_experiment(root, 1, {1: 60, 2: 60})
    shutil.copytree(root / "1", root / "1.bak")
    (run_of(root, "1.bak", 1) / "tags" / "pin").write_text("1")
    plan, result = clean_up(root)
    assert (plan.runs, plan.to_delete, result.done) == (2, 1, 1)
    assert [str(kept.protected_by) for kept in plan.skipped] == ["tag pin"]
    assert run_of(root, 1, 1).exists()
    assert not run_of(root, 1, 2).exists()
    assert run_of(root, "1.bak", 1).exists()
    assert run_of(root, "1.bak", 2).exists()
    assert kinds(root) == {("1.bak", "backup-folder")}


def test_a_pin_on_the_original_is_seen_whatever_a_copy_says(root: Path) -> None:
    make_experiment(root, 1, {1: 60})
    shutil.copytree(root / "1", root / "1.bak")
    (run_of(root, 1, 1) / "tags" / "pin").write_text("1")
    (run_of(root, "1.bak", 1) / "tags" / "pin").write_text("false")
    assert clean_up(root)[0].to_delete == 0


def test_a_run_in_two_experiments_stays_in_both(root: Path) -> None:
    make_experiment(root, 1, {1: 60, 2: 60})
    make_experiment(root, 2, {1: 60})
    plan, result = clean_up(root)
    assert (plan.to_delete, result.done) == (1, 1)
    assert {str(kept.protected_by) for kept in plan.skipped} == {"lies in 2 experiments"}
    assert run_of(root, 1, 1).exists()
    assert run_of(root, 2, 1).exists()
    assert kinds(root) == {(f"2/{1:032x}", "run-twice")}


@pytest.mark.parametrize("runs", [{1: 60}, {}])
def test_an_id_in_use_and_in_the_trash_is_left(runs: dict[int, int], root: Path) -> None:
    make_experiment(root, 1, {2: 60} if runs else {})
    make_experiment(root / ".trash", 1, runs)
    edit(root / ".trash" / "1", last_update_time=1)
    _, result = clean_up(root)
    assert (result.done, result.experiments) == (0, 0)
    assert (root / "1" / "meta.yaml").exists()
    assert (root / ".trash" / "1" / "meta.yaml").exists()
    assert (".trash/1", "experiment-twice") in kinds(root)


def test_a_run_that_was_copied_meanwhile_is_left(root: Path) -> None:
    make_experiment(root, 1, {1: 60})
    make_experiment(root, 2, {})
    _, result = clean_up(
        root, meanwhile=lambda: shutil.copytree(run_of(root, 1, 1), run_of(root, 2, 1))
    )
    assert texts(result.skipped) == {f"{1:032x}": "lies in 2 experiments"}


def test_of_what_is_deleted_its_artifacts_alone_are_measured(root: Path) -> None:
    make_experiment(root, 1, {1: 3, 2: 3})
    make_experiment(root / ".trash", 5, {3: 3})
    make_experiment(root / ".trash", 6, {})
    logged_model(root / ".trash" / "5", f"{3:032x}")
    edit(root / ".trash" / "5", lifecycle_stage="deleted")
    for number in (1, 2):
        edit(run_of(root, 1, number), lifecycle_stage="deleted", deleted_time=1)
    (run_of(root, 1, 2) / "artifacts" / "data.bin").unlink()
    with planned(load_policy(POLICY), frozenset(), str(root)) as what:
        assert {(Path(found.id).name, found.kind, found.bytes) for found in what.findings} == {
            (f"{1:032x}", "deleted-run-files", 100), ("5", "deleted-experiment-files", 104)
        }  # fmt: skip


def test_where_versions_lie_is_known_wherever_the_store_was_moved(root: Path) -> None:
    make_experiment(root, 1, {1: 3})
    run, model = run_of(root, 1, 1), logged_model(root / "1", f"{1:032x}", name="best")
    sources = {
        1: f"models:/{model.name}", 2: f"runs:/{run.name}/data.bin", 3: f"runs:/{run.name}/best", 4: "models:/prices/1",
        5: f"models:/m-{9:032x}", 6: f"runs:/{9:032x}/model", 7: f"runs:/{run.name}/gone", 8: "/nowhere/model",
    }  # fmt: skip
    for number, source in sources.items():
        folder = root / "models" / "prices" / f"version-{number}"
        folder.mkdir(parents=True)
        (folder / "meta.yaml").write_text(
            yaml.safe_dump(
                {"name": "prices", "version": number, "source": source, "status": "READY"}
            )
        )
    (root / "models" / "prices" / "meta.yaml").write_text("name: prices\n")
    with planned(load_policy(POLICY), frozenset(), str(root)) as what:
        found = {found.id: found.cause for found in what.findings}
    assert found == {
        "prices version 5": "what it was made of is missing", "prices version 6": "what it was made of is missing",
        "prices version 7": f"there is nothing at {run}/artifacts/gone",
        "prices version 8": "there is nothing at /nowhere/model",
    }  # fmt: skip
    assert summarise(str(root)).model_dump(mode="json")["versions"] == 8
    assert summarise(str(root)).model_dump(mode="json")["registered_models"] == 1


def test_models_that_nobody_owns_are_told(root: Path) -> None:
    make_experiment(root, 1, {1: 3})
    logged_model(root / "1", f"{1:032x}", 1)
    logged_model(root / "1", f"{9:032x}", 2)
    logged_model(root / "1", f"{1:032x}", 3)
    (root / "1" / "models" / f"m-{3:032x}" / "meta.yaml").write_text("creation_timestamp: x\n")
    (root / "1" / "models" / f"m-{4:032x}" / "artifacts").mkdir(parents=True)
    wrong = (
        "meta.yaml names itself None, has name 'None', has last_updated_timestamp 'None', "
        "has creation_timestamp 'x', has status 'None'"
    )
    with planned(load_policy(POLICY), frozenset(), str(root)) as what:
        assert {(Path(found.id).name, found.kind, found.cause) for found in what.findings} == {
            (f"m-{2:032x}", "model-without-run", f"there is no run {9:032x}"),
            (f"m-{3:032x}", "model-without-meta", wrong),
            (f"m-{4:032x}", "model-without-meta", "meta.yaml: missing"),
        }
        assert all(found.bytes is not None and found.since for found in what.findings)
