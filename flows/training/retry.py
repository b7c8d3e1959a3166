"""A flow run that failed, continued by hand, as Prefect's retry button does where a worker is."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from onerun.config.mistakes import Mistake, Mistakes
from onerun.engine.result import TrainingResult


def retried(
    flow: Flow[..., TrainingResult], flow_run_id: str, parameters: Mapping[str, Any]
) -> TrainingResult:
    """Run the flow again as the same flow run, which finds its MLflow run and finished stages.

    Raises: Mistakes when there is nothing to continue; what the flow raises.
    """
    with get_client(sync_client=True) as client:
        flow_run = _found(client, flow_run_id, flow.name)
        client.set_flow_run_state(flow_run.id, AwaitingRetry(), force=True)
        flow_run = client.read_flow_run(flow_run.id)
    done: Any = run_flow(flow, flow_run=flow_run, parameters=dict(parameters))
    result: TrainingResult = done
    return result


def _found(client: SyncPrefectClient, flow_run_id: str, flow: str) -> FlowRun:
    try:
        flow_run = client.read_flow_run(UUID(flow_run_id))
    except (ValueError, ObjectNotFound):
        raise _mistake(
            f"no flow run {flow_run_id!r} at {client.api_url}; its id is a tag of the MLflow run"
        ) from None
    if client.read_flow(flow_run.flow_id).name != flow:
        raise _mistake(f"{flow_run.name} is not a flow run of {flow}")
    if flow_run.state is None or not flow_run.state.is_final() or flow_run.state.is_completed():
        state = flow_run.state.name if flow_run.state else "nothing"
        raise _mistake(
            f"{flow_run.name} has state {state}; only one that failed or died can be tried again"
        )
    return flow_run


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("--retry", message)])
