"""Steps of `prefect deploy`, before a deployment is written: what people set in Prefect's UI outlives it."""

ADDED = "added-"  # begins the slug of a schedule that had none


def off_at_first(deployment: str) -> dict[str, bool]:
    """For `active: "{{ id.active }}"` in prefect.yaml, which Prefect would otherwise write anew with each deploy.

    Args: deployment: as `flow/name`.
    Returns: `active: False` for one that is not there yet; of one that is, nothing: its schedules stay as they are.
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
    """Gives a slug to each schedule without one, of deployments whose entrypoint begins with `flows`.

    Neither the UI nor Prefect's command line asks for one, and where one is missing a deploy replaces all of a
    deployment's schedules: what was added is gone, what was off is on. Returns: how many had none.
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
