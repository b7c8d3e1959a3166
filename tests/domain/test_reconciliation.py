"""What is decided of a run that reads RUNNING, as a table; no clock, no server, no process."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onerun.domain.names import STAGES
from onerun.domain.reconcile.marks import mark
from onerun.domain.reconcile.nested import EndedParent, follow
from onerun.domain.reconcile.seen import (
    Answer,
    FlowRunSeen,
    NoAnswer,
    NotKnown,
    Process,
    ProcessState,
    ReconcilePolicy,
    RunSeen,
)
from onerun.domain.reconcile.verdicts import Dead, Live, NotOurs, Unknown, Verdict, decide

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HERE = Process(host="here", pid=7, boot="b", namespace="n", start=1)
ALIVE, GONE, ELSEWHERE = ProcessState.ALIVE, ProcessState.MISSING, ProcessState.ELSEWHERE
OURS = {"flow_run_id": "f", "attempt": 1, "run_count": 1, "process": HERE}


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def run(beat: float | None = 0, **known: Any) -> RunSeen:
    """`beat`: minutes since the last heartbeat, by the owner's clock."""
    heart = None if beat is None else NOW - minutes(beat)
    return RunSeen(
        **{"run_id": "r", "started": NOW - minutes(6000), "heartbeat": heart, **OURS, **known}
    )


def prefect(state: str, since: float = 60, **known: Any) -> FlowRunSeen:
    """`since`: minutes. Prefect's clock is three hours behind everybody's: it must not matter."""
    now = NOW - minutes(180)
    shown = {
        "state_name": state.title(),
        "changed": now - minutes(since),
        "now": now,
        "run_count": 1,
    }
    return FlowRunSeen(flow_run_id="f", state_type=state, **{**shown, **known})


def decided(seen: RunSeen, answer: Answer, process: ProcessState, **policy: Any) -> Verdict:
    return decide(seen, answer, process, NOW, ReconcilePolicy(**policy))


@pytest.mark.parametrize(
    "answer", [prefect(state) for state in ("RUNNING", "CRASHED", "FAILED", "COMPLETED")]
)
@pytest.mark.parametrize("beat", [0, 600, -600, None])
def test_a_process_that_is_alive_settles_it(answer: Answer, beat: float | None) -> None:
    assert isinstance(decided(run(beat), answer, ALIVE), Live)
    assert isinstance(decided(run(beat), NotKnown(), ALIVE), Live)
    assert isinstance(decided(run(beat), NoAnswer(why="refused"), ALIVE), Live)


@pytest.mark.parametrize("process", list(ProcessState))
@pytest.mark.parametrize("beat", [0, 6000, -6000, None])
def test_nothing_is_ended_while_prefect_does_not_answer(
    process: ProcessState, beat: float | None
) -> None:
    assert isinstance(decided(run(beat), NoAnswer(why="refused"), process), (Live, Unknown))


@pytest.mark.parametrize("state", ["SCHEDULED", "PAUSED", "PENDING"])
@pytest.mark.parametrize("process", list(ProcessState))
@pytest.mark.parametrize("beat", [0, 6000, None])
def test_nothing_is_ended_that_waits_for_a_retry(
    state: str, process: ProcessState, beat: float | None
) -> None:
    assert isinstance(decided(run(beat), prefect(state, since=6000), process), Live)


@pytest.mark.parametrize(
    ("state", "stages", "status"),
    [
        ("COMPLETED", STAGES, "FINISHED"),
        ("COMPLETED", STAGES[:3], "KILLED"),
        ("FAILED", (), "FAILED"),
        ("CANCELLED", (), "KILLED"),
        ("CRASHED", (), "KILLED"),
        ("RUNNING", (), "KILLED"),
        ("CANCELLING", (), "KILLED"),
    ],
)
@pytest.mark.parametrize("process", [GONE, ProcessState.REUSED, ProcessState.REBOOTED])
def test_a_process_that_is_gone_ends_the_run_as_prefect_says(
    state: str, stages: tuple[str, ...], status: str, process: ProcessState
) -> None:
    for beat in (0, 600, -600):  # its last heartbeat may be seconds ago, and by any clock
        verdict = decided(run(beat, stages=stages), prefect(state, since=0), process)
        assert isinstance(verdict, Dead) and (verdict.status, verdict.watch) == (status, False)
        assert "process 7 on here is dead" in verdict.evidence[0]


def test_a_flow_run_that_prefect_does_not_know_is_dead_with_its_process() -> None:
    verdict = decided(run(), NotKnown(), GONE)
    assert isinstance(verdict, Dead) and verdict.status == "KILLED"


def test_a_newer_attempt_that_has_not_opened_the_run_yet_is_waited_for() -> None:
    for known in ({}, {"process": HERE, "process_run_count": 1}):
        assert isinstance(decided(run(), prefect("RUNNING", run_count=2, **known), GONE), Live)
    assert isinstance(decided(run(run_count=2), prefect("RUNNING", run_count=2), GONE), Dead)


@pytest.mark.parametrize(
    "beat", [0, 29, -600], ids=["now", "almost", "a clock that is hours ahead"]
)
def test_a_heart_that_beats_elsewhere_is_left_alone(beat: float) -> None:
    assert isinstance(decided(run(beat), prefect("RUNNING", since=600), ELSEWHERE), Live)
    assert isinstance(decided(run(beat), NotKnown(), ELSEWHERE), Live)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (prefect("RUNNING"), Dead),
        (prefect("CANCELLING"), Dead),
        (prefect("CRASHED"), Dead),
        (NotKnown(), Dead),
        (prefect("RUNNING", since=29), Live),  # perhaps a new attempt
        (prefect("CRASHED", since=4), Live),  # perhaps it is just ending
        (
            prefect("RUNNING", heartbeat=NOW - minutes(180 + 10)),
            Live,
        ),  # ten minutes ago by Prefect's clock
        (prefect("RUNNING", heartbeat=NOW - minutes(180 + 31)), Dead),
    ],
)
def test_a_silent_heart_elsewhere_is_dead_only_when_prefect_has_not_heard_of_it_either(
    answer: Answer, verdict: type
) -> None:
    found = decided(run(40), answer, ELSEWHERE)
    assert isinstance(found, verdict)
    assert not isinstance(found, Dead) or found.watch, (
        "silence is told by clocks: it must be watched"
    )


def test_what_prefect_has_seen_end_elsewhere_needs_minutes_of_silence_only() -> None:
    assert isinstance(decided(run(6), prefect("CRASHED"), ELSEWHERE), Dead)
    assert isinstance(decided(run(4), prefect("CRASHED"), ELSEWHERE), Live)
    assert isinstance(decided(run(6), prefect("RUNNING"), ELSEWHERE), Live)


def test_without_any_heartbeat_only_what_prefect_has_seen_end_is_dead() -> None:
    assert isinstance(decided(run(None), prefect("FAILED"), ELSEWHERE), Dead)
    for answer in (prefect("FAILED", since=4), prefect("RUNNING", since=6000), NotKnown()):
        assert isinstance(decided(run(None), answer, ProcessState.UNKNOWN), Unknown)


def test_runs_of_others_are_left_alone_unless_their_age_is_named() -> None:
    theirs = {"flow_run_id": None, "process": None, "last_metric": NOW - timedelta(days=8)}
    old = run(None, **{**theirs, "started": NOW - timedelta(days=30)})
    assert isinstance(decided(old, NotKnown(), ProcessState.UNKNOWN), NotOurs)
    named = decided(old, NotKnown(), ProcessState.UNKNOWN, also_older_than=timedelta(days=7))
    assert isinstance(named, Dead) and named.watch and "--also-older-than 7 d" in named.evidence
    for span in (8, 9):
        later = decided(old, NotKnown(), ProcessState.UNKNOWN, also_older_than=timedelta(days=span))
        assert isinstance(later, NotOurs)


def test_a_person_s_word_holds() -> None:
    assert isinstance(decided(run(protected=True), prefect("CRASHED"), GONE), Live)


def test_nested_runs_live_and_die_with_ours() -> None:
    def nested(run_id: str, parent: str, started: float = 90) -> RunSeen:
        return run(
            None, run_id=run_id, parent=parent, flow_run_id=None, started=NOW - minutes(started)
        )

    ended = {"e": EndedParent(run_id="e", status="FAILED", end=NOW - minutes(60))}
    runs = {each.run_id: each for each in [
        run(run_id="dead"), run(run_id="live"), nested("a", "dead"), nested("a.a", "a"), nested("b", "live"),
        nested("c", "theirs"), nested("d", "e"), nested("later", "e", started=30), nested("loop", "loop"),
    ]}  # fmt: skip
    alone: dict[str, Verdict] = {key: NotOurs() for key in runs}
    alone |= {"dead": Dead(status="FAILED", evidence=("x",)), "live": Live(why="y")}
    changed = dict(follow(runs, alone, ended, NOW))
    assert {key for key, verdict in changed.items() if isinstance(verdict, Dead)} == {
        "a",
        "a.a",
        "d",
    }
    assert {verdict.status for verdict in changed.values() if isinstance(verdict, Dead)} == {
        "KILLED"
    }
    assert isinstance(changed["b"], Live)
    assert set(changed) == {"a", "a.a", "b", "d"}


DEAD = Dead(status="KILLED", evidence=("silent",), watch=True)


@pytest.mark.parametrize(
    ("state", "process", "verdict", "reads", "becomes"),
    [
        ("RUNNING", ELSEWHERE, DEAD, None, "Crashed"),
        ("CANCELLING", ELSEWHERE, DEAD, None, "Cancelled"),
        ("RUNNING", GONE, None, None, "Crashed"),  # died before it had a run
        ("RUNNING", GONE, None, "FINISHED", "Completed"),  # died before it could tell Prefect
        ("RUNNING", GONE, None, "FAILED", "Failed"),
        ("RUNNING", GONE, None, "KILLED", "Crashed"),
        ("RUNNING", ALIVE, DEAD, None, None),
        ("RUNNING", ALIVE, None, None, None),
        ("RUNNING", ELSEWHERE, None, None, None),
        ("RUNNING", GONE, Live(why="it beats"), None, None),
        ("PENDING", GONE, DEAD, None, None),
        ("SCHEDULED", GONE, DEAD, None, None),
        ("FAILED", GONE, DEAD, None, None),
    ],
)
def test_what_a_flow_run_should_read(
    state: str,
    process: ProcessState,
    verdict: Verdict | None,
    reads: str | None,
    becomes: str | None,
) -> None:
    marked = mark(prefect(state, process=HERE, process_run_count=1), process, verdict, reads)
    assert (marked.state if marked else None) == becomes


def test_a_process_of_an_earlier_try_says_nothing_of_this_one() -> None:
    assert (
        mark(prefect("RUNNING", process=HERE, process_run_count=1, run_count=2), GONE, None, None)
        is None
    )
