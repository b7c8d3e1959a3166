"""Schedules: `python -m deployments.schedules on train/wine`, and steps of `prefect deploy`.

The steps run before a deployment is written, so that what people set outlives the next deploy.
"""

import sys
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from onerun.commands.command import Command
from onerun.commands.options import CommonOptions, Positional
from onerun.commands.ui import Ui
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean

ADDED = "added-"  # begins the slug of a schedule that had none


def off_at_first(deployment: str) -> dict[str, bool]:
    """Return `active: False` for a deployment that does not exist yet.

    For one that exists, return nothing: its schedules stay as they are. prefect.yaml uses it as
    `active: "{{ id.active }}"`, which Prefect would otherwise overwrite with each deploy.

    Args:
        deployment: as `flow/name`.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return {"active": False}
    return {}


def keep_added(flows: str = "flows.") -> dict[str, int]:
    """Give a slug to each schedule without one, of deployments with an entrypoint in `flows`.

    Neither the UI nor Prefect's command line asks for one, and where one is missing a deploy
    replaces all of a deployment's schedules: what was added is deleted, what was off is on.
    Return how many had none.
    """
    from prefect.client.orchestration import get_client

    from flows.checking.prefect_checks import all_deployments

    with get_client(sync_client=True) as client:
        without = [
            (deployment.id, schedule.id)
            for deployment in all_deployments(client)
            if (deployment.entrypoint or "").startswith(flows)
            for schedule in deployment.schedules
            if schedule.slug is None
        ]
        for deployment_id, schedule_id in without:
            client.update_deployment_schedule(
                deployment_id, schedule_id, slug=f"{ADDED}{schedule_id}"
            )
    return {"kept": len(without)}


class ScheduleOptions(CommonOptions):
    """Options of switching a schedule."""

    action: Annotated[Literal["on", "off"], Positional] = Field(description="on or off")
    deployment: Annotated[str, Positional] = Field(description="such as train/wine")


class Switched(BaseModel):
    """How many schedules of which deployment were switched."""

    status: str = "done"
    deployment: str
    active: bool
    schedules: int


def switch(full_name: str, active: bool) -> int:
    """Switch all schedules of a deployment on or off. Return how many it has.

    Raises: Mistakes when there is no such deployment, or it has no schedule.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.checking.prefect_checks import all_deployments

    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(full_name)
        except (ObjectNotFound, ValueError):  # ValueError: no slash in the name
            ours = [(each.entrypoint or "", each.name) for each in all_deployments(client)]
            known = [f"{entrypoint.rpartition('.')[2]}/{name}" for entrypoint, name in ours]
            message = f"there is no deployment {full_name}{did_you_mean(full_name, known)}"
            raise Mistakes([Mistake("DEPLOYMENT", message)]) from None
        if not found.schedules:
            create = f'`prefect deployment schedule create {full_name} --cron "0 6 * * 1"` adds one'
            raise Mistakes([Mistake("DEPLOYMENT", f"{full_name} has no schedule; {create}")])
        for schedule in found.schedules:
            client.update_deployment_schedule(found.id, schedule.id, active=active)
    return len(found.schedules)


def run(options: ScheduleOptions, ui: Ui) -> Switched:
    """Switch the schedules of one deployment. Raises: Mistakes."""
    from deployments.pools import need_server, use_profile

    need_server(use_profile(options.profile))
    number = switch(options.deployment, options.action == "on")
    counted = "1 schedule" if number == 1 else f"{number} schedules"
    ui.say(f"{options.deployment}: {counted} {options.action}")
    is_on = options.action == "on"
    return Switched(deployment=options.deployment, active=is_on, schedules=number)


COMMAND = Command(
    name="schedules",
    summary="Switch the schedules of a deployment on or off.",
    options=ScheduleOptions,
    run=run,
    examples=["onerun schedules on train/wine", "onerun schedules off train/wine"],
)

if __name__ == "__main__":
    raise SystemExit(COMMAND.main(sys.argv[1:], program="python -m deployments.schedules"))
