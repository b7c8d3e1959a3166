"""What a clean-up of a file store leaves alone: what protects, what is nothing of the store's, what changed since."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.maintenance.plan import Plan
from flows.upkeep.maintenance import main
from settings.loading import load_policy
from tasks.maintain import carry_out, planned
from tasks.maintenance.applying import Result, TooMuch
from tests.tasks.maintenance.test_folders import age, make_experiment

POLICY = "name: weekly\nkeep: {last: 0}\naction: hard_delete\nmax_delete: 100%\n"
PARENT = "mlflow.parentRunId"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns: a store's folder; the archives go beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    return tmp_path / "mlruns"


def run_of(root: Path, experiment: int | str, number: int) -> Path:
    return root / str(experiment) / f"{number:032x}"


def clean_up(root: Path, *overrides: str, meanwhile: Callable[[], object] = lambda: None) -> tuple[Plan, Result]:
    """Args: meanwhile: what somebody does between plan and deed."""
    with planned(load_policy(POLICY, overrides), frozenset(), str(root)) as what:
        meanwhile()
        return what.plan, carry_out(what, yes_really=False)


def unreadable(root: Path, number: int, runs: int, meta: str | None = None, days: int = 60) -> Path:
    """Makes an old experiment that MLflow cannot read. Args: meta: what its meta.yaml says; None: there is none."""
    make_experiment(root, number, dict.fromkeys(range(1000 * number, 1000 * number + runs), days))
    folder = root / str(number)
    (folder / "meta.yaml").unlink()
    if meta is not None:
        (folder / "meta.yaml").write_text(meta)
    age(folder, days)
    return folder


def edit(run: Path, **changes: Any) -> None:
    meta = yaml.safe_load((run / "meta.yaml").read_text())
    (run / "meta.yaml").write_text(yaml.safe_dump(meta | changes))


def version_of(root: Path, **says: str) -> None:
    folder = root / "models" / "prices" / "version-1"
    folder.mkdir(parents=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump({"name": "prices", "version": 1, **says}))


def logged_model(experiment: Path, run: str, number: int = 1, name: str = "model") -> Path:
    folder = experiment / "models" / f"m-{number:032x}"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "MLmodel").write_text("a: b")
    about = {"model_id": folder.name, "name": name, "source_run_id": run, "creation_timestamp": 1}
    (folder / "meta.yaml").write_text(yaml.safe_dump(about))
    return folder


# Damaged experiments


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
    assert (plan.going, plan.runs, plan.inside, plan.going_experiments) == (95, 100, 95, 1)
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
    "a child is elsewhere": (lambda at: (run_of(at.parent, 1, 1) / "tags" / PARENT).write_text(f"{2000:032x}"), ""),
    "the parent is elsewhere": (lambda at: (at / f"{2001:032x}" / "tags" / PARENT).write_text(f"{1:032x}"), ""),
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
    "its id is in the trash too": (lambda at: shutil.copytree(at, at.parent / ".trash" / at.name), ""),
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
    assert plan.going_experiments == 0
    assert damaged.exists()
    if override:
        assert clean_up(root)[1].experiments == 1  # it was that alone


MEANWHILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "repaired": (
        lambda at: (at / "meta.yaml").write_text("experiment_id: '2'\nname: two\n"), "was repaired meanwhile"
    ),
    "pinned": (lambda at: (at / f"{2000:032x}" / "tags" / "pin").write_text("1"), "tag pin"),
    "registered": (lambda at: version_of(at.parent, run_id=f"{2000:032x}"), "prices version 1"),
    "running": (lambda at: edit(at / f"{2000:032x}", status=1), "changed"),
    "written": (lambda at: (at / "notes.txt").write_text("new"), "changed"),
    "gone": (lambda at: shutil.rmtree(at), "gone meanwhile"),
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
    assert word in result.left["2"]
    assert case == "gone" or damaged.exists()
