"""Where to look at a training afterwards."""

import shlex
from collections.abc import Mapping
from typing import Any

from settings.profile import Profile


def links(outcome: Mapping[str, Any], profile: Profile, flow_run_url: str | None) -> dict[str, str]:
    """Returns: what to open, or the command that makes it openable."""
    page = f"/#/experiments/{outcome['experiment_id']}/runs/{outcome['run_id']}"
    tracking_uri = str(profile.public()["tracking_uri"])
    if tracking_uri.startswith("http"):
        found = {"MLflow": f"{tracking_uri.rstrip('/')}{page}"}
    else:
        command = f"mlflow ui --backend-store-uri {shlex.quote(tracking_uri)}"
        found = {"MLflow": f"run {outcome['run_id']}; `{command}` shows it at http://127.0.0.1:5000{page}"}
    return found | ({"Prefect": flow_run_url} if flow_run_url else {})
