"""Acting on a plan: on each part by itself, and only on what is still so."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from onerun.domain.reconcile.marks import Mark
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.domain.reconcile.seen import Answer, FlowRunSeen, NoAnswer, ReconcilePolicy, RunSeen
from onerun.domain.reconcile.verdicts import STILL, Dead
from onerun.reconcile.source import FlowRunSource, SourceUnreachable
from onerun.reconcile.survey import verdict_of
from onerun.tracking import running

Say = Callable[[str], None]


class EndedRun(BaseModel):
    """What became of a dead run. left: why it was left alone, if it was; failed: whether that is a failure."""

    what: str = "end"
    run_id: str
    flow_run_id: str | None
    becomes: str
    left: str | None
    failed: bool

    @property
    def label(self) -> str:
        """How a person knows it."""
        return f"run {self.run_id}"


class MarkedFlowRun(BaseModel):
    """What became of a flow run that Prefect takes for running. left, failed: as of a run."""

    what: str = "mark"
    flow_run_id: str
    becomes: str
    left: str | None
    failed: bool

    @property
    def label(self) -> str:
        """How a person knows it."""
        return f"flow run {self.flow_run_id}"


@dataclass(frozen=True)
class _Attempt:
    """What came of one action."""

    left: str | None
    failed: bool = False


def apply(
    source: FlowRunSource | None,
    plan: ReconcilePlan,
    policy: ReconcilePolicy,
    say: Say,
    wait: float = STILL.total_seconds(),
) -> list[EndedRun | MarkedFlowRun]:
    """Act on what is still so, and return what was done.

    Args:
        wait: seconds that a silent heartbeat is watched before its run is ended.
    """
    quiet = [run for run, dead in plan.dead if dead.watch]
    if quiet:
        say(
            f"watching {len(quiet)} silent runs for {wait:.0f} s: "
            "one that gives a sign of life is left alone"
        )
        time.sleep(wait)
    ended = [_end(source, run, dead, policy) for run, dead in plan.dead]
    kept = {each.flow_run_id for each in ended if each.left}
    marked = [_mark(source, seen, mark, kept) for seen, mark in plan.marks]
    done: list[EndedRun | MarkedFlowRun] = [*ended, *marked]
    for each in done:
        if each.left:
            say(f"  left   {each.label}: {each.left}")
        else:
            say(f"  done   {each.label} is {each.becomes}")
    return done


def _end(
    source: FlowRunSource | None, run: RunSeen, dead: Dead, policy: ReconcilePolicy
) -> EndedRun:
    """Prefect is asked again, too: a retry shows there before it shows on the run."""
    came = _try(lambda: _not_dead(source, run, policy) or running.end_dead(run, dead))
    return EndedRun(
        run_id=run.run_id,
        flow_run_id=run.flow_run_id,
        becomes=dead.status,
        left=came.left,
        failed=came.failed,
    )


def _mark(
    source: FlowRunSource | None, seen: FlowRunSeen, mark: Mark, kept: set[str | None]
) -> MarkedFlowRun:
    came = _Attempt("its run was left alone")
    if source is not None and seen.flow_run_id not in kept:
        came = _try(lambda: source.mark(seen, mark))
    return MarkedFlowRun(
        flow_run_id=seen.flow_run_id, becomes=mark.state, left=came.left, failed=came.failed
    )


def _try(act: Callable[[], str | None]) -> _Attempt:
    """Act. What fails with one run must not keep the others from being put right."""
    try:
        return _Attempt(act())
    except SourceUnreachable as error:
        return _Attempt(f"Prefect does not answer any more ({error})", failed=True)
    except Exception as error:  # noqa: BLE001  # of whatever kind of store
        return _Attempt(f"{type(error).__name__}: {error}".splitlines()[0], failed=True)


def _not_dead(source: FlowRunSource | None, run: RunSeen, policy: ReconcilePolicy) -> str | None:
    """Return why a run is not dead after all; of others only the run itself can be looked at again."""
    if not run.is_ours:
        return None
    answer: Answer = NoAnswer()
    if run.flow_run_id is not None and source is not None:
        answer = source.answers([run.flow_run_id])[run.flow_run_id]
    verdict = verdict_of(source, run, answer, policy)
    return None if isinstance(verdict, Dead) else verdict.why
