"""`python -m flows.maintain --policy weekly.yaml`: plan, archive, clean up; also a flow."""

import sys

from flows.maintenance import MAINTAIN
from onerun.commands.maintain import WAITS_FOR_A_PERSON, MaintainOptions, MaintainResult

if __name__ == "__main__":
    # Handed over before Prefect is imported: a clean-up by hand needs no engine.
    raise SystemExit(MAINTAIN.main(sys.argv[1:], "python -m flows.maintain"))

from prefect import flow
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from flows.parameters import parameters_of
from flows.ui import LogUi

LOOKS_EVERY = 10  # seconds


class Approval(RunInput):
    """What a person answers in Prefect's UI."""

    delete_for_good: bool = Field(False, description="Yes: archive and delete what the plan lists.")


class PausingUi(LogUi):
    """Asks a person by pausing the flow run."""

    def confirm(self, question: str) -> bool | None:
        """Wait for the answer in Prefect's UI."""
        answer = pause_flow_run(
            wait_for_input=Approval.with_initial_data(
                description=f"**{question}** The plan is an artifact of this run."
            ),
            timeout=WAITS_FOR_A_PERSON,
            poll_interval=LOOKS_EVERY,
        )
        return answer.delete_for_good


@flow(name="maintain", validate_parameters=True, persist_result=False)
@parameters_of(MaintainOptions, without=("report",))
def maintain(options: MaintainOptions) -> MaintainResult:
    """Plan what the store no longer needs and, when asked to, archive and remove it."""
    return MAINTAIN.run(options, PausingUi())
