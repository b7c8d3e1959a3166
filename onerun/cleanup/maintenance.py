"""Plan a clean-up of a store, and carry the plan out."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from onerun.cleanup.disk_list import DiskList, ExperimentPlan
from onerun.cleanup.execution import apply
from onerun.cleanup.inspection import examine
from onerun.cleanup.planner import plan_store
from onerun.cleanup.quarantine import quarantine, to_quarantine
from onerun.cleanup.store_protocol import Store, open_store
from onerun.config.policy import Policy
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.page import render
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result


@dataclass(frozen=True)
class Planned:
    """A plan with all that carrying it out needs."""

    store: Store
    policy: Policy  # as far as the store allows
    plan: Plan
    findings: list[Finding]
    spool: DiskList[ExperimentPlan]
    notes: list[str]
    folder: str = ""  # the store, when it is one of files

    def page(self, result: Result | None = None, listed: str = "") -> str:
        """Return the report in HTML. Args: listed: where the list of all items is, beside the page."""
        return render(self.policy, self.plan, self.findings, result, listed.rpartition("/")[2])


@contextmanager
def planned(policy: Policy, live: Collection[str], folder: str | None = None) -> Iterator[Planned]:
    """Open the store, plan, and yield the plan.

    Args: live: ids of flow runs that are not over. folder: a store of files, in place of the environment's.

    Raises: Mistakes.
    """
    with closing(open_store(folder)) as store:
        wanted = policy
        if policy.action == "hard_delete" and not store.can_hard_delete:
            wanted = policy.model_copy(update={"action": "soft_delete"})
        place = str(Path(folder.removeprefix("file://")).expanduser().absolute()) if folder else ""
        plan, spool = plan_store(store, wanted, live)
        with spool:
            findings = examine(store, wanted)
            if wanted.action == "hard_delete":
                chosen = to_quarantine(store, findings, wanted, _before(plan, wanted))
                plan.quarantined = sum(kept is None for _, kept in chosen)
            yield Planned(store, wanted, plan, findings, spool, list(store.limits), place)


def carry_out(what: Planned, yes_really: bool, live: Collection[str] = ()) -> Result:
    """Does what was planned, alone.

    Args: live: ids of flow runs that are not over now: a plan may be a week old when a person had to be asked.

    Raises: MaintenanceUnderWay, TooMuch, what writing the archive raises.
    """
    with what.store.exclusive_lock():
        result = apply(what.store, what.policy, what.plan, what.spool, yes_really, live)
        result.folder = what.folder
        if what.policy.action == "hard_delete":
            _quarantine(what, result)
    return result


def _before(plan: Plan, policy: Policy) -> int:
    return plan.at - int(1000 * policy.keep.younger_than)


def _quarantine(what: Planned, result: Result) -> None:
    before = _before(what.plan, what.policy)
    try:
        result.set_aside, notes = quarantine(what.store, what.policy, what.findings, before)
        result.notes += notes
    except Exception as error:  # noqa: BLE001 -- whatever it is: what was deleted before must still be reported
        result.notes.append(
            f"orphaned artifacts were kept: {type(error).__name__}: {str(error)[:500]}"
        )
