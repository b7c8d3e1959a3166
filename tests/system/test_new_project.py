"""A team's project, from the wheel to a champion and to deployments: no checkout of onerun is in reach."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import wheels
from tests.servers import asked

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Project:
    """A folder that the installed `onerun init` made."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """Run Python in the project. Returns: what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder, env=dict(self.environment), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def project(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("teams")
    site = wheels.install(wheels.build(ROOT, folder / "wheel"), folder / "site")
    environment = {**os.environ, "PYTHONPATH": str(site), "PREFECT_API_URL": prefect_server}
    command = [sys.executable, str(site / "bin" / "onerun"), "init", "houses"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return Project(folder / "houses", environment)


def test_its_own_flows_run_on_the_installed_library(project: Project) -> None:
    ask = "import flows, onerun; print(flows.__file__); print(onerun.__file__)"
    flows, onerun = project.run("-c", ask).splitlines()
    assert Path(flows).is_relative_to(project.folder)
    assert Path(onerun).is_relative_to(project.environment["PYTHONPATH"])


def test_its_recipe_becomes_a_champion(project: Project) -> None:
    recipe = ("--recipe", "recipes/breast-cancer.yaml", "--json")
    result = json.loads(project.run("-m", "flows.train", *recipe).splitlines()[-1])
    assert result["promoted"] and result["metrics"]["roc_auc"] >= 0.95
    assert (project.folder / "mlflow.db").is_file()


def test_it_is_deployed_to_a_prefect_server(project: Project, prefect_server: str) -> None:
    project.run("-m", "deployments.pools")
    project.run("-m", "prefect", "--no-prompt", "deploy", "--all")
    found = asked("POST", f"{prefect_server}/deployments/filter", json={}).json()
    entrypoints = {each["name"]: each["entrypoint"] for each in found}
    assert entrypoints["breast-cancer"] == "flows.train.train"
    assert entrypoints["reconcile"] == "flows.reconcile.reconcile"
    assert "california-housing" not in entrypoints, "of this repository, not of the project"
