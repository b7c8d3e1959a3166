"""A deployment of one recipe: what its parameters are, and how it is written to Prefect's server.

A recipe in the checkout's `recipes/` stays a name: it travels with the code. Any other becomes its
text, so that the worker needs no file: in a pod, on another machine, or when the recipe is moved.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.prefect_file import ENTRYPOINT, FILE, HOME, pull_steps, trainings, version
from deployments.timetables import SLUG, Timetable
from onerun.config.loading import check_document, read_document
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.config.recipe import Recipe
from onerun.data.sources.source import check_source
from onerun.engine.request import check_content

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.responses import DeploymentResponse

FLOW = "train"
FORBIDDEN = "/%&<>"  # Prefect refuses these in a name


@dataclass(frozen=True)
class RecipeDeployment:
    """What is to be written."""

    name: str
    description: str
    parameters: dict[str, Any]
    as_text: bool  # whether the recipe's text is the parameter
    notes: tuple[str, ...] = ()  # what a person should know of what the worker will find

    @property
    def full_name(self) -> str:
        """Return it as Prefect's commands take it."""
        return f"{FLOW}/{self.name}"


def describe(
    recipe: str,
    *,
    name: str | None = None,
    overrides: list[str] | None = None,
    data: str | None = None,
    profile: str | None = None,
) -> RecipeDeployment:
    """Check the recipe as a training would, and decide on the parameters. Raises: Mistakes."""
    overrides = list(overrides or [])
    document = read_document(recipe, overrides, data)
    checked = check_document(document)
    if mistakes := document.placed(check_content(checked)):
        raise Mistakes(mistakes)
    _need_name_of_its_own(name or checked.name)
    parameter, as_text = _recipe_parameter(document.source)
    if as_text and "name" not in document.values:
        overrides.append(f"name={checked.name}")  # a file's stem, which its text does not hold
    parameters: dict[str, Any] = {"recipe": parameter}
    if overrides:
        parameters["overrides"] = overrides
    source, notes = _found_elsewhere(checked, moves=as_text or data is not None)
    if source is not None or data is not None:
        parameters["data"] = source or data
    if profile is not None:
        parameters["profile"] = _absolute_file(profile)
    return RecipeDeployment(
        name=name or checked.name,
        description=checked.description or f"Trains {checked.name}.",
        parameters=parameters,
        as_text=as_text,
        notes=tuple(notes),
    )


def _need_name_of_its_own(name: str) -> None:
    if set(name) & set(FORBIDDEN):
        raise Mistakes([Mistake("--name", f"expected none of {FORBIDDEN} in {name!r}")])
    if name in trainings():
        message = (
            f"{FLOW}/{name} stands in {FILE.name}, which overwrites it at each "
            f"`prefect deploy --all`; name yours, such as --name {name}-weekly. To switch that "
            f"one's own schedule on: `python -m deployments.schedules on {FLOW}/{name}`"
        )
        raise Mistakes([Mistake("--name", message)])


def _recipe_parameter(source: str) -> tuple[str, bool]:
    """Return the flow's parameter, and whether it is the recipe's text."""
    path = Path(source).resolve()
    if path.parent == HOME / "recipes" and path.suffix == ".yaml":
        return path.stem, False
    text = path.read_text(encoding="utf-8-sig")
    return f"{text.rstrip()}\n", True  # the line break tells a text from a name


def _found_elsewhere(recipe: Recipe, moves: bool) -> tuple[str | None, list[str]]:
    """Return the absolute source of a file that is here, and notes on what only the worker knows.

    A worker runs in its checkout: relative paths begin there.
    """
    notes = []
    if recipe.train.run_in == "command":
        notes.append("train.command runs in the worker's checkout; relative paths begin there")
    source = recipe.data.source
    is_file = (
        recipe.data.query is None and "://" not in source and not source.startswith("sklearn:")
    )
    if not moves or not is_file or Path(source).is_absolute():
        return None, notes
    if not check_source(recipe.data):
        return str(Path.cwd() / Path(source).expanduser()), notes
    notes.append(f"data.source {source} is not here; the worker looks for it from its checkout")
    return None, notes


def _absolute_file(profile: str) -> str:
    path = Path(profile)
    return str(path.resolve()) if path.is_file() else profile


def write(
    target: RecipeDeployment, *, pool: str, timetable: Timetable | None, active: bool
) -> tuple["DeploymentResponse", bool]:
    """Write the deployment to the server, over an earlier one of that name.

    Args:
        timetable: its one schedule; None leaves those of an earlier deployment as they are.
    Returns: the deployment as the server has it, and whether there was none before.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    flow: Any = load_flow_from_entrypoint(ENTRYPOINT, use_placeholder_flow=False)
    with get_client(sync_client=True) as client:
        before = _read(client, target.full_name)
        written = client.create_deployment(
            flow_id=client.create_flow_from_name(FLOW),
            name=target.name,
            version=version(),
            description=target.description,
            tags=["training", "recipe"],
            entrypoint=ENTRYPOINT,
            pull_steps=pull_steps(),
            work_pool_name=pool,
            parameters=target.parameters,
            parameter_openapi_schema=parameter_schema(flow).model_dump(exclude_unset=True),
            enforce_parameter_schema=True,
            concurrency_limit=1,  # as in prefect.yaml: later flow runs wait
            concurrency_options=ConcurrencyOptions(
                collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
            ),
            schedules=_schedules(before, timetable, active),
        )
        return client.read_deployment(written), before is None


def remove(name: str) -> "UUID":
    """Remove a deployment of a recipe; its flow runs stay. Raises: Mistakes without such a one."""
    from prefect.client.orchestration import get_client

    from flows.checking.prefect_checks import all_deployments

    with get_client(sync_client=True) as client:
        found = _read(client, f"{FLOW}/{name}")
        if found is None:
            known = [each.name for each in all_deployments(client) if each.entrypoint == ENTRYPOINT]
            message = f"there is no deployment {FLOW}/{name}{did_you_mean(name, known)}"
            raise Mistakes([Mistake("--remove", message)])
        client.delete_deployment(found.id)
        return found.id


def _read(client: "SyncPrefectClient", full_name: str) -> "DeploymentResponse | None":
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        return None


def _schedules(
    before: "DeploymentResponse | None", timetable: Timetable | None, active: bool
) -> "list[DeploymentScheduleCreate]":
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    if timetable is not None:
        schedule = timetable.schedule()
        return [DeploymentScheduleCreate(schedule=schedule, active=active, slug=SLUG)]
    earlier = before.schedules if before is not None else []
    return [
        DeploymentScheduleCreate(
            schedule=each.schedule, active=each.active and active, slug=each.slug
        )
        for each in earlier
    ]
