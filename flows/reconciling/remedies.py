"""Acting on a plan: on each part by itself, and only on what is still so."""

import time
from collections.abc import Callable
from typing import Any

from flows.reconciling.flow_runs import FlowRuns, Silent
from flows.reconciling.survey import verdict_of
from onerun.domain.reconcile.marks import Mark
from onerun.domain.reconcile.plan import Plan
from onerun.domain.reconcile.seen import Answer, FlowRunSeen, NoAnswer, Policy, RunSeen
from onerun.domain.reconcile.verdicts import STILL, Dead
from onerun.tracking import running

Say = Callable[[str], None]


def apply(
    prefect: FlowRuns | None,
    plan: Plan,
    policy: Policy,
    say: Say,
    wait: float = STILL.total_seconds(),
) -> list[dict[str, Any]]:
    """Act on what is still so. Returns: what was done; where it was not, why it was `left` and whether that `failed`.

    Args: wait: seconds that a silent heart is watched, on a clock that only runs forward.
    """
    silent = [run for run, dead in plan.dead if dead.watch]
    if silent:
        say(
            f"watching {len(silent)} silent runs for {wait:.0f} s: one that gives a sign of life is left alone"
        )
        time.sleep(wait)
    done = [_ended(prefect, run, dead, policy) for run, dead in plan.dead]
    kept = {each["flow_run_id"] for each in done if each["left"]}
    done += [_marked(prefect, seen, mark, kept) for seen, mark in plan.marks]
    for each in done:
        which = f"run {each['run_id']}" if "run_id" in each else f"flow run {each['flow_run_id']}"
        say(
            f"  left   {which}: {each['left']}"
            if each["left"]
            else f"  done   {which} reads {each['becomes']}"
        )
    return done


def _ended(prefect: FlowRuns | None, run: RunSeen, dead: Dead, policy: Policy) -> dict[str, Any]:
    """Prefect is asked again, too: a retry shows there before it shows on the run."""
    told = {
        "what": "end",
        "run_id": run.run_id,
        "flow_run_id": run.flow_run_id,
        "becomes": dead.status,
    }
    return told | _tried(lambda: _not_dead(prefect, run, policy) or running.end_dead(run, dead))


def _marked(
    prefect: FlowRuns | None, seen: FlowRunSeen, mark: Mark, kept: set[str]
) -> dict[str, Any]:
    told = {"what": "mark", "flow_run_id": seen.flow_run_id, "becomes": mark.state}
    if seen.flow_run_id in kept or prefect is None:
        return told | {"left": "its run was left alone", "failed": False}
    return told | _tried(lambda: prefect.mark(seen, mark))


def _tried(act: Callable[[], str | None]) -> dict[str, Any]:
    try:
        return {"left": act(), "failed": False}
    except Silent as error:
        return {"left": f"Prefect does not answer any more ({error})", "failed": True}
    except Exception as error:  # noqa: BLE001  # of whatever kind of store: what fails with one run must not keep the others
        return {"left": f"{type(error).__name__}: {error}".splitlines()[0], "failed": True}


def _not_dead(prefect: FlowRuns | None, run: RunSeen, policy: Policy) -> str | None:
    """Returns: why a run is not dead after all; of others only the run itself can be looked at again."""
    if not run.is_ours:
        return None
    answer: Answer = NoAnswer()
    if run.flow_run_id is not None and prefect is not None:
        answer = prefect.answers([run.flow_run_id])[run.flow_run_id]
    verdict = verdict_of(prefect, run, answer, policy)
    return None if isinstance(verdict, Dead) else verdict.why
