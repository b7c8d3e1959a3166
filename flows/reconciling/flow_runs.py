"""What Prefect knows of flow runs, and setting their states."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from uuid import UUID

from onerun.domain import names
from onerun.domain.reconcile.marks import Mark
from onerun.domain.reconcile.not_started import NotStarted
from onerun.domain.reconcile.seen import SETTLE, Answer, FlowRunSeen, NotKnown, Process
from onerun.reconcile.source import SourceUnreachable

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import FlowRun

PAGE = 200  # what Prefect's API answers at most
FLOW = "train"
HEARTBEAT = "prefect.flow-run.heartbeat"
# the log in which a Kubernetes worker reports what is wrong with a pod
OBSERVER = "prefect.flow_runs.observer"
MOST_LOGS = 20  # flow runs whose log is read at one look


@contextmanager
def heard() -> Iterator[None]:
    """Raise SourceUnreachable for what Prefect's client raises in the block without an answer."""
    from httpx import HTTPError

    try:
        yield
    except HTTPError as error:
        raise SourceUnreachable(f"{type(error).__name__}: {error}".splitlines()[0]) from error


class FlowRuns:
    """Prefect's answers, with its own clock beside them. All methods raise SourceUnreachable."""

    def __init__(self, client: "SyncPrefectClient") -> None:
        self._client = client

    @heard()
    def now(self) -> datetime:
        """Return the time by Prefect's clock, which its times are compared with."""
        answer = self._client.request("GET", "/health")
        return parsedate_to_datetime(answer.raise_for_status().headers["date"])

    @heard()
    def answers(self, flow_run_ids: Iterable[str]) -> dict[str, Answer]:
        """Return for each flow run id what Prefect knows of it."""
        now, requested = self.now(), sorted(set(flow_run_ids))
        valid = [flow_run_id for flow_run_id in requested if _is_id(flow_run_id)]
        found = {
            seen.flow_run_id: seen for batch in _batches(valid) for seen in self._read(batch, now)
        }
        return {flow_run_id: found.get(flow_run_id, NotKnown()) for flow_run_id in requested}

    @heard()
    def begun_since(self, since: timedelta) -> dict[str, FlowRunSeen]:
        """Return by id the trainings begun within `since` and all that run at Prefect."""
        from prefect.client.schemas import filters, objects

        now = self.now()
        recent = filters.FlowRunFilter(
            start_time=filters.FlowRunFilterStartTime(after_=now - since)
        )
        states = filters.FlowRunFilterStateType(
            any_=[objects.StateType.RUNNING, objects.StateType.CANCELLING]
        )
        open_ = filters.FlowRunFilter(state=filters.FlowRunFilterState(type=states))
        return {
            str(run.id): _seen(run, now)
            for selection in (recent, open_)
            for run in self._pages(selection, of_train=True)
        }

    @heard()
    def not_started(self, after: timedelta) -> tuple[NotStarted, ...]:
        """Return flow runs that a worker took longer than `after` ago and that have not begun.

        Cancelling is among them: of what has not begun, only a worker ends it.
        """
        from prefect.client.schemas import filters, objects

        now, pending = self.now(), objects.StateType.PENDING
        types = filters.FlowRunFilterStateType(any_=[pending, objects.StateType.CANCELLING])
        selection = filters.FlowRunFilter(state=filters.FlowRunFilterState(type=types))
        found: list[NotStarted] = []
        for run in self._pages(selection):
            seen = _seen(run, now)
            if seen.for_ < after or (seen.state_type != pending.value and run.run_count):
                continue
            line = self._log_line_of_pod(seen) if len(found) < MOST_LOGS else ""
            found.append(NotStarted(flow_run=seen, pool=run.work_pool_name or "", said=line))
        return tuple(found)

    def _log_line_of_pod(self, seen: FlowRunSeen) -> str:
        """Return the newest line of the worker's observer about this attempt; empty without one."""
        from prefect.client.schemas import filters, sorting

        log = filters.LogFilter(
            flow_run_id=filters.LogFilterFlowRunId(any_=[UUID(seen.flow_run_id)]),
            level=filters.LogFilterLevel(ge_=logging.WARNING),
            timestamp=filters.LogFilterTimestamp(after_=seen.changed - SETTLE),
        )
        lines = self._client.read_logs(log, limit=PAGE, sort=sorting.LogSort.TIMESTAMP_DESC)
        return next((each.message for each in lines if each.name == OBSERVER), "")

    @heard()
    def mark(self, seen: FlowRunSeen, mark: Mark) -> str | None:
        """Set the state of a flow run. Return why that failed; None when it succeeded."""
        from prefect.client.schemas.objects import State, StateType

        now = self._client.read_flow_run(UUID(seen.flow_run_id))
        if now.state is None or str(now.state.id) != seen.state_id:
            return f"its state is {now.state.name if now.state else 'nothing'} meanwhile"
        message = f"Set by the reconciler: {'; '.join(mark.evidence)}"
        state: State[None] = State(
            type=StateType[mark.state.upper()], name=mark.state, message=message
        )
        result = self._client.set_flow_run_state(UUID(seen.flow_run_id), state)
        return None if result.status.value == "ACCEPT" else f"Prefect answers {result.status.value}"

    @heard()
    def heartbeat(self, flow_run_id: str) -> datetime | None:
        """Return when Prefect last received a heartbeat of the flow run, by Prefect's clock."""
        from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

        resource = EventResourceFilter(id=[f"prefect.flow-run.{flow_run_id}"])
        selection = EventFilter(event=EventNameFilter(name=[HEARTBEAT]), resource=resource)
        page = self._client.read_events(selection, limit=1)
        return page.events[0].received if page.events else None  # the newest comes first

    def _read(self, flow_run_ids: list[str], now: datetime) -> Iterator[FlowRunSeen]:
        from prefect.client.schemas import filters

        selection = filters.FlowRunFilter(
            id=filters.FlowRunFilterId(any_=[UUID(each) for each in flow_run_ids])
        )
        for run in self._pages(selection):
            yield _seen(run, now)

    def _pages(self, selection: "FlowRunFilter", of_train: bool = False) -> Iterator["FlowRun"]:
        from prefect.client.schemas import filters

        flow = filters.FlowFilter(name=filters.FlowFilterName(any_=[FLOW])) if of_train else None
        offset = 0
        while page := self._client.read_flow_runs(
            flow_filter=flow,
            flow_run_filter=selection,
            limit=PAGE,
            offset=offset,
        ):
            yield from page
            if len(page) < PAGE:
                return
            offset += PAGE


def _batches(flow_run_ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(flow_run_ids), PAGE):
        yield flow_run_ids[start : start + PAGE]


def _seen(run: "FlowRun", now: datetime) -> FlowRunSeen:
    state, labels = run.state, run.labels
    return FlowRunSeen(
        flow_run_id=str(run.id),
        name=run.name,
        state_type=state.type.value if state else "PENDING",
        state_name=state.name or "" if state else "",
        state_id=str(state.id) if state else "",
        changed=state.timestamp if state else now,
        now=now,
        run_count=run.run_count,
        process=Process.from_json(str(labels.get(names.LABEL_PROCESS, ""))),
        process_run_count=int(labels.get(names.LABEL_RUN_COUNT, 0) or 0),
    )


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:  # a tag can hold anything
        return False
    return True
