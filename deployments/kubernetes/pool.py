"""Writing the Kubernetes work pool to Prefect's server."""

from typing import Any

from onerun.domain.names import WORK_POOL


def write_pool(template: dict[str, Any], name: str = WORK_POOL) -> str:
    """Make the pool, or give it this template; its limits and what else was set in the UI stay.

    Return made, changed, or unchanged. Raises: Mistakes when a pool of another type has the name.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists

    from onerun.config.mistakes import Mistake, Mistakes

    description = (
        "Flow runs as Kubernetes Jobs; python -m deployments.kubernetes pool renews the template."
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type="kubernetes",
                    description=description,
                    base_job_template=template,
                )
            )
        except ObjectAlreadyExists:
            there = client.read_work_pool(name)
            if there.type != "kubernetes":
                message = (
                    f"work pool {name!r} is of type {there.type}: a server's pool has one kind of "
                    f"workers; name another pool, or end its workers, `prefect work-pool delete "
                    f"{name}`, and deploy again"
                )
                raise Mistakes([Mistake("--pool", message)]) from None
            if there.base_job_template == template:
                return "unchanged"
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
            return "changed"
    return "made"
