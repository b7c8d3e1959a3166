"""`python -m flows.rescue --from ./mlruns`: an old file store into a database; also a flow."""

import sys
from typing import Annotated

from pydantic import Field

from onerun.commands.options import Argument
from onerun.commands.rescue import COMMAND, RescueOptions, RescueResult
from onerun.domain.errors import OnerunError

if __name__ == "__main__":
    # Handed over before Prefect is imported: a rescue by hand needs no engine.
    raise SystemExit(COMMAND.main(sys.argv[1:], "python -m flows.rescue"))

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.parameters import parameters_of
from flows.ui import LogUi


class FolderOptions(RescueOptions):
    """Options of the flow: it rescues folders, and repairs no database."""

    source: Annotated[str, Argument("--from")] = Field(
        description="the folder with the experiments, such as ./mlruns"
    )


@flow(name="rescue", validate_parameters=True, persist_result=False)
@parameters_of(FolderOptions, without=("repair",))
def rescue(options: FolderOptions) -> RescueResult:
    """Examine an old MLflow file store, and bring what can be saved into a database."""
    result = COMMAND.run(options, LogUi())
    assert isinstance(result, RescueResult)  # the flow has no parameter `repair`
    table = [each.model_dump() for each in result.findings] or [{"found": "nothing"}]
    create_table_artifact(table, key="rescue", description=result.source)
    if result.status == "not proven":
        raise OnerunError("; ".join([*result.differences, *result.orphans][:5]))
    return result
