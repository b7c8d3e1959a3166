"""Which flow runs are live, and which runs are dead by the reconciler's rules."""

import os

from flows.reconciling.flow_runs import FlowRuns
from onerun.commands.dead_runs import dead_run_findings
from onerun.domain.cleanup.findings import Finding
from onerun.domain.errors import StoreUnreachable
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.domain.reconcile.seen import ReconcilePolicy
from onerun.reconcile.survey import plan

PAGE = 200  # as many as Prefect's API returns at once


def live_flow_runs() -> frozenset[str] | None:
    """Return the ids of all flow runs that can still work; None when no API is named.

    Those are the ones that run, are paused, or wait for a retry: their runs are never touched.

    Raises: StoreUnreachable when the API does not answer: without it nothing is known of them.
    """
    if not os.environ.get("PREFECT_API_URL"):
        return None
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import TERMINAL_STATES

    over = FlowRunFilterStateType(not_any_=sorted(TERMINAL_STATES))
    live = FlowRunFilter(state=FlowRunFilterState(type=over))
    found: set[str] = set()
    try:
        with get_client(sync_client=True) as prefect:
            before = -1
            # one that ends between two pages moves another over their border: look again
            while before < len(found):
                before, offset = len(found), 0
                while page := prefect.read_flow_runs(
                    flow_run_filter=live, limit=PAGE, offset=offset
                ):
                    found |= {str(flow_run.id) for flow_run in page}
                    offset += len(page)
    except Exception as error:  # httpx's and Prefect's families
        raise StoreUnreachable(
            f"Prefect's API does not answer ({type(error).__name__}), and without it live runs "
            "are not known; nothing was changed. Start it, or look at PREFECT_API_URL"
        ) from error
    return frozenset(found)


def reconcile_plan() -> ReconcilePlan:
    """Return which running runs are dead. Without Prefect only what this machine knows counts."""
    if not os.environ.get("PREFECT_API_URL"):
        return plan(None, ReconcilePolicy(), "no API is named")
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return plan(FlowRuns(client), ReconcilePolicy())


def dead_runs(measure: bool) -> list[Finding]:
    """Return dead runs with the evidence; nothing is changed.

    Args:
        measure: whether to measure what they left.
    """
    return dead_run_findings(reconcile_plan(), measure)
