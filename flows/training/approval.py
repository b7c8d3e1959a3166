"""A training that waits for approval asks for it by a flow run of `approve/approve`."""

import logging
import os

from flows.command_line import temporary_server
from onerun.engine.result import TrainingResult

DEPLOYMENT = "approve/approve"
log = logging.getLogger("onerun")


def request_approval(result: TrainingResult) -> str | None:
    """Return the id of the flow run that asks.

    None with a temporary server, or where the deployment that asks does not exist.
    """
    if os.environ.get(temporary_server.VARIABLE):
        return None
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            log.info(
                "no approval is requested: %s is not deployed (prefect deploy --all)", DEPLOYMENT
            )
            return None
        made = client.create_flow_run_from_deployment(
            deployment.id,
            name=f"approve {result.model} version {result.version}",
            parameters={"run_id": result.run_id},
            idempotency_key=f"approve {result.run_id}",  # a retried training asks once
            tags=["approval", result.model],
        )
    log.info("approval requested: flow run %s", made.name)
    return str(made.id)
