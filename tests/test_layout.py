"""Imports follow the layers and do nothing; the lock is whole; hand and CI use one vocabulary."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("onerun", "settings", "tasks", "flows", "deployments")
BIN = Path(sys.executable).parent
LAYERS = "Layers import one way"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    command = [BIN / "lint-imports", "--no-cache", "--config", "pyproject.toml"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def copied_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("packages")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def test_imports_follow_the_layers() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "statement", "contract"),
    [
        ("onerun/config/violation.py", "import onerun.domain.names", LAYERS),
        ("onerun/domain/violation.py", "import onerun.progress", LAYERS),
        ("onerun/storage/violation.py", "import onerun.tracking.runs", LAYERS),
        ("onerun/training/violation.py", "import onerun.store.trainings", LAYERS),
        ("onerun/cleanup/violation.py", "import flows", LAYERS),
        ("flows/violation.py", "import deployments", LAYERS),
        ("onerun/config/violation.py", "import mlflow", "import mlflow"),
        ("flows/violation.py", "from mlflow.entities import Run", "import mlflow"),
        ("onerun/data/violation.py", "def f():\n    import mlflow", "import mlflow"),
        ("onerun/data/violation.py", "import s3fs", "clients of object stores"),
        ("flows/violation.py", "import minio", "clients of object stores"),
        ("onerun/domain/violation.py", "import great_expectations", "Great Expectations"),
        ("onerun/training/violation.py", "from prefect import task", "know Prefect"),
        ("onerun/domain/violation.py", "import prefect", "know Prefect"),
        ("onerun/data/ingest.py", "import onerun.data.validate", "Stages never import each other"),
    ],
)
def test_an_import_against_the_rules_is_found(
    copied_packages: Path, file: str, statement: str, contract: str
) -> None:
    path = copied_packages / file
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{statement}\n")
    try:
        done = lint_imports(copied_packages)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert done.returncode == 1
    verdicts = " ".join(done.stdout.split())
    assert re.search(rf"{contract}(?:(?!KEPT).)* BROKEN", verdicts), done.stdout


@pytest.mark.parametrize(
    "call", ["mlflow.start_run()", "mlflow.log_metric('a', 1)", "mlflow.set_tracking_uri('x')"]
)
def test_calls_that_ride_on_the_active_run_are_found(call: str) -> None:
    command = [
        BIN / "ruff",
        "check",
        "--select",
        "TID251",
        "--stdin-filename",
        "onerun/tracking/x.py",
        "-",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=f"import mlflow\n{call}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout


IMPORT_EVERYTHING = """
import importlib, os, pkgutil, sys
packages, begun, module = {packages!r}, [], ""
ours = [name.split(".")[0] for name in packages]
CHANGES = ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.remove",
           "os.rename", "os.putenv", "os.unsetenv", "os.chdir", "os.fork", "signal.signal", "sqlite3.connect")
def ours_is_on_the_stack():
    frame = sys._getframe(2)
    while frame:
        name = frame.f_globals.get("__name__", "")
        if name.split(".")[0] in ours and "<module>" == frame.f_code.co_name:
            return True
        if "importlib" in name:  # what a library does while we import it is not our doing
            return False
        frame = frame.f_back
def watch(event, arguments):
    writes = event == "open" and (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
    if (writes or event in CHANGES) and ours_is_on_the_stack():
        begun.append((module, event, str(arguments)[:200]))
sys.addaudithook(watch)
before, cwd = dict(os.environ), os.getcwd()
for package in packages:
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not found.name.endswith("__main__"):
            module = found.name
            importlib.import_module(module)
            changed = set(before.items()) ^ set(os.environ.items())
            assert not changed, (module, changed)
assert not begun, begun
assert os.getcwd() == cwd
print(*sorted({{name.split(".")[0] for name in sys.modules}}))
"""


def import_everything(folder: Path, *packages: str) -> set[str]:
    """Import all modules of the packages in an empty folder and home. Returns: the top-level names that it loaded."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "DO_NOT_TRACK": "true",
    }
    command = [sys.executable, "-B", "-c", IMPORT_EVERYTHING.format(packages=packages)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["home"], (
        "importing made files in the working folder"
    )
    return set(done.stdout.split())


def test_p6_importing_any_module_does_nothing(tmp_path: Path) -> None:
    import_everything(tmp_path, *PACKAGES)


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("import socket; socket.socket().connect_ex(('127.0.0.1', 9))", "socket.connect"),
        ("import pathlib; pathlib.Path('x').mkdir()", "os.mkdir"),
        ("def f():\n    open('x', 'w')\nf()", "open"),
        ("import os; os.environ['X'] = 'y'", "os.putenv"),
    ],
)
def test_p6_the_watch_sees_what_importing_does(statement: str, event: str, tmp_path: Path) -> None:
    """A check that cannot fail is a defect."""
    (tmp_path / "guilty").mkdir()
    (tmp_path / "guilty" / "__init__.py").touch()
    (tmp_path / "guilty" / "module.py").write_text(statement + "\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-B", "-c", IMPORT_EVERYTHING.format(packages=("guilty",))]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert re.search(rf"guilty.module', ('{event}'|{{)", done.stderr), done.stderr


HEAVY = {
    "mlflow",
    "prefect",
    "great_expectations",
    "s3fs",
    "minio",
    "boto3",
    "sklearn",
    "lightgbm",
    "scipy",
    "matplotlib",
}


@pytest.mark.parametrize(
    ("packages", "refused"),
    [
        (("onerun.config",), HEAVY | {"pandas", "numpy", "pyarrow"}),
        (("onerun.domain",), HEAVY),
        (("onerun",), HEAVY),
    ],
    ids=["config", "domain", "onerun"],
)
def test_what_is_heavy_is_imported_only_when_it_is_used(
    packages: tuple[str, ...], refused: set[str], tmp_path: Path
) -> None:
    assert not import_everything(tmp_path, *packages) & refused


def pins(name: str) -> dict[str, list[str]]:
    """Returns: package -> locked versions (more than one where Pythons differ)."""
    found: dict[str, list[str]] = {}
    pin = r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)"
    for package, locked in re.findall(pin, (ROOT / name).read_text(), re.MULTILINE):
        found.setdefault(package.lower().replace("_", "-"), []).append(locked)
    return found


def with_extras(extras: dict[str, list[str]], name: str) -> list[str]:
    """Return the requirements of an extra, with those of the extras of ours that it names."""
    found = []
    for each in extras[name]:
        requirement = Requirement(each)
        if requirement.name != "onerun":
            found.append(each)
        for inner in requirement.extras if requirement.name == "onerun" else ():
            found += with_extras(extras, inner)
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_is_hashed_and_names_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted|\.whl|@ ", text)
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert len(entries) > 100


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("requirements.lock", "checkout"),
        ("requirements-dev.lock", "dev"),
        ("requirements-image.lock", "image"),
    ],
)
def test_the_lock_fits_what_is_declared(name: str, extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *with_extras(project["optional-dependencies"], extra)]
    locked = pins(name)
    for requirement in map(Requirement, declared):
        versions = locked[requirement.name.lower()]
        assert all(requirement.specifier.contains(each) for each in versions), (
            f"make lock: {requirement}"
        )


def test_the_lock_names_the_extras_that_packages_ask_for() -> None:
    """The pip that came with Python 3.11 takes `package[extra]` for another package, which is not locked."""
    text = (ROOT / "requirements.lock").read_text()
    assert re.search(r"^py-key-value-aio\[memory, ?redis\]==", text, re.MULTILINE), (
        "make lock: --no-strip-extras"
    )


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-dev.lock", "requirements-image.lock"]
)
def test_what_is_pinned_with_an_extra_is_pinned_without_it_too(name: str) -> None:
    """That pip also takes the newest `package` for one that is not pinned at all, as soon as there is a newer one."""
    text = (ROOT / name).read_text()
    extras = re.findall(r"^([a-z0-9_.-]+)\[[^\]]+\]==(\S+)", text, re.MULTILINE)
    assert extras
    for package, version in extras:
        assert f"\n{package}=={version} " in text, "make lock"


def test_the_development_lock_holds_the_other_one() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_every_bound_of_a_known_breakage_stands() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, project["optional-dependencies"]["prefect"])
    }
    assert not bounds["fastapi"].contains("0.165.0")
    assert not bounds["prefect"].contains("3.9.0")
    assert project["requires-python"] == ">=3.11,<3.14"


def test_every_goal_of_the_makefile_is_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    goals = {
        goal for line in re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE) for goal in line.split()
    }
    assert {"train", "test", "lint", "bench", "lock"} <= goals
    assert [goal for goal in goals if not re.search(rf"^{goal}:.*## \S", text, re.MULTILINE)] == []


def test_every_long_test_is_run_by_a_goal_of_the_makefile() -> None:
    suites = re.findall(r"pytest -m long (.*)", (ROOT / "Makefile").read_text())
    folders = [ROOT / word for line in suites for word in line.split() if word.startswith("tests/")]
    long = [
        path for path in (ROOT / "tests").rglob("*.py") if "pytest.mark.long" in path.read_text()
    ]
    alone = [
        path for path in long if path != Path(__file__) and not {path, *path.parents} & {*folders}
    ]
    assert alone == []
    assert len(long) > 5


@pytest.mark.parametrize("failing", ["lint", "test"])
def test_ci_fails_when_a_check_fails(failing: str, tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "make $*"\n[ "$1" != {failing} ]\n')
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False
    )
    assert f"make {failing}" in done.stdout
    assert done.returncode != 0
