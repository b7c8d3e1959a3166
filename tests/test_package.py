"""The wheel: the package and its data, nothing else; what `onerun init` writes from it is what it writes from a checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from onerun.project import template
from onerun.version import __version__
from tests import wheels

ROOT = Path(__file__).parents[1]
FOLDERS = ("onerun", "flows", "tasks", "settings", "deployments", "policies")
FILES = ("prefect.yaml", ".env.example", ".gitignore")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns: the wheel of a checkout in which credentials lie about, where Git ignores them."""
    checkout, folder = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for part in (*FOLDERS, "recipes"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in (*FILES, "pyproject.toml", "README.md"):
        shutil.copy(ROOT / part, checkout)
    for secret in ("deployments/accounts.ini", "settings/profiles/prod.env", "onerun/key.pem"):
        (checkout / secret).write_text("hunter2")
    return wheels.build(checkout, folder)


@pytest.fixture(scope="module")
def members(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns: a folder of packages with the wheel installed into it, as pip does it."""
    return wheels.install(wheel, tmp_path_factory.mktemp("site"))


def onerun(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, str(site / "bin" / "onerun"), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


def files_of(*folders: str) -> set[str]:
    """Return the files of the checkout in these folders, without what Git ignores."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


def test_only_the_package_lands_in_site_packages(members: set[str]) -> None:
    assert {name.split("/")[0] for name in members} == {
        "onerun",
        f"onerun-{__version__}.dist-info",
    }


def test_the_package_is_whole(members: set[str]) -> None:
    """Code, pages, tables of types, styles: every file of onerun/, and the mark that it is typed."""
    packed = {name for name in members if name.startswith("onerun/_template/")}
    assert members - packed - {name for name in members if ".dist-info/" in name} == files_of(
        "onerun"
    )
    assert "onerun/py.typed" in members


def test_p7_the_template_is_this_repositorys_prefect_half_without_its_credentials(
    wheel: Path, members: set[str]
) -> None:
    halves = files_of(*FOLDERS) - files_of("onerun") | {*FILES}
    halves |= {f"recipes/{template.SAMPLE}.yaml", "recipes/recipe.schema.json"}
    packed = {name for name in members if name.startswith("onerun/_template/")}
    assert packed == {f"onerun/_template/{name}" for name in halves}
    archive = zipfile.ZipFile(wheel)
    for name in halves:
        assert archive.read(f"onerun/_template/{name}") == (ROOT / name).read_bytes()


def test_prefect_is_an_extra(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    text = archive.read(f"onerun-{__version__}.dist-info/METADATA").decode()
    declared = [Requirement(each) for each in Parser().parsestr(text).get_all("Requires-Dist", [])]
    always = {each.name for each in declared if each.marker is None}
    assert "mlflow" in always and not {"prefect", "fastapi", "prometheus-client"} & always
    with_prefect = {
        each.name
        for each in declared
        if each.marker is not None and each.marker.evaluate({"extra": "prefect"})
    }
    assert with_prefect - always == {"prefect", "fastapi", "prometheus-client"}


def test_the_version_is_said_in_one_place(site: Path, tmp_path: Path) -> None:
    assert onerun(site, tmp_path, "--version").stdout == f"onerun {__version__}\n"
    assert (site / f"onerun-{__version__}.dist-info").is_dir()
    assert f'"{__version__}"' not in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("options", [(), ("--no-prefect",)])
def test_init_writes_the_same_from_the_wheel_and_from_a_checkout(
    site: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "theirs").mkdir()
    done = onerun(site, tmp_path / "theirs", "init", "houses", *options)
    assert done.returncode == 0, done.stderr
    (tmp_path / "ours" / "houses").mkdir(parents=True)
    template.write(tmp_path / "ours" / "houses", "houses", prefect=not options)
    theirs, ours = (content(tmp_path / each / "houses") for each in ("theirs", "ours"))
    assert theirs == ours


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in template.files(folder)}
