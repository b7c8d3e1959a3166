"""What goes and what stays: pure, for one experiment at a time; lists and the clock are passed in."""

from collections.abc import Iterable, Mapping
from heapq import nlargest, nsmallest
from typing import NamedTuple

from onerun.config.policy import Best, Keep, Policy, Select
from onerun.domain.cleanup.inventory import (
    DELETED,
    FAILED_STATES,
    Experiment,
    Group,
    LoggedModel,
    Run,
)
from onerun.domain.cleanup.protection import Guards, families, of_experiment, of_run, protecting_tag
from onerun.domain.text import age, matches


class Decision(NamedTuple):
    """A run that the rules let go: it goes, unless somebody protects it."""

    run: Run
    why: str
    protected_by: str | None


def decide(group: Group, policy: Policy, guard: Guards, now: int) -> list[Decision]:
    """Returns: one decision for every run that no rule keeps; all others stay. `now` in milliseconds."""
    if not selected(group.experiment, policy.select):
        return []
    going = _going(group, policy, now)
    if not going:
        return []
    protected = _protected(group, policy.select, guard, {run.id: run for run, _ in going})
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
    """Returns: all runs that no rule keeps, and why they go. Every run of a store passes here."""
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
            since = now - (
                now if run.deleted is None else run.deleted
            )  # nobody knows when: it stays
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
    group: Group, select: Select, guard: Guards, going: Mapping[str, Run]
) -> dict[str, str]:
    """Returns: run id -> who protects it, of those that would go."""
    if word := of_experiment(group.experiment, guard):
        return dict.fromkeys(going, word)
    direct = {run.id: word for run in going.values() if (word := of_run(run, guard))}
    for model in group.models:
        if (
            model.run_id
            and model.run_id in going
            and (word := of_logged_model(model, select, guard))
        ):
            direct.setdefault(model.run_id, word)
    found = dict(direct)
    for members in families(group.runs, guard.parents):
        kept = sorted(run for run in members if run not in going or run in direct)
        if kept:
            word = f"parent or child of {kept[0]}, which is kept"
            found |= {run: word for run in members if run in going and run not in direct}
    return found


def of_logged_model(model: LoggedModel, select: Select, guard: Guards) -> str | None:
    """Returns: what protects the logged model, and with it its run; None: nothing does."""
    if not any(matches(model.name, pattern) for pattern in select.models):
        return f"logged model {model.name}, which the policy does not select"
    tag = protecting_tag(model.tags, guard.tags)
    return guard.models.get(model.id) or (f"{tag} of a logged model" if tag else None)
