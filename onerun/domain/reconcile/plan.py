"""The reconciler's plan: what it would end and mark, what it leaves and why, what does not fit together."""

from collections.abc import Iterator
from typing import Any

from onerun.domain.reconcile.marks import Mark
from onerun.domain.reconcile.not_started import NotStarted
from onerun.domain.reconcile.seen import FlowRunSeen, RunSeen, Seen
from onerun.domain.reconcile.verdicts import Dead, Verdict

MOST_NOTES = 20


class RunNamed(Seen):
    """A run, as the plan names it."""

    run_id: str
    name: str
    experiment: str
    flow_run_id: str | None


class RunToEnd(RunNamed):
    """A dead run, the status that it gets, and why."""

    status: str
    evidence: tuple[str, ...]


class RunToLeave(RunNamed):
    """A run that is left alone, and why."""

    verdict: str
    why: str


class FlowRunNamed(Seen):
    """A flow run, as the plan names it."""

    flow_run_id: str
    name: str
    state: str


class FlowRunToMark(FlowRunNamed):
    """A flow run that Prefect takes for running, the state that it gets, and why."""

    becomes: str
    evidence: tuple[str, ...]


class NotStartedFlowRun(FlowRunNamed):
    """A flow run that a worker took and that does not begin, its pool, and why."""

    pool: str
    why: str


class UnknownFlowRun(Seen):
    """A run that names a flow run which Prefect does not know."""

    run_id: str
    flow_run_id: str


class PlanReport(Seen):
    """The plan as plain values. prefect: `answers`, or why it does not."""

    end: list[RunToEnd]
    mark: list[FlowRunToMark]
    leave: list[RunToLeave]
    flow_runs_without_run: list[FlowRunNamed]
    runs_without_flow_run: list[UnknownFlowRun]
    flow_runs_not_started: list[NotStartedFlowRun]
    prefect: str


class ReconcilePlan(Seen):
    """What was seen and decided, before anything is done."""

    runs: tuple[tuple[RunSeen, Verdict], ...] = ()
    marks: tuple[tuple[FlowRunSeen, Mark], ...] = ()
    without_run: tuple[FlowRunSeen, ...] = ()  # flow runs that no MLflow run names
    without_flow_run: tuple[
        tuple[str, str], ...
    ] = ()  # (run id, flow run id that Prefect does not know)
    not_started: tuple[NotStarted, ...] = ()  # flow runs whose pod, perhaps, cannot start
    prefect: str = ""  # why Prefect did not answer; empty when it did

    @property
    def dead(self) -> tuple[tuple[RunSeen, Dead], ...]:
        """The runs to end."""
        return tuple((run, verdict) for run, verdict in self.runs if isinstance(verdict, Dead))

    def report(self) -> "PlanReport":
        """Return the plan as `--json` prints it."""
        return PlanReport(
            end=[
                RunToEnd(**_run(run), status=dead.status, evidence=dead.evidence)
                for run, dead in self.dead
            ],
            mark=[
                FlowRunToMark(**_flow_run(seen), becomes=mark.state, evidence=mark.evidence)
                for seen, mark in self.marks
            ],
            leave=[
                RunToLeave(**_run(run), verdict=type(verdict).__name__, why=verdict.why)
                for run, verdict in self.runs
                if not isinstance(verdict, Dead)
            ],
            flow_runs_without_run=[FlowRunNamed(**_flow_run(seen)) for seen in self.without_run],
            runs_without_flow_run=[
                UnknownFlowRun(run_id=run, flow_run_id=key) for run, key in self.without_flow_run
            ],
            flow_runs_not_started=[
                NotStartedFlowRun(**_flow_run(each.flow_run), pool=each.pool, why=each.why)
                for each in self.not_started
            ],
            prefect=self.prefect or "answers",
        )

    def lines(self) -> Iterator[str]:
        """Yield the plan as a person reads it."""
        ours = sum(run.is_ours for run, _ in self.runs)
        others = len(self.runs) - ours
        yield f"runs with status RUNNING: {ours} of ours, {others} of others; {len(self.dead)} of them dead"
        if self.prefect:
            yield f"  Prefect does not answer ({self.prefect}): what hangs on it is left as it is"
        for run, dead in self.dead:
            yield f"  end    {_label(run)}: {dead.status}"
            yield from (f"           {fact}" for fact in dead.evidence)
        for seen, mark in self.marks:
            yield f"  mark   flow run {seen.name} {seen.flow_run_id}: {seen.state_name} -> {mark.state}"
            yield from (f"           {fact}" for fact in mark.evidence)
        for run, verdict in self.runs:
            if not isinstance(verdict, Dead) and type(verdict).__name__ != "NotOurs":
                yield f"  leave  {_label(run)}: {verdict.why}"
        notes = [f"flow run {each.line}: {each.why}" for each in self.not_started]
        notes += [
            f"flow run {each.name} {each.flow_run_id} ({each.state_name}) has no MLflow run here"
            for each in self.without_run
        ]
        notes += [
            f"run {run} names flow run {key}, which Prefect does not know"
            for run, key in self.without_flow_run
        ]
        yield from (f"  note   {note}" for note in notes[:MOST_NOTES])
        if len(notes) > MOST_NOTES:
            yield f"  note   and {len(notes) - MOST_NOTES} more of these; --json names all"

    def rows(self) -> list[dict[str, str]]:
        """Return the plan as rows of one table."""
        ended = [
            {
                "what": "end run",
                "which": run.run_id,
                "becomes": dead.status,
                "why": "; ".join(dead.evidence),
            }
            for run, dead in self.dead
        ]
        marked = [
            {
                "what": "mark flow run",
                "which": seen.flow_run_id,
                "becomes": mark.state,
                "why": "; ".join(mark.evidence),
            }
            for seen, mark in self.marks
        ]
        left = [
            {"what": "leave run", "which": run.run_id, "becomes": "RUNNING", "why": verdict.why}
            for run, verdict in self.runs
            if not isinstance(verdict, Dead)
        ]
        notes = [
            {
                "what": "note",
                "which": seen.flow_run_id,
                "becomes": seen.state_name,
                "why": "no MLflow run names it",
            }
            for seen in self.without_run
        ]
        unknown = [
            {
                "what": "note",
                "which": run,
                "becomes": "",
                "why": f"names flow run {key}, which Prefect does not know",
            }
            for run, key in self.without_flow_run
        ]
        waiting = [
            {
                "what": "note",
                "which": each.flow_run.flow_run_id,
                "becomes": each.flow_run.state_name,
                "why": f"{each.line}: {each.why}",
            }
            for each in self.not_started
        ]
        return [*ended, *marked, *left, *waiting, *notes, *unknown]


def _label(run: RunSeen) -> str:
    return f"run {run.run_id} {run.name} in {run.experiment}"


def _run(run: RunSeen) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "flow_run_id": run.flow_run_id,
    }


def _flow_run(seen: FlowRunSeen) -> dict[str, Any]:
    return {"flow_run_id": seen.flow_run_id, "name": seen.name, "state": seen.state_name}
