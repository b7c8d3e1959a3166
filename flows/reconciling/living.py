"""Which flow runs are not over: their runs are never touched."""

import os

from onerun.domain.errors import StoreUnreachable

PAGE = 200  # as many as Prefect's API returns at once


def living_flow_runs() -> frozenset[str] | None:
    """Return ids of all flow runs that can still work: running, paused, waiting for a retry; None: no API is named.

    Raises: StoreUnreachable when the API does not answer: without it nobody knows what lives.
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
    wanted = FlowRunFilter(state=FlowRunFilterState(type=over))
    found: set[str] = set()
    try:
        with get_client(sync_client=True) as prefect:
            before = -1
            while before < len(
                found
            ):  # one that ends between two pages moves another over their border: look again
                before, offset = len(found), 0
                while page := prefect.read_flow_runs(
                    flow_run_filter=wanted, limit=PAGE, offset=offset
                ):
                    found |= {str(flow_run.id) for flow_run in page}
                    offset += len(page)
    except Exception as error:  # httpx's and Prefect's families
        raise StoreUnreachable(
            f"Prefect's API does not answer ({type(error).__name__}), and without it nobody knows which runs live; "
            "nothing was changed. Start it, or look at PREFECT_API_URL"
        ) from error
    return frozenset(found)
