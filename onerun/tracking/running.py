"""Runs with status RUNNING, of onerun or not: found in bulk, rechecked, and ended when their owner is dead."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.domain import names
from onerun.domain.reconcile.nested import EndedParent
from onerun.domain.reconcile.seen import Process, RunSeen
from onerun.domain.reconcile.verdicts import Dead
from onerun.domain.text import matches
from onerun.tracking.lifecycle import identity_of, now, training_lock
from onerun.tracking.moves import who
from onerun.tracking.runs import client, find_run, set_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000  # runs, or experiments, of one answer
EXPERIMENTS_PER_SEARCH = 200  # their ids travel with each search
PARENT = "mlflow.parentRunId"


def nothing_there() -> bool:
    """Whether the store is an SQLite file that was never made: looking must not make it."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    return (
        uri.startswith("sqlite") and not Path(uri.partition(":///")[2].partition("?")[0]).exists()
    )


def running(experiments: Sequence[str] = ()) -> dict[str, RunSeen]:
    """Return run id -> run, of every run with status RUNNING in an experiment whose name matches one of the globs."""
    named = experiments_named(experiments)
    found = search(named, "attributes.status = 'RUNNING'")
    return {run.info.run_id: _seen(run, named[run.info.experiment_id]) for run in found}


def named_flow_runs(
    since: datetime, experiments: Sequence[str] = ()
) -> dict[str, list[tuple[str, str]]]:
    """Return flow run id -> (run id, status) of every run of ours that was begun after `since`."""
    begun = int(since.timestamp() * 1000)
    condition = f"attributes.start_time > {begun} AND tags.`{names.TAG_FLOW_RUN_ID}` LIKE '%'"
    named: dict[str, list[tuple[str, str]]] = {}
    for run in search(experiments_named(experiments), condition):
        named.setdefault(run.data.tags[names.TAG_FLOW_RUN_ID], []).append(
            (run.info.run_id, run.info.status)
        )
    return named


def of_flow_run(flow_run_id: str) -> list[tuple[str, str]]:
    """Return (run id, status) of the runs that name the flow run, whenever they were begun."""
    found = search(experiments_named(()), f"tags.`{names.TAG_FLOW_RUN_ID}` = '{flow_run_id}'")
    return [(run.info.run_id, run.info.status) for run in found]


def running_run(run_id: str) -> RunSeen | None:
    """Return the run as it is now; None when its status is not RUNNING any more, or it is deleted."""
    run = find_run(run_id)
    if run is None or run.info.status != "RUNNING" or run.info.lifecycle_stage != "active":
        return None
    return _seen(run, "")


def ended_parents(run_ids: Iterable[str]) -> dict[str, EndedParent]:
    """Return those of the runs that trainings of onerun made and that were ended."""
    found = {run_id: find_run(run_id) for run_id in set(run_ids)}
    return {
        run_id: EndedParent(run_id=run_id, status=run.info.status, end=_moment(run.info.end_time))
        for run_id, run in found.items()
        if run and run.info.end_time and run.info.status != "RUNNING" and identity_of(run.data.tags)
    }


def end_dead(seen: RunSeen, verdict: Dead) -> str | None:
    """End a run on evidence that was gathered before, unless it has changed since.

    A retry that reopens the run meanwhile wins: on this machine by a lock, elsewhere because the run is looked at once
    more afterwards. Returns: why it was left alone; None when it was ended.
    """
    with _alone(seen):
        changed = changed_since(seen)
        if changed:
            return changed
        _end(seen, verdict)
    after = find_run(seen.run_id)
    if after is not None and _attempt(after.data.tags) != seen.attempt:
        client().update_run(seen.run_id, status="RUNNING")
        set_tags(
            seen.run_id,
            {names.TAG_RECONCILED.format(what="withdrawn"): f"{now()}: reopened by a retry"},
        )
        return "a retry reopened it at the same moment"
    return None


def changed_since(seen: RunSeen) -> str | None:
    """Return what has happened to the run since it was seen; None when nothing has."""
    again = running_run(seen.run_id)
    if again is None:
        return "it was ended meanwhile"
    if again.attempt != seen.attempt:
        return "a retry reopened it meanwhile"
    if again.protected:
        return f"tag {names.TAG_RECONCILE} is `never`"
    signs = [
        (run.heartbeat, run.last_metric) for run in (seen, again)
    ]  # each by a clock of its own: any change counts
    return "it gave a sign of life meanwhile" if signs[0] != signs[1] else None


@contextmanager
def _alone(seen: RunSeen) -> Iterator[None]:
    """Where the lock is another user's it cannot be taken; the second look remains."""
    with ExitStack() as stack:
        if seen.identity is not None:
            with suppress(PermissionError):
                stack.enter_context(training_lock(seen.identity))
        yield


def _end(seen: RunSeen, verdict: Dead) -> None:
    """Its end is its last sign of life: what counts as its duration stays true, whenever it is found."""
    evidence = {"at": now(), "by": who(), "why": "; ".join(verdict.evidence), "from": "RUNNING"}
    set_tags(
        seen.run_id,
        {names.TAG_RECONCILED.format(what=what): value for what, value in evidence.items()},
    )
    client().set_terminated(seen.run_id, verdict.status, int(seen.last_sign.timestamp() * 1000))


def experiments_named(globs: Sequence[str]) -> dict[str, str]:
    """Return id -> name of the active experiments that are meant."""
    named, token = {}, None
    while True:
        page = client().search_experiments(max_results=PAGE, page_token=token)
        named.update({experiment.experiment_id: experiment.name for experiment in page})
        token = page.token
        if not token:
            break
    return {
        key: name
        for key, name in named.items()
        if not globs or any(matches(name, glob) for glob in globs)
    }


def search(experiments: Mapping[str, str], condition: str) -> Iterator["Run"]:
    """Yield the runs that are condition: all pages, a few hundred experiments at a time."""
    ids = list(experiments)
    for start in range(0, len(ids), EXPERIMENTS_PER_SEARCH):
        token = None
        while True:
            page = client().search_runs(
                ids[start : start + EXPERIMENTS_PER_SEARCH], condition, 1, PAGE, None, token
            )
            yield from page
            token = page.token
            if not token:
                break


def _seen(run: "Run", experiment: str) -> RunSeen:
    tags = run.data.tags
    metrics: list[Any] = run.data._metric_objs  # only these hold the times
    return RunSeen(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=experiment,
        place=run.info.artifact_uri or "",
        started=_moment(run.info.start_time),
        last_metric=max((_moment(metric.timestamp) for metric in metrics), default=None),
        heartbeat=_time(tags.get(names.TAG_HEARTBEAT)),
        flow_run_id=tags.get(names.TAG_FLOW_RUN_ID),
        training_id=tags.get(names.TAG_TRAINING_ID),
        attempt=_attempt(tags),
        run_count=int(tags.get(names.TAG_RUN_COUNT) or 0),
        process=Process.from_json(tags.get(names.TAG_PROCESS)),
        stages=tuple(
            stage for stage in names.STAGES if names.TAG_STAGE.format(stage=stage) in tags
        ),
        parent=tags.get(PARENT),
        protected=tags.get(names.TAG_RECONCILE) == "never",
    )


def _attempt(tags: Mapping[str, str]) -> int:
    return int(tags.get(names.TAG_ATTEMPT) or 0)


def _moment(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)


def _time(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
