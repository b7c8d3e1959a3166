"""Where to look at a training afterwards."""

import os
import shlex
from collections.abc import Mapping
from typing import Any

from flows.command_line import temporary_server
from onerun.config.profile import Profile


def flow_run_url(flow_run_id: str) -> str | None:
    """Returns: the flow run's page; none with a temporary server, which is gone when somebody would look."""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    if not PREFECT_UI_URL.value() or PREFECT_API_URL.value() == os.environ.get(
        temporary_server.VARIABLE
    ):
        return None
    return f"{PREFECT_UI_URL.value().rstrip('/')}/runs/flow-run/{flow_run_id}"


def run_page(tracking_uri: str, run_id: str) -> str | None:
    """Returns: the run's page at a server; None where a store has no pages of its own."""
    return (
        f"{tracking_uri.rstrip('/')}/#/runs/{run_id}" if tracking_uri.startswith("http") else None
    )


def links(outcome: Mapping[str, Any], profile: Profile) -> dict[str, str]:
    """Returns: what to open, or the command that makes it openable."""
    page = f"/#/experiments/{outcome['experiment_id']}/runs/{outcome['run_id']}"
    tracking_uri = str(profile.public()["tracking_uri"])
    if tracking_uri.startswith("http"):
        found = {"MLflow": f"{tracking_uri.rstrip('/')}{page}"}
    else:
        command = f"mlflow ui --backend-store-uri {shlex.quote(tracking_uri)}"
        found = {
            "MLflow": f"run {outcome['run_id']}; `{command}` shows it at http://127.0.0.1:5000{page}"
        }
    url = flow_run_url(outcome["flow_run_id"])
    asks = flow_run_url(outcome["approval"]) if outcome["approval"] else None
    return found | ({"Prefect": url} if url else {}) | ({"Approve": asks} if asks else {})
