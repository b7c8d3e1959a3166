"""One model is trained by one deployed flow run at a time, whichever deployment it comes from.

A deployment's own concurrency limit holds only between its own flow runs. Two deployments that
train one model share a global limit named after the model, which the first of them makes; to train
more at once, raise it in Prefect's UI. A slot is a lease: of a flow run that was killed it runs out
within a minute, and the flow run's next attempt gives it back at once. Prefect's server keeps
leases in memory: one that was restarted counts a slot as taken for ever. So a flow run that waits
looks for the one that holds the slot, and frees the slot when no flow run does. Trainings by hand
do not wait.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run

from flows.command_line import temporary_server
from onerun.domain import names

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

log = logging.getLogger("onerun")
LEASE = 60.0  # seconds; the shortest that Prefect takes
STALE_AFTER = LEASE + 5  # seconds without a living holder
LOOK = 2.0  # seconds between two tries to get a slot
PAGE = 200  # flow runs; as many as Prefect's server returns at once
RUNNING, CANCELLING = StateType.RUNNING, StateType.CANCELLING
FREED, OCCUPIED = (404, 410), 423  # HTTP: the lease has ended; all slots are taken


@contextmanager
def turn(model: str) -> Iterator[None]:
    """Wait until no other deployed flow run trains `model`; none does within the block."""
    if not deployment.id or os.environ.get(temporary_server.VARIABLE):
        yield
        return
    this = UUID(str(flow_run.id))
    with get_client(sync_client=True) as client:
        lease = _taken(client, limit_name(model), this, model)
        ended = threading.Event()
        ours = copy_context()  # which server Prefect's client asks stands in it
        renewal = threading.Thread(target=ours.run, args=(_renew, lease, ended), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            ended.set()
            _give_back(client, lease)


def limit_name(model: str) -> str:
    """Return the global limit's name; Prefect takes no / % & < > in one."""
    return f"train {re.sub(r'[/%&<>]', '_', model)}"


def _taken(client: "SyncPrefectClient", limit: str, this: UUID, model: str) -> UUID:
    """Return the lease of the slot, noted on the flow run."""
    _make(client, limit)
    known = client.read_flow_run(this).labels.get(names.LABEL_LEASE)
    if known:
        # of an earlier attempt of this flow run, which was killed
        _give_back(client, UUID(str(known)))
    lease = _tried(client, limit, this)
    if lease is None:
        get_run_logger().info(
            "waits: another flow run trains %s (concurrency limit %r)", model, limit
        )
        # An earlier attempt's label, which holds nothing: two that wait would take each other
        # for the holder.
        client.update_flow_run_labels(this, {names.LABEL_TURN: ""})
    held = time.monotonic()
    while lease is None:
        time.sleep(LOOK)
        if _is_held(client, limit, this):
            held = time.monotonic()
        elif time.monotonic() - held > STALE_AFTER:
            get_run_logger().warning(
                "no flow run holds the slot of %r any more; it is freed", limit
            )
            client.update_global_concurrency_limit(
                limit, GlobalConcurrencyLimitUpdate(active_slots=0)
            )
            held = time.monotonic()
        lease = _tried(client, limit, this)
    client.update_flow_run_labels(this, {names.LABEL_LEASE: str(lease), names.LABEL_TURN: limit})
    return lease


def _tried(client: "SyncPrefectClient", limit: str, this: UUID) -> UUID | None:
    """Return the lease of a slot; None when all are taken."""
    holder = ConcurrencyLeaseHolder(type="flow_run", id=this)
    try:
        answer = client.increment_concurrency_slots_with_lease(
            [limit], 1, "concurrency", LEASE, holder
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code != OCCUPIED:
            raise
        return None
    return UUID(answer.json()["lease_id"])


def _is_held(client: "SyncPrefectClient", limit: str, this: UUID) -> bool:
    """Whether a flow run that Prefect takes for alive has noted that it holds a slot."""
    alive = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[RUNNING, CANCELLING]))
    )
    offset = 0
    while runs := client.read_flow_runs(
        flow_run_filter=alive, limit=PAGE, offset=offset, sort=FlowRunSort.ID_DESC
    ):
        if any(run.labels.get(names.LABEL_TURN) == limit for run in runs if run.id != this):
            return True
        offset += len(runs)
    return False


def _make(client: "SyncPrefectClient", limit: str) -> None:
    """Make the limit; leave an existing one as it is: a person may have raised it on purpose."""
    try:
        client.read_global_concurrency_limit_by_name(limit)
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):  # another flow run was a moment faster
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=limit, limit=1)
            )


def _renew(lease: UUID, ended: threading.Event) -> None:
    """Renew the lease until the training has ended.

    A slot that is lost allows a second training at the same time; the alias's compare-and-set
    keeps that one harmless.
    """
    with get_client(sync_client=True) as client:
        while not ended.wait(LEASE / 3):
            try:
                client.renew_concurrency_lease(lease, LEASE)
            except httpx.HTTPError as error:
                log.warning("the slot could not be renewed: %s", error)


def _give_back(client: "SyncPrefectClient", lease: UUID) -> None:
    try:
        client.release_concurrency_slots_with_lease(lease)
    except httpx.HTTPError as error:
        if not isinstance(error, httpx.HTTPStatusError) or error.response.status_code not in FREED:
            log.warning("the slot could not be given back, and runs out by itself: %s", error)
