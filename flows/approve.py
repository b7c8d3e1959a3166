"""Ask a model's owner in Prefect's UI, and move the alias or leave it, according to the answer.

The flow run suspends: no process waits, and whichever worker is there goes on after the answer.
"""

from typing import Any

from prefect import flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from flows.command_line.links import run_page
from onerun.commands.profile_store import use_registry
from onerun.domain.promotion import question
from onerun.promotion import approval
from settings.profile import load_profile


class Answer(RunInput):
    """What the form in Prefect's UI asks."""

    approve: bool = Field(True, description="Move the alias; switch off to refuse.")
    who: str = Field("", max_length=200, description="Who decides, for the record.")
    why: str = Field("", max_length=1000, description="Why, for the record.")


@flow(name="approve", validate_parameters=True, persist_result=False)
def approve(run_id: str, profile: str | None = None) -> dict[str, Any]:
    """Ask whether the version that a training made may take its alias, and follow the answer.

    Args:
        run_id: The training's MLflow run.
        profile: Name of a profile in `settings/profiles/`.
    """
    use_registry(profile)
    request = approval.pending(run_id)
    page = run_page(str(load_profile(profile).public()["tracking_uri"]), run_id)
    links = {"MLflow": page} if page else {}
    form = Answer.with_initial_data(description=question(request, links))
    answer = suspend_flow_run(wait_for_input=form)
    decide = approval.approve if answer.approve else approval.refuse
    return decide(request, answer.who.strip(), answer.why.strip()).model_dump(mode="json")
