"""What a training would do, said before it does anything: nothing is read or written."""

from collections.abc import Iterator

from pydantic import BaseModel

from onerun.config.recipe import Recipe
from onerun.domain.estimators import task_of
from onerun.engine.request import TrainingRequest


class TrainingPlan(BaseModel):
    """What each stage would do. profile: where it would run, without secrets."""

    status: str = "planned"
    experiment: str
    model: str
    plan: dict[str, str]
    profile: dict[str, str]

    def lines(self) -> Iterator[str]:
        """Yield the plan as a person reads it."""
        yield f"plan for {self.experiment}; nothing is run or written"
        for stage, what in self.plan.items():
            yield f"  {stage:<9} {what}"
        store = self.profile["tracking_uri"]
        yield f"  one MLflow run in experiment {self.experiment} at {store}"


def plan_of(request: TrainingRequest) -> TrainingPlan:
    """Return what a training would do as asked."""
    recipe = request.recipe
    expectations = len(recipe.data.expectations)
    steps = {
        "ingest": f"read {recipe.data.source} into a snapshot below {request.store}",
        "validate": f"{expectations} expectations" if expectations else "nothing to check",
        "train": _training(recipe),
        "evaluate": _evaluation(recipe),
        "register": _registration(recipe),
        "promote": _promotion(recipe),
    }
    return TrainingPlan(
        experiment=recipe.name,
        model=recipe.model_name,
        plan=steps,
        profile=request.profile.public(),
    )


def _training(recipe: Recipe) -> str:
    split = recipe.split
    training = 1 - split.test - split.validation
    parts = f"{training:.0%}/{split.validation:.0%}/{split.test:.0%} split by {split.by}"
    program = recipe.model.estimator if recipe.model else " ".join(recipe.train.command or ())
    target = f"predicting {recipe.data.target} ({task_of(recipe)})"
    return f"{program} in a {recipe.train.run_in}, {target}; {parts}"


def _evaluation(recipe: Recipe) -> str:
    slices = f", by {', '.join(recipe.evaluate.slices)}" if recipe.evaluate.slices else ""
    return f"on the test part{slices}, beside a baseline and {recipe.promote.alias}; report.html"


def _registration(recipe: Recipe) -> str:
    aliases = "".join(f", alias {alias}" for alias in recipe.register_.aliases)
    return f"one new version of {recipe.model_name}{aliases}"


def _promotion(recipe: Recipe) -> str:
    rules = "; ".join(gate.rule for gate in recipe.gates) or "no gates"
    asks = ", after a person approves" if recipe.promote.approval == "manual" else ""
    aliases = ", ".join((recipe.promote.alias, *recipe.promote.also))
    return f"{aliases} moves when all hold ({rules}){asks}"
