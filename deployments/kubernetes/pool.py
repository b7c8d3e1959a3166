"""Writing the Kubernetes work pool to Prefect's server."""

from typing import Any

from deployments.pools import KUBERNETES


def write_pool(template: dict[str, Any], name: str = KUBERNETES) -> str:
    """Makes the pool, or gives it this template; its limits and what else was set in the UI stay.

    Returns: made, changed, or unchanged. Raises: Mistakes when a pool of another type has the name.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists

    from onerun.config.mistakes import Mistake, Mistakes

    says = (
        "Flow runs as Kubernetes Jobs; python -m deployments.kubernetes pool renews the template."
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(
                WorkPoolCreate(
                    name=name, type="kubernetes", description=says, base_job_template=template
                )
            )
        except ObjectAlreadyExists:
            there = client.read_work_pool(name)
            if there.type != "kubernetes":
                raise Mistakes(
                    [Mistake("--pool", f"work pool {name!r} is of type {there.type}; name another")]
                ) from None
            if there.base_job_template == template:
                return "unchanged"
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
            return "changed"
    return "made"
