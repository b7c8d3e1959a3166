"""Options that the commands for a whole store share."""

from typing import Annotated

from pydantic import Field

from onerun.commands.options import Argument, CommonOptions
from onerun.domain.archives import Selection


class PartOptions(CommonOptions):
    """Which parts of a store are meant: all of it when none is named."""

    experiments: Annotated[list[str], Argument("--experiment", metavar="NAME")] = Field(
        [], description="an experiment, by name or id; may be repeated"
    )
    runs: Annotated[list[str], Argument("--run", metavar="ID")] = Field(
        [], description="a run and what it made; may be repeated"
    )
    models: Annotated[list[str], Argument("--model", metavar="NAME")] = Field(
        [], description="a registered model, and its runs; may be repeated"
    )

    @property
    def selection(self) -> Selection:
        """The parts; everything when none is named."""
        return Selection(tuple(self.experiments), tuple(self.runs), tuple(self.models))
