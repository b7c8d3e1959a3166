"""Where to look at a training afterwards."""

import os

from flows.command_line import temporary_server
from onerun.engine.result import TrainingResult


def flow_run_url(flow_run_id: str) -> str | None:
    """Return the flow run's page; None with a temporary server, which ends with this command."""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    is_temporary = PREFECT_API_URL.value() == os.environ.get(temporary_server.VARIABLE)
    if is_temporary or not PREFECT_UI_URL.value():
        return None
    return f"{PREFECT_UI_URL.value().rstrip('/')}/runs/flow-run/{flow_run_id}"


def run_page(tracking_uri: str, run_id: str) -> str | None:
    """Return the run's page at a server; None where a store has no pages of its own."""
    if not tracking_uri.startswith("http"):
        return None
    return f"{tracking_uri.rstrip('/')}/#/runs/{run_id}"


def flow_run_links(result: TrainingResult) -> dict[str, str]:
    """Return the pages of the training's flow run and of the one that asks for approval."""
    pages = {"Prefect": result.flow_run_id, "Approve": result.approval}
    found = {name: flow_run_url(flow_run) for name, flow_run in pages.items() if flow_run}
    return {name: url for name, url in found.items() if url}
