"""Whether a run with status RUNNING is alive, dead, or that cannot be known: decided from what was seen, without a clock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from onerun.domain import names
from onerun.domain.reconcile.seen import (
    BEAT,
    SETTLE,
    Answer,
    FlowRunSeen,
    NoAnswer,
    NotKnown,
    ProcessState,
    ReconcilePolicy,
    RunSeen,
    Seen,
    ago,
    at,
)

Status = Literal["FINISHED", "FAILED", "KILLED"]
ENDED: Mapping[str, Status] = {
    "COMPLETED": "FINISHED",
    "FAILED": "FAILED",
    "CANCELLED": "KILLED",
    "CRASHED": "KILLED",
}
STILL = 2.5 * BEAT  # how long a heart is watched before its silence counts
WAITING = ("SCHEDULED", "PAUSED", "PENDING")  # no process is expected; one may start any moment


class Live(Seen):
    """Leave it: something works on it, or will."""

    why: str


class Dead(Seen):
    """End it."""

    status: Status
    evidence: tuple[str, ...]
    watch: bool = (
        False  # the evidence hangs on silence: see that the heart stands still before acting
    )


class Unknown(Seen):
    """Leave it: what is known does not suffice."""

    why: str


class NotOurs(Seen):
    """Leave it: made by something else."""

    why: str = "not made by a training of onerun"


Verdict = Live | Dead | Unknown | NotOurs


def decide(
    run: RunSeen, answer: Answer, process: ProcessState, now: datetime, policy: ReconcilePolicy
) -> Verdict:
    """What to do about one run.

    Args:
        answer: what Prefect knows of the flow run that the run names.
        process: what a look at this machine's processes says of the run's.
        now: this machine's clock; it may differ from the owner's, hence `Dead.watch`.
    """
    if run.protected:
        return Live(why=f"tag {names.TAG_RECONCILE} is `never`")
    if not run.is_ours:
        return _of_others(run, now, policy)
    if process is ProcessState.ALIVE:
        return Live(why=f"its process {_process(run)} is alive")
    if run.flow_run_id is None:
        return _without_prefect(run, process, now, policy)
    if isinstance(answer, NoAnswer):
        return Unknown(
            why=f"Prefect does not answer{_dead_process(run, process)}; nothing is decided without it"
        )
    if isinstance(answer, FlowRunSeen) and answer.state_type in WAITING:
        return Live(why=f"{answer.description}: an attempt may start any moment")
    if process.is_dead:
        return _without_process(run, answer, process)
    return _elsewhere(run, answer, now, policy)


def _without_prefect(
    run: RunSeen, process: ProcessState, now: datetime, policy: ReconcilePolicy
) -> Verdict:
    """A training without Prefect: its process and its heartbeat are all there is."""
    if process.is_dead:
        return Dead(status="KILLED", evidence=(_is_dead(run, process),))
    if run.heartbeat is None:
        return Unknown(why=f"no heartbeat was ever written and its process is on {_host(run)}")
    quiet = now - run.heartbeat
    if quiet < policy.heartbeat_timeout:
        return Live(why=f"heartbeat {ago(quiet)} ago on {_host(run)}")
    heart = f"no heartbeat since {at(run.heartbeat)} ({ago(quiet)})"
    return Dead(status="KILLED", evidence=(heart,), watch=True)


def _without_process(run: RunSeen, answer: Answer, process: ProcessState) -> Verdict:
    """The process that opened the run last is certainly gone; is another one at work that has not opened it yet?"""
    dead = _is_dead(run, process)
    if not isinstance(answer, FlowRunSeen):
        return Dead(status="KILLED", evidence=(dead, "Prefect does not know its flow run"))
    if answer.state_type not in ENDED and answer.run_count > run.run_count:
        return Live(
            why=f"attempt {answer.run_count} is under way and has not opened the run yet ({answer.description})"
        )
    return Dead(status=_status(run, answer), evidence=(dead, *_reported(run, answer)))


def _elsewhere(run: RunSeen, answer: Answer, now: datetime, policy: ReconcilePolicy) -> Verdict:
    """Another machine's process: its heart, and Prefect, are all there is."""
    if run.heartbeat is None:
        return _without_heart(run, answer)
    quiet = now - run.heartbeat
    settled = isinstance(answer, FlowRunSeen) and answer.state_type in ENDED
    if quiet < (SETTLE if settled else policy.heartbeat_timeout):
        though = (
            f", though {answer.description}" if isinstance(answer, FlowRunSeen) and settled else ""
        )
        return Live(why=f"heartbeat {ago(quiet)} ago on {_host(run)}{though}")
    heart = f"no heartbeat since {at(run.heartbeat)} ({ago(quiet)})"
    if isinstance(answer, NotKnown):
        return Dead(
            status="KILLED", evidence=(heart, "Prefect does not know its flow run"), watch=True
        )
    assert isinstance(answer, FlowRunSeen)
    if answer.for_ < (SETTLE if settled else policy.heartbeat_timeout):
        return Live(why=f"{answer.description}: too short ago to tell")
    if (
        not settled
        and answer.heartbeat is not None
        and answer.now - answer.heartbeat < policy.heartbeat_timeout
    ):
        return Live(why=f"Prefect heard of it {ago(answer.now - answer.heartbeat)} ago")
    return Dead(status=_status(run, answer), evidence=(heart, *_reported(run, answer)), watch=True)


def _without_heart(run: RunSeen, answer: Answer) -> Verdict:
    """A run that never had a heartbeat: only what Prefect reports as ended, is."""
    if isinstance(answer, FlowRunSeen) and answer.state_type in ENDED and answer.for_ >= SETTLE:
        return Dead(status=_status(run, answer), evidence=_reported(run, answer), watch=True)
    reported = (
        answer.description
        if isinstance(answer, FlowRunSeen)
        else "Prefect does not know its flow run"
    )
    return Unknown(
        why=f"no heartbeat was ever written and its process is on {_host(run)}; {reported}"
    )


def _of_others(run: RunSeen, now: datetime, policy: ReconcilePolicy) -> Verdict:
    if policy.also_older_than is None:
        return NotOurs()
    quiet = now - run.last_sign
    if quiet < policy.also_older_than + SETTLE:
        return NotOurs(why=f"not made by a training of onerun; last sign of life {ago(quiet)} ago")
    option = f"--also-older-than {ago(policy.also_older_than)}"
    return Dead(
        status="KILLED", evidence=(f"no sign of life since {at(run.last_sign)}", option), watch=True
    )


def _status(run: RunSeen, answer: FlowRunSeen) -> Status:
    """Completed counts only when every stage is on record: a person can say Completed of anything."""
    status = ENDED.get(answer.state_type, "KILLED")
    return "KILLED" if status == "FINISHED" and _missing(run) else status


def _reported(run: RunSeen, answer: FlowRunSeen) -> tuple[str, ...]:
    missing = _missing(run) if answer.state_type == "COMPLETED" else []
    return (answer.description, *[f"not on record: {', '.join(missing)}"] * bool(missing))


def _missing(run: RunSeen) -> list[str]:
    return [stage for stage in names.STAGES if stage not in run.stages]


def _process(run: RunSeen) -> str:
    return f"{run.process.pid} on {run.process.host}" if run.process else "of its owner"


def _host(run: RunSeen) -> str:
    return run.process.host if run.process else "an unknown machine"


def _is_dead(run: RunSeen, process: ProcessState) -> str:
    return f"process {_process(run)} is dead ({process.value})"


def _dead_process(run: RunSeen, process: ProcessState) -> str:
    return f" (process {_process(run)} is dead)" if process.is_dead else ""
