"""The options of a training as a flow run."""

from typing import Annotated

from pydantic import Field

from onerun.commands.options import Argument
from onerun.commands.train import RecipeOptions


class FlowTrainOptions(RecipeOptions):
    """Options of a training that Prefect runs."""

    recipe: Annotated[str, Argument("--recipe", metavar="FILE")] = Field(
        description="name of a recipe in `recipes/`, path of a YAML file, or YAML text"
    )
    retry: Annotated[str | None, Argument("--retry", metavar="FLOW_RUN")] = Field(
        None, description="go on with a flow run that failed, after its last finished stage"
    )
