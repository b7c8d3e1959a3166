"""What is kept and what is not: pure, one experiment at a time; the clock is passed in."""

from collections.abc import Iterable, Mapping
from heapq import nlargest, nsmallest
from typing import NamedTuple

from onerun.config.policy import Best, Keep, Policy, Select
from onerun.domain.cleanup.families import inside, relatives
from onerun.domain.cleanup.inventory import (
    DELETED,
    FAILED_STATES,
    Experiment,
    Group,
    LoggedModel,
    Run,
)
from onerun.domain.cleanup.protection import Protections, of_experiment, of_run, protecting_tag
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.text import age, matches


class Decision(NamedTuple):
    """A run that no rule keeps: it is deleted, unless something protects it."""

    run: Run
    why: str
    protected_by: Reason | None


def decide(group: Group, policy: Policy, protections: Protections, now: int) -> list[Decision]:
    """Return one decision for every run that no rule keeps. Args: now: milliseconds since 1970."""
    if not selected(group.experiment, policy.select):
        return []
    going = _going(group, policy, now)
    if not going:
        return []
    protected = _protected(group, policy.select, protections, {run.id: run for run, _ in going})
    return [Decision(run, why, protected.get(run.id)) for run, why in going]


def selected(experiment: Experiment, select: Select) -> bool:
    """Whether the policy is about this experiment."""
    tags = experiment.tags
    return selected_name(experiment.name, select) and all(
        key in tags and matches(tags[key], wanted) for key, wanted in select.tags.items()
    )


def selected_name(name: str, select: Select) -> bool:
    """Whether the policy is about experiments of this name."""
    return any(matches(name, pattern) for pattern in select.experiments) and not any(
        matches(name, pattern) for pattern in select.exclude
    )


def _going(group: Group, policy: Policy, now: int) -> list[tuple[Run, str]]:
    """Return all runs that no rule keeps, and why. Every run of a store passes here."""
    keep, purges = policy.keep, policy.action == "hard_delete"
    best = _best(group.runs, keep) | _last(group.runs, keep)
    whole, deleted = 1000 * keep.younger_than, 1000 * keep.deleted_younger_than
    limits = dict.fromkeys(
        FAILED_STATES,
        whole if keep.failed_younger_than is None else 1000 * keep.failed_younger_than,
    )
    going: list[tuple[Run, str]] = []
    for run in group.runs:
        if run.lifecycle == DELETED:
            since = now - (now if run.deleted is None else run.deleted)  # not known when: it stays
            if purges and since >= deleted:
                going.append((run, f"deleted {age(since)} ago"))
        else:
            since = now - (run.ended or run.started or now)  # some clients send no times: it stays
            if since >= limits.get(run.status, whole) and run.id not in best:
                going.append((run, f"{run.status} {age(since)} ago"))
    return going


def _last(runs: Iterable[Run], keep: Keep) -> set[str]:
    sound = (run for run in runs if not run.is_deleted and run.status not in FAILED_STATES)
    return (
        {run.id for run in nlargest(keep.last, sound, key=lambda run: (run.last_seen, run.id))}
        if keep.last
        else set()
    )


def _best(runs: Iterable[Run], keep: Keep) -> set[str]:
    return {
        run for position, best in enumerate(keep.best) for run in _best_by(runs, position, best)
    }


def _best_by(runs: Iterable[Run], position: int, best: Best) -> Iterable[str]:
    measured = [
        (value, run.id)
        for run in runs
        if run.lifecycle != DELETED
        and (value := run.metrics[position]) is not None
        and value == value  # not a number is neither the best nor the worst
        and run.status not in FAILED_STATES
    ]
    chosen = nlargest(best.count, measured) if best.descending else nsmallest(best.count, measured)
    return [run for _, run in chosen]


def _protected(
    group: Group, select: Select, protections: Protections, planned: Mapping[str, Run]
) -> dict[str, Reason]:
    """Return what protects runs that would be removed, by their ids."""
    if reason := of_experiment(group.experiment, protections):
        return dict.fromkeys(planned, reason)
    direct: dict[str, Reason] = {}
    for run in planned.values():
        if reason := of_run(run, protections):
            direct[run.id] = reason
    for model in group.models:
        if not model.run_id or model.run_id not in planned:
            continue
        if reason := of_logged_model(model, select, protections):
            direct.setdefault(model.run_id, reason)
    links = inside(protections.parents, {run.id for run in group.runs})
    if not links:
        return direct
    kept = sorted(run for run in {*links, *links.values()} if run not in planned or run in direct)
    related = relatives(kept, planned.keys() - direct.keys(), links)
    return direct | {run: Reason(ReasonKind.FAMILY, near) for run, near in related.items()}


def of_logged_model(model: LoggedModel, select: Select, protections: Protections) -> Reason | None:
    """Return what protects the logged model, and with it its run."""
    if not any(matches(model.name, pattern) for pattern in select.models):
        return Reason(ReasonKind.MODEL, model.name)
    if reason := protections.models.get(model.id):
        return reason
    if tag := protecting_tag(model.tags, protections.tags):
        return Reason(ReasonKind.MODEL_TAG, tag)
    return None
