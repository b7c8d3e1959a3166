"""An experiment that cannot be read: what keeps it from being removed.

Where something is not known, it is kept.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onerun.config.policy import Policy
from onerun.domain.cleanup.inventory import ACTIVE, Experiment, Run
from onerun.domain.cleanup.protection import Protections, of_experiment, of_run
from onerun.domain.cleanup.reason import Reason, ReasonKind
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


def kept_by(damaged: Damaged, policy: Policy, protections: Protections, now: int) -> Reason | None:
    """Return why it stays; None: no rule of the policy keeps it and nothing protects it.

    Args: now: milliseconds since 1970.
    """
    last = max([damaged.changed, *(run.last_seen for run in damaged.readable)])
    if now - last < 1000 * policy.keep.younger_than:
        return Reason(ReasonKind.YOUNG, age(max(0, now - last)))
    if damaged.name is None and (policy.protect.experiments or policy.select.exclude):
        return Reason(ReasonKind.NAMELESS)
    for name in {damaged.id, damaged.name or damaged.id}:
        if reason := of_experiment(_experiment(damaged, name), protections):
            return reason
    if not selected(_experiment(damaged, damaged.name or damaged.id), policy.select):
        return Reason(ReasonKind.NOT_SELECTED)
    return _kept_inside(damaged, policy, protections)


def _experiment(damaged: Damaged, name: str) -> Experiment:
    return Experiment(
        id=damaged.id,
        name=name,
        lifecycle=ACTIVE,
        location=damaged.location,
        created=None,
        updated=None,
        tags=damaged.tags,
    )


def _kept_inside(damaged: Damaged, policy: Policy, protections: Protections) -> Reason | None:
    for run in damaged.readable:
        if reason := of_run(run, protections):
            return Reason(ReasonKind.INSIDE, f"run {run.id}: {reason}")
    for run_id in damaged.runs:
        if run_id in protections.runs:
            return Reason(ReasonKind.INSIDE, f"run {run_id}: {protections.runs[run_id]}")
    for model, name in damaged.models.items():
        if model in protections.models:
            text = f"logged model {model}: {protections.models[model]}"
            return Reason(ReasonKind.INSIDE, text)
        if not any(matches(name or "", pattern) for pattern in policy.select.models):
            return Reason(ReasonKind.MODEL, model)
    return None
