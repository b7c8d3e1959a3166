"""Clean-up, summary and rescue see the same damage in a store of files: one reader, one list of faults."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from onerun.domain.file_store import (
    Fault,
    Harm,
    experiment_faults,
    model_faults,
    run_faults,
    version_faults,
)
from onerun.domain.text import printable
from onerun.rescue import examine
from onerun.store.files import layout, reader
from onerun.store.files.problems import problems
from onerun.store.files.reader import Cause, Unreadable
from tests.cleanup.file_stores import (
    age,
    clean_up,
    edit,
    logged_model,
    make_experiment,
    make_run,
    run_of,
    unreadable,
    version_of,
)
from tests.rescue.conftest import file_stores, healthy, old, rights_count
from tests.rescue.damage import CORPUS, Store

__all__ = ["file_stores", "healthy", "old"]

Seen = set[tuple[str, ...]]
OF_PARAMETERS = ("conflicting-parameter", "duplicate-parameter")  # a database holds these


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_experiment(tmp_path / "mlruns", 1, {1: 3, 2: 3})
    make_experiment(tmp_path / "mlruns", 2, {3: 3})
    return tmp_path / "mlruns"


def missed(root: Path) -> dict[str, str]:
    """Returns: path -> cause of the problems that clean-up lists and a rescue does not."""
    rescued = [finding.path for finding in examine(str(root)).findings]
    found: dict[str, str] = {}
    for problem in problems(root):
        path = printable(problem.path.relative_to(root).as_posix())
        same = (
            path == each
            or each.startswith(f"{path}/")
            or path.startswith(f"{each}/")
            # of things that are there twice, each names another one
            or (problem.kind in ("run-twice", "experiment-twice") and Path(each).name in path)
            for each in rescued
        )
        if problem.kind not in OF_PARAMETERS and not any(same):
            found[path] = problem.cause
    return found


@pytest.mark.parametrize("name", CORPUS)
def test_what_clean_up_lists_of_the_rescues_corpus_a_rescue_tells_too(
    name: str, old: Store
) -> None:
    CORPUS[name].do(old)
    if CORPUS[name].done != "left out":  # MLflow follows links to folders, and so does clean-up
        assert missed(old.root) == {}


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no meta.yaml": lambda root: unreadable(root, 7, 2),
    "a broken one": lambda root: unreadable(root, 7, 2, "{broken"),
    "an empty one": lambda root: unreadable(root, 7, 2, " "),
    "a copy": lambda root: shutil.copytree(root / "1", root / "1.bak"),
    "a stranger": lambda root: (root / "plots" / "runs").mkdir(parents=True),
    "a stray file": lambda root: (root / "1" / "notes.txt").write_text("mine"),
    "a stray folder": lambda root: (root / "1" / "plots").mkdir(),
    "a run without meta.yaml": lambda root: (run_of(root, 1, 1) / "meta.yaml").unlink(),
    "a run of a status that is none": lambda root: edit(run_of(root, 1, 1), status=9),
    "a run of a time that is none": lambda root: edit(run_of(root, 1, 1), end_time="late"),
    "a run in two experiments": lambda root: make_run(root / "2", f"{1:032x}", 3),
    "an id in the trash too": lambda root: shutil.copytree(root / "1", root / ".trash" / "1"),
    "a name twice": lambda root: edit(root / "2", name="e1"),
    "a model without its run": lambda root: logged_model(root / "1", f"{9:032x}"),
    "a model without meta.yaml": lambda root: (
        logged_model(root / "1", f"{1:032x}") / "meta.yaml"
    ).unlink(),
    "a model that says little": lambda root: (
        logged_model(root / "1", f"{1:032x}") / "meta.yaml"
    ).write_text("creation_timestamp: x\n"),
    "a version without a source": lambda root: version_of(root, run_id=f"{1:032x}"),
    "a binary parameter": lambda root: (run_of(root, 1, 1) / "params" / "depth").write_bytes(
        b"\xff\x00"
    ),
    "a tag that is a pipe": lambda root: os.mkfifo(run_of(root, 1, 1) / "tags" / "pipe"),
    "tags that are a file": lambda root: (root / "1" / "tags").write_text("mine"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_clean_up_lists_of_its_own_corpus_a_rescue_tells_too(name: str, root: Path) -> None:
    assert list(problems(root)) == []
    DAMAGE[name](root)
    assert list(problems(root))
    assert missed(root) == {}


# Links and limits


def test_metadata_behind_a_link_is_no_damage_that_may_be_removed(
    root: Path, tmp_path: Path
) -> None:
    """MLflow follows the link, and reads a sound experiment."""
    for path in (root / "2", run_of(root, 1, 1)):
        shutil.move(path / "meta.yaml", tmp_path / f"{path.name}.yaml")
        (path / "meta.yaml").symlink_to(tmp_path / f"{path.name}.yaml")
    age(root, 60)
    plan, result = clean_up(root)
    assert (plan.experiments_to_delete, result.experiments) == (0, 0)
    assert (root / "2" / "meta.yaml").exists() and run_of(root, 1, 1).exists()
    causes = {(problem.kind, problem.cause) for problem in problems(root)}
    assert causes == {
        ("experiment-with-broken-meta", "meta.yaml: a link"),
        ("run-with-broken-meta", "meta.yaml: a link"),
    }


def test_metadata_that_may_not_be_read_is_no_damage_that_may_be_removed(root: Path) -> None:
    age(root, 60)
    (root / "2" / "meta.yaml").chmod(0)
    with rights_count():
        plan, result = clean_up(root)
        causes = {problem.cause for problem in problems(root)}
    assert (plan.experiments_to_delete, result.experiments) == (0, 0)
    assert (root / "2").exists()
    assert causes == {"meta.yaml: Permission denied"}


def test_a_pin_protects_also_behind_a_link_or_beside_what_is_no_text(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "pin").write_text("yes")
    (run_of(root, 1, 1) / "tags" / "pin").symlink_to(tmp_path / "pin")
    (run_of(root, 1, 2) / "tags" / "pin").write_bytes(b"\xff\xfe")
    age(root, 60)
    plan, _ = clean_up(root, "keep.younger_than=1d")
    assert plan.to_delete == 1
    assert run_of(root, 1, 1).exists() and run_of(root, 1, 2).exists()


def test_a_run_that_breaks_right_before_it_is_changed_keeps_none_of_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(root, 60)
    for number in (1, 2, 3):
        edit(run_of(root, 1 if number < 3 else 2, number), end_time=1, start_time=1)
    read = layout.meta_of

    def breaking(folder: Path) -> dict[str, Any]:
        if sys._getframe(1).f_code.co_name == "write" and folder == run_of(root, 1, 1):
            (folder / "meta.yaml").write_text("")
        return read(folder)

    monkeypatch.setattr(layout, "meta_of", breaking)
    _, result = clean_up(root, "action=soft_delete")
    assert {run: str(why) for run, why in result.skipped.items()} == {
        f"{1:032x}": "cannot be read any more"
    }
    assert result.done == 2


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(2**30)
    with pytest.raises(Unreadable) as error:
        reader.text(file)
    assert error.value.cause == Cause.TOO_LARGE
    assert len(reader.lenient_text(file)) == reader.LARGEST_VALUE
    assert reader.last_value(file) is None


# Faults


RUN = {
    "run_id": "a",
    "run_uuid": "a",
    "experiment_id": "1",
    "status": 3,
    "start_time": 1,
    "lifecycle_stage": "active",
}


def test_what_is_sound_has_no_fault() -> None:
    assert not list(experiment_faults({"experiment_id": 1, "name": "houses"}, "1"))
    assert not list(run_faults(RUN, "a", "1"))
    about = {"name": "m", "creation_timestamp": 1, "last_updated_timestamp": 1, "status": 2}
    assert not list(model_faults({"model_id": "m-1", **about}, "m-1"))
    assert not list(version_faults({"version": 1, "source": "s", "status": "READY"}, "1"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"status": [3]}, Fault("has status '[3]'")),
        ({"status": True}, Fault("has status 'True'")),
        ({"end_time": "late"}, Fault("has end_time 'late'")),
        ({"end_time": 1.5}, Fault("has end_time '1.5'", Harm.BEYOND)),
        ({"end_time": 10**30}, Fault(f"has end_time '{10**30}'", Harm.BEYOND)),
        ({"start_time": None}, Fault("has no start_time", Harm.MISLEADING)),
        ({"lifecycle_stage": {}}, Fault("has life cycle '{}'")),
        ({"experiment_id": None}, Fault("names experiment None")),
    ],
)
def test_a_fault_says_what_it_does(change: dict[str, object], fault: Fault) -> None:
    assert list(run_faults(RUN | change, "a", "1")) == [fault]


def test_yaml_of_any_type_is_checked(root: Path) -> None:
    """Whatever the values are, checking them ends."""
    for value in (None, [], {}, True, 1.5, "x", b"x"):
        keys = dict.fromkeys((*RUN, "name", "version", "source", "model_id"), value)
        (run_of(root, 1, 1) / "meta.yaml").write_text(yaml.safe_dump(keys))
        assert list(problems(root))
