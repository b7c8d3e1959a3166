"""What a training would do, said before it does anything: touches nothing."""

from collections.abc import Callable
from typing import Any

from flows.training.preparation import Asked
from onerun.config.recipe import Recipe
from onerun.domain.estimators import task_of


def plan(asked: Asked, say: Callable[[str], None]) -> dict[str, Any]:
    """Say it in lines. Returns: the same as plain JSON values."""
    recipe = asked.recipe
    public = asked.profile.public()
    steps = {
        "ingest": f"read {recipe.data.source} into a snapshot below {asked.store}",
        "validate": f"{len(recipe.data.expectations)} expectations"
        if recipe.data.expectations
        else "nothing to check",
        "train": _training(recipe),
        "evaluate": _evaluation(recipe),
        "register": f"one new version of {recipe.model_name}"
        + "".join(f", alias {alias}" for alias in recipe.register_.aliases),
        "promote": _promotion(recipe),
    }
    say(f"plan for {recipe.name}; nothing is run or written")
    for stage, what in steps.items():
        say(f"  {stage:<9} {what}")
    say(f"  one MLflow run in experiment {recipe.name} at {public['tracking_uri']}")
    return {
        "status": "planned",
        "experiment": recipe.name,
        "model": recipe.model_name,
        "plan": steps,
        "profile": public,
    }


def _training(recipe: Recipe) -> str:
    split = recipe.split
    parts = f"{1 - split.test - split.validation:.0%}/{split.validation:.0%}/{split.test:.0%} split by {split.by}"
    program = recipe.model.estimator if recipe.model else " ".join(recipe.train.command or ())
    return f"{program} in a {recipe.train.run_in}, predicting {recipe.data.target} ({task_of(recipe)}); {parts}"


def _evaluation(recipe: Recipe) -> str:
    slices = f", by {', '.join(recipe.evaluate.slices)}" if recipe.evaluate.slices else ""
    return f"on the test part{slices}, beside a baseline and {recipe.promote.alias}; report.html"


def _promotion(recipe: Recipe) -> str:
    rules = "; ".join(gate.rule for gate in recipe.gates) or "no gates"
    asks = ", after a person approves" if recipe.promote.approval == "manual" else ""
    return f"{', '.join((recipe.promote.alias, *recipe.promote.also))} moves when all hold ({rules}){asks}"
