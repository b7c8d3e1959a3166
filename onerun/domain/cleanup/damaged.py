"""An experiment that cannot be read: what keeps it from being removed. Where something is not known, it is kept."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onerun.config.policy import Policy
from onerun.domain.cleanup.inventory import Experiment, Run
from onerun.domain.cleanup.protection import Guards, of_experiment, of_run
from onerun.domain.cleanup.retention import selected
from onerun.domain.text import age, matches


class Damaged(NamedTuple):
    """What its folder still tells."""

    id: str
    name: str | None  # None: nothing says it
    location: str
    tags: Mapping[str, str]
    runs: Sequence[str]  # ids of all runs in it
    readable: Sequence[Run]  # those that still say what they are
    models: Mapping[str, str | None]  # id of a logged model -> its name; None: nothing says it
    changed: int  # when anything in it changed last, in milliseconds since 1970


def kept_by(damaged: Damaged, policy: Policy, guard: Guards, now: int) -> str | None:
    """Returns: why it stays; None: the policy lets it go and nothing protects it. `now` in milliseconds."""
    last = max([damaged.changed, *(run.last_seen for run in damaged.readable)])
    if now - last < 1000 * policy.keep.younger_than:
        return f"changed {age(max(0, now - last))} ago"
    if damaged.name is None and (policy.protect.experiments or policy.select.exclude):
        return (
            "nothing says whether it is one of those that the policy protects or excludes by name"
        )
    for name in {damaged.id, damaged.name or damaged.id}:
        experiment = Experiment(
            damaged.id, name, "active", damaged.location, None, None, damaged.tags
        )
        if word := of_experiment(experiment, guard):
            return word
    if not selected(experiment._replace(name=damaged.name or damaged.id), policy.select):
        return "the policy does not select it"
    return _kept_inside(damaged, policy, guard)


def _kept_inside(damaged: Damaged, policy: Policy, guard: Guards) -> str | None:
    for run in damaged.readable:
        if word := of_run(run, guard):
            return f"run {run.id}: {word}"
    for run_id in damaged.runs:
        if run_id in guard.runs:
            return f"run {run_id}: {guard.runs[run_id]}"
    for model, name in damaged.models.items():
        if model in guard.models:
            return f"logged model {model}: {guard.models[model]}"
        if not any(matches(name or "", pattern) for pattern in policy.select.models):
            return f"logged model {model}, which the policy does not select"
    return None
