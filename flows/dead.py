"""Runs that read RUNNING and are dead, by the reconciler's rule, as findings of the maintenance."""

import os

from domain.maintenance.findings import Finding
from domain.reconciliation.seen import Policy
from flows.flow_runs import FlowRuns
from flows.survey import plan


def dead_runs() -> list[Finding]:
    """Returns: them with the evidence; nothing is changed. Without Prefect only what this machine knows counts."""
    if not os.environ.get("PREFECT_API_URL"):
        found = plan(None, Policy(), "no API is named")
    else:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            found = plan(FlowRuns(client), Policy())
    return [
        Finding("dead-running", run.run_id, None, int(1000 * run.started.timestamp()), "; ".join(dead.evidence))
        for run, dead in found.dead
    ]
