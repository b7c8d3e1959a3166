"""Find runs with status RUNNING whose training is dead. Read-only."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from onerun.domain.reconcile.marks import Mark, mark
from onerun.domain.reconcile.nested import follow
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.domain.reconcile.seen import (
    SETTLE,
    Answer,
    FlowRunSeen,
    NoAnswer,
    NotKnown,
    ReconcilePolicy,
    RunSeen,
)
from onerun.domain.reconcile.verdicts import ENDED, Dead, Verdict, decide
from onerun.processes.identity import state_of
from onerun.reconcile.source import FlowRunSource, SourceUnreachable
from onerun.tracking import running

SINCE = timedelta(
    days=1
)  # how far back flow runs and runs are compared that nothing works on any more
Named = Mapping[str, list[tuple[str, str]]]  # flow run id -> (run id, what it reads)


def plan(
    prefect: FlowRunSource | None, policy: ReconcilePolicy, unreachable: str = ""
) -> ReconcilePlan:
    """See and decide; nothing is changed.

    Args: prefect: None when it does not answer; `unreachable` is the reason.
    """
    if running.nothing_there():
        return ReconcilePlan(prefect=unreachable)
    runs = running.running(policy.experiments)
    try:
        if prefect is not None:
            return _plan(prefect, runs, policy)
    except SourceUnreachable as error:
        unreachable = str(error)
    verdicts = _verdicts(None, runs, {}, policy)
    return ReconcilePlan(
        runs=tuple((run, verdicts[run_id]) for run_id, run in runs.items()), prefect=unreachable
    )


def _plan(
    prefect: FlowRunSource, runs: Mapping[str, RunSeen], policy: ReconcilePolicy
) -> ReconcilePlan:
    answers = prefect.answers(run.flow_run_id for run in runs.values() if run.flow_run_id)
    runs = {
        run_id: _with_process(run, answers.get(run.flow_run_id or ""))
        for run_id, run in runs.items()
    }
    verdicts = _verdicts(prefect, runs, answers, policy)
    begun = prefect.begun_since(SINCE)
    named = running.named_flow_runs(datetime.now(UTC) - SINCE)
    return ReconcilePlan(
        runs=tuple((run, verdicts[run_id]) for run_id, run in runs.items()),
        marks=tuple(_marks(begun, named, runs, verdicts, everywhere=not policy.experiments)),
        without_run=tuple(seen for seen in begun.values() if _has_no_run(seen, named)),
        without_flow_run=tuple(_unknown(prefect, {**named, **_named(runs)}, answers)),
        not_started=prefect.not_started(policy.slow_start),
    )


def _verdicts(
    prefect: FlowRunSource | None,
    runs: Mapping[str, RunSeen],
    answers: Mapping[str, Answer],
    policy: ReconcilePolicy,
) -> dict[str, Verdict]:
    """Return run id -> what to do about it, those nested in runs of ours with them."""
    alone = {
        run_id: verdict_of(prefect, run, answers.get(run.flow_run_id or "", NoAnswer()), policy)
        for run_id, run in runs.items()
    }
    parents = running.ended_parents(
        run.parent for run in runs.values() if run.parent and run.parent not in runs
    )
    return alone | dict(follow(runs, alone, parents, datetime.now(UTC)))


def verdict_of(
    prefect: FlowRunSource | None, run: RunSeen, answer: Answer, policy: ReconcilePolicy
) -> Verdict:
    """Prefect's record of heartbeats is read only where life hangs on it."""
    process, now = state_of(run.process, run.last_sign), datetime.now(UTC)
    verdict = decide(run, answer, process, now, policy)
    asks = isinstance(verdict, Dead) and verdict.watch and isinstance(answer, FlowRunSeen)
    if not (
        asks and prefect and isinstance(answer, FlowRunSeen) and answer.state_type not in ENDED
    ):
        return verdict
    heard = answer.model_copy(update={"heartbeat": prefect.heartbeat(answer.flow_run_id)})
    return decide(run, heard, process, now, policy)


def _with_process(run: RunSeen, answer: Answer | None) -> RunSeen:
    """Prefect may have been told of a newer process: one that died before it could open the run."""
    if (
        not isinstance(answer, FlowRunSeen)
        or answer.process is None
        or answer.process_run_count < answer.run_count
    ):
        return run
    if run.process is not None and answer.process_run_count <= run.run_count:
        return run
    return run.model_copy(update={"process": answer.process, "run_count": answer.process_run_count})


def _marks(
    begun: Mapping[str, FlowRunSeen],
    named: Named,
    runs: Mapping[str, RunSeen],
    verdicts: Mapping[str, Verdict],
    everywhere: bool,
) -> Iterator[tuple[FlowRunSeen, Mark]]:
    """Where only some experiments are looked at, only flow runs that have a run there."""
    of_flow_run = {
        run.flow_run_id: verdicts[run_id] for run_id, run in runs.items() if run.flow_run_id
    }
    for key, seen in begun.items():
        if not everywhere and key not in of_flow_run:
            continue
        reads = next((status for _, status in named.get(key, []) if status != "RUNNING"), None)
        marked = mark(seen, state_of(seen.process), of_flow_run.get(key), reads)
        if marked is not None:
            yield seen, marked


def _has_no_run(seen: FlowRunSeen, named: Named) -> bool:
    """One that has only begun may not have opened its run yet, and one that waits for its time has not begun."""
    young = seen.state_type not in ENDED and seen.for_ < SETTLE
    if young or (seen.state_type == "SCHEDULED" and not seen.run_count):
        return False
    return seen.flow_run_id not in named and not running.of_flow_run(seen.flow_run_id)


def _named(runs: Mapping[str, RunSeen]) -> Named:
    return {
        run.flow_run_id: [(run_id, "RUNNING")] for run_id, run in runs.items() if run.flow_run_id
    }


def _unknown(
    prefect: FlowRunSource, named: Named, answers: Mapping[str, Answer]
) -> Iterator[tuple[str, str]]:
    """Yield run id, flow run id, where Prefect does not know the flow run."""
    told = {**prefect.answers(key for key in named if key not in answers), **answers}
    for flow_run_id, found in named.items():
        if isinstance(told[flow_run_id], NotKnown):
            yield from ((run_id, flow_run_id) for run_id, _ in found)
