"""The example scripts, run as they are shipped, through their own recipes."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from onerun.config.recipe import Recipe
from onerun.tracking import models
from onerun.tracking.runs import client
from onerun.training.train import train

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(("name", "r2"), [("sklearn", 0.78), ("torch", 0.55)])
def test_an_example_script(run_id, houses, snapshot_of, tmp_path, monkeypatch, name, r2):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (an optional extra)")
    section = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    recipe = Recipe.model_validate(section)
    assert f"examples/train_{name}.py" in recipe.train.command
    monkeypatch.chdir(EXAMPLES.parent)  # where the recipe's command is meant to be run
    trained = train(run_id, recipe, snapshot_of(houses), tmp_path)
    run = client().get_run(run_id)
    assert run.info.status == "RUNNING"
    assert any(metric.startswith("validation_") for metric in run.data.metrics)
    found = models.load_model(trained.model_uri).predict(houses.drop(columns="median_house_value"))
    errors = houses.median_house_value - found
    assert 1 - errors.var() / houses.median_house_value.var() > r2


def test_the_scripts_know_nothing_of_this_project():
    for script in EXAMPLES.glob("*.py"):
        source = script.read_text(encoding="utf-8")
        assert not any(
            f"{word} {room}" in source
            for word in ("from", "import")
            for room in ("tasks", "onerun", "settings")
        )
