"""Runs that read RUNNING and are dead, by the reconciler's rule, as findings of the maintenance."""

import os

from flows.reconciling.flow_runs import FlowRuns
from onerun.commands.dead_runs import dead_run_findings
from onerun.domain.cleanup.findings import Finding
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.domain.reconcile.seen import ReconcilePolicy
from onerun.reconcile.survey import plan


def seen_now() -> ReconcilePlan:
    """Return what reads RUNNING and what is dead of it. Without Prefect only what this machine knows counts."""
    if not os.environ.get("PREFECT_API_URL"):
        return plan(None, ReconcilePolicy(), "no API is named")
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return plan(FlowRuns(client), ReconcilePolicy())


def dead_runs(files: bool = True) -> list[Finding]:
    """Return dead runs with the evidence; nothing is changed. Args: files: measure what they left."""
    return dead_run_findings(seen_now(), files)
