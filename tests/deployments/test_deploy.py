"""`python -m deployments.deploy`: a recipe of one's own, on a real Prefect server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import deploy, schedules
from deployments.prefect_file import HOME, pull_steps
from onerun.domain.names import WORK_POOL
from tests.servers import asked

RECIPE = """\
# A comment of its author's.
data: {source: rows.csv, target: y}
model: {estimator: sklearn.linear_model.Ridge}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> Iterator[Path]:
    """A folder of one's own, with a recipe and its table; what was deployed is removed again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n2,3\n")
    path = tmp_path / "houses.yaml"
    path.write_text(RECIPE)
    yield path
    for entry in asked("POST", f"{prefect_api}/deployments/filter", json={}).json():
        if entry["tags"] == ["training", "recipe"]:
            asked("DELETE", f"{prefect_api}/deployments/{entry['id']}")


def deployed(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capfd.readouterr()
    code = deploy.COMMAND.main([*arguments, "--json"])
    return code, json.loads(capfd.readouterr().out)


def stored(api: str, name: str) -> Any:
    answer = asked("GET", f"{api}/deployments/name/train/{name}")
    return answer.json() if answer.status_code == 200 else None


def test_a_recipe_of_ones_own_is_deployed_as_its_text_and_again_updates_it(
    recipe: Path, prefect_api: str, capfd: pytest.CaptureFixture[str]
) -> None:
    monday = ("--cron", "0 6 * * 1", "--timezone", "Europe/Berlin")
    code, made = deployed(capfd, "houses.yaml", *monday, "--set", "split.seed=7")
    assert (code, made["made"], made["deployment"]) == (0, True, "train/houses")
    assert len(made["next_runs"]) == 3 and made["workers"] == []
    entry = stored(prefect_api, "houses")
    assert entry["parameters"] == {
        "recipe": RECIPE,
        "overrides": ["split.seed=7", "name=houses"],
        "data": str(recipe.parent / "rows.csv"),
    }
    assert (entry["work_pool_name"], entry["entrypoint"]) == (WORK_POOL, "flows.train.train")
    assert entry["pull_steps"] == pull_steps() and str(HOME) in json.dumps(entry["pull_steps"])
    (schedule,) = entry["schedules"]
    assert schedule["active"] and schedule["schedule"]["timezone"] == "Europe/Berlin"

    recipe.write_text(RECIPE.replace("Ridge", "Lasso"))
    code, again = deployed(capfd, "houses.yaml", "--set", "split.seed=7")
    assert (code, again["made"], again["id"]) == (0, False, made["id"])
    entry = stored(prefect_api, "houses")
    assert "Lasso" in entry["parameters"]["recipe"]
    (kept,) = entry["schedules"]
    assert kept["schedule"] == schedule["schedule"] and kept["active"]

    code, again = deployed(capfd, "houses.yaml", "--interval", "6h", "--paused")
    (schedule,) = stored(prefect_api, "houses")["schedules"]
    assert code == 0 and schedule["schedule"]["interval"] == 6 * 3600 and not schedule["active"]
    assert again["next_runs"] == []

    assert schedules.COMMAND.main(["on", "train/houses"]) == 0
    assert stored(prefect_api, "houses")["schedules"][0]["active"]
    assert schedules.COMMAND.main(["on", "train/house"]) == 2
    assert "did you mean train/houses?" in capfd.readouterr().err

    code, removed = deployed(capfd, "houses.yaml", "--remove")
    assert (code, removed["removed"]) == (0, "train/houses")
    assert stored(prefect_api, "houses") is None
    code, again = deployed(capfd, "--name", "houses", "--remove")
    assert code == 2 and "there is no deployment train/houses" in again["error"]


def test_a_recipe_of_the_checkout_stays_a_name(
    recipe: Path, prefect_api: str, capfd: pytest.CaptureFixture[str]
) -> None:
    wine = str(HOME / "recipes" / "wine.yaml")
    code, refused = deployed(capfd, wine, "--cron", "0 6 * * 1")
    assert code == 2 and "`python -m deployments.schedules on train/wine`" in refused["error"]
    code, made = deployed(capfd, wine, "--name", "wine-weekly", "--profile", "stack")
    assert code == 0 and made["parameters"] == {"recipe": "wine", "profile": "stack"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--cron", "0 6 * *"], "--cron: expected five fields (minute hour day month weekday"),
        (["--cron", "61 6 * * 1"], "--cron: '61 6 * * 1' is not a cron string"),
        (["--cron", "* * * * * *"], "--cron: expected five fields"),
        (["--cron", "0 0 31 2 *"], "--cron: '0 0 31 2 *' never comes"),
        (["--cron", "0 6 * * 1", "--timezone", "Europe/Berln"], "did you mean Europe/Berlin?"),
        (["--cron", "0 6 * * 1", "--interval", "6h"], "--interval: goes without --cron"),
        (["--interval", "6x"], "--interval: '6x'"),
        (["--interval", "5s"], "--interval: expected a minute or more"),
        (["--timezone", "UTC"], "--timezone: goes with --cron or --interval"),
        (["--pool", "onerum"], "--pool: no work pool 'onerum'; did you mean onerun?"),
        (["--name", "a/b"], "--name: expected none of"),
        (["--set", "modle.x=1"], "modle: unknown key; did you mean model?"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    recipe: Path,
    prefect_api: str,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    from deployments.pools import make_process_pool

    make_process_pool()
    code, refused = deployed(capfd, "houses.yaml", *arguments)
    assert code == 2 and sentence in refused["error"] and "\n" not in refused["error"]
    assert stored(prefect_api, "houses") is None


def test_without_a_server_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "houses.yaml").write_text(RECIPE)
    code, refused = deployed(capfd, "houses.yaml")
    assert code == 2 and "`prefect server start`" in refused["error"]
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, refused = deployed(capfd, "houses.yaml")
    assert code == 2 and "http://127.0.0.1:9/api cannot be reached" in refused["error"]


def test_the_server_of_a_profile_is_used(
    recipe: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: Prefect reads the address once, when it is imported."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PYTHONPATH", str(HOME))
    Path("mine.yaml").write_text(f"prefect_api_url: {prefect_api}\n")
    line = ["houses.yaml", "--cron", "0 6 * * 1", "--profile", "mine.yaml"]
    subprocess.run([sys.executable, "-m", "deployments.deploy", *line], check=True)
    profile = stored(prefect_api, "houses")["parameters"]["profile"]
    assert profile == str(recipe.parent / "mine.yaml")


def test_what_only_the_workers_machine_can_tell_is_said(
    recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(RECIPE.replace("rows.csv", "elsewhere.csv"))
    code, made = deployed(capfd, "houses.yaml")
    assert code == 0 and "data" not in made["parameters"]
    assert made["notes"] == [
        "data.source elsewhere.csv is not here; the worker looks for it from its checkout"
    ]


def test_options_that_mean_nothing_together_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert deployed(capfd, "--all", "--cron", "0 6 * * 1")[1]["error"].startswith("--all: ")
    assert deployed(capfd, "--paused")[1]["error"].startswith("RECIPE: is missing")
