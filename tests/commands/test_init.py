"""`onerun init`: a whole project or none, in a folder that was empty, named as a project can be."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from onerun.commands.init import COMMAND, InitOptions, InitResult
from onerun.config.loading import load_policy, load_recipe
from onerun.project import template

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Silent:
    """Shows nothing, answers nothing."""

    def say(self, line: str) -> None: ...

    def confirm(self, question: str) -> bool | None:
        return None


def made(project: str = "houses", **options: bool) -> InitResult:
    return COMMAND.run(InitOptions(project=project, **options), Silent())


def test_a_project_holds_both_halves(here: Path) -> None:
    folder = Path(made().project)
    for part in ("flows/train.py", "tasks/stages.py", "settings/profiles/local.yaml"):
        assert (folder / part).read_text() == (ROOT / part).read_text()
    recipe = load_recipe(str(folder / "recipes/breast-cancer.yaml"))
    assert recipe.data.source == "sklearn:breast_cancer"
    load_policy(str(folder / "policies/weekly.yaml"))
    assert (folder / "README.md").read_text().startswith("# houses\n")
    assert "{{" not in (folder / "README.md").read_text() + (folder / "Dockerfile").read_text()
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    held = os.umask(0)
    os.umask(held)
    return held


def test_what_is_deployed_is_what_there_is(here: Path) -> None:
    """Every other deployment of this repository, and of the trainings the sample's alone."""
    folder = Path(made().project)
    ours = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    theirs = yaml.safe_load((folder / "prefect.yaml").read_text())
    assert theirs.pop("name") == "houses" and ours.pop("name") == "onerun"
    kept = [
        entry
        for entry in ours.pop("deployments")
        if entry["entrypoint"] != "flows.train.train" or entry["name"] == template.SAMPLE
    ]
    assert theirs.pop("deployments") == kept
    assert theirs == ours
    compose = yaml.safe_load((folder / "deployments/compose.yaml").read_text())
    assert compose["name"] == "houses" and compose["x-python"]["image"] == "houses:local"


def test_without_prefect_nothing_names_it(here: Path) -> None:
    folder = Path(made(no_prefect=True).project)
    assert sorted(path.name for path in folder.iterdir()) == [
        ".env.example", ".gitignore", "README.md", "policies", "pyproject.toml", "recipes",
        "settings", "tests",
    ]  # fmt: skip
    assert "prefect" not in (folder / "pyproject.toml").read_text().lower()
    assert "flows" not in (folder / "README.md").read_text()


def test_what_git_ignores_stays_behind(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may hold credentials; a project that is given away must not."""
    checkout = here / "checkout"
    for part in ("recipes", "policies", "settings", "tasks", "flows", "deployments"):
        shutil.copytree(ROOT / part, checkout / part)
    for part in (".env.example", ".gitignore", "prefect.yaml"):
        shutil.copy(ROOT / part, checkout)
    for name in ("deployments/accounts.ini", "deployments/kubernetes/onerun.env", "flows/x.pem"):
        (checkout / name).write_text("a secret")
    (checkout / "flows/__pycache__").mkdir(exist_ok=True)
    monkeypatch.setattr(template, "source", lambda: checkout)
    files = made().files
    assert "deployments/worker.py" in files
    assert [each for each in files if each.endswith((".env", ".ini", ".pem"))] == []
    assert [each for each in files if "__pycache__" in each] == []


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ("Houses 2", "did you mean houses-2?"),
        ("1st", "did you mean st?"),
        ("onerun", "the library is called so"),
        ("-", "expected lower-case letters"),
        (".", "is the working folder"),
        ("nowhere/houses", "there is no folder"),
        ("a-file", "is a file"),
        ("full", "is not empty: a, b, c, d, e and 2 more in the way; nothing was written"),
    ],
)
def test_what_cannot_become_a_project_is_refused(
    project: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a-file").touch()
    (here / "full").mkdir()
    for name in "abcdefg":
        (here / "full" / name).touch()
    assert COMMAND.main([f"./{project}"]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["a-file", "full"]
    assert len(list((here / "full").iterdir())) == 7


def test_an_empty_folder_is_taken(here: Path) -> None:
    (here / "houses").mkdir()
    assert "README.md" in made().files


def test_json_names_every_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main(["houses", "--no-prefect", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["project"] == str(here / "houses") and answer["status"] == "done"
    assert set(answer["files"]) >= {"README.md", "recipes/breast-cancer.yaml", ".gitignore"}
    assert answer["next"][0] == "cd houses"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_half_written_stays(
    error: BaseException, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(template, "_render", stopped)  # what comes last
    assert COMMAND.main(["houses"]) == (130 if error is KeyboardInterrupt else 1)
    assert list(here.iterdir()) == []


def test_the_tests_of_a_project_pass_and_find_a_mistake(here: Path) -> None:
    folder = Path(made().project)
    command = [sys.executable, "-m", "unittest"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def tested() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    done = tested()
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr
    (folder / "recipes/wrong.yaml").write_text("data: {sorce: x}\n")
    done = tested()
    assert done.returncode == 1
    assert "unknown key; did you mean source?" in done.stderr
