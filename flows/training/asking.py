"""A training that waits for approval asks for it: a flow run of the deployment `approve/approve`, one for each run."""

import logging
import os

from flows.command_line import temporary_server
from onerun.domain.references import Version

DEPLOYMENT = "approve/approve"
log = logging.getLogger("onerun")


def ask(run_id: str, version: Version) -> str | None:
    """Returns: the id of the flow run that asks; None where no server stays or nothing is deployed that could ask."""
    if os.environ.get(temporary_server.VARIABLE):
        return None
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            log.info(
                "nobody is asked for approval: %s is not deployed (prefect deploy --all)",
                DEPLOYMENT,
            )
            return None
        made = client.create_flow_run_from_deployment(
            deployment.id,
            name=f"approve {version.summary}",
            parameters={"run_id": run_id},
            idempotency_key=f"approve {run_id}",  # a retried training asks once
            tags=["approval", version.model],
        )
    log.info("asks for approval: flow run %s", made.name)
    return str(made.id)
