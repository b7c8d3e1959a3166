"""Plan a clean-up of a store, and carry the plan out."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from onerun.cleanup.disk_list import DiskList, ExperimentPlan
from onerun.cleanup.execution import apply
from onerun.cleanup.inspection import examine
from onerun.cleanup.litter import Places, examine_litter, remove_litter
from onerun.cleanup.planner import plan_store
from onerun.cleanup.quarantine import quarantine, to_quarantine
from onerun.config.policy import Policy
from onerun.domain.cleanup import litter
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.page import render
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from onerun.store.protocol import Store, open_store


@dataclass(frozen=True)
class Planned:
    """A plan with all that carrying it out needs.

    policy: as far as the store allows. asked: the policy as it was asked for. folder: the store,
    when it is one of files. places: where trainings of this store leave things; None: those are not
    looked at.
    """

    store: Store
    policy: Policy
    asked: Policy
    plan: Plan
    findings: list[Finding]
    items: DiskList[ExperimentPlan]
    notes: list[str]
    folder: str = ""
    places: Places | None = None

    def page(self, result: Result | None = None, listed: str = "") -> str:
        """Return the report in HTML.

        Args: listed: where the list of all items is, beside the page.
        """
        return render(self.policy, self.plan, self.findings, result, listed.rpartition("/")[2])

    @property
    def unchanged_since(self) -> int:
        """Return since when orphaned artifacts have to be unchanged, in milliseconds since 1970."""
        return self.plan.at - int(1000 * self.policy.keep.younger_than)


@contextmanager
def planned(
    policy: Policy,
    live: Collection[str],
    folder: str | None = None,
    places: Places | None = None,
) -> Iterator[Planned]:
    """Open the store, plan, and yield the plan.

    Args:
        live: ids of flow runs that are not over.
        folder: a store of files, in place of the environment's.
        places: where trainings of this store leave things; None: those are not looked at.

    Raises: Mistakes.
    """
    with closing(open_store(folder)) as store:
        allowed = policy
        if policy.action == "hard_delete" and not store.can_hard_delete:
            allowed = policy.model_copy(update={"action": "soft_delete"})
        root = ""
        if folder:
            root = str(Path(folder.removeprefix("file://")).expanduser().absolute())
        plan, items = plan_store(store, allowed, live)
        with items:
            made = Planned(
                store=store,
                policy=allowed,
                asked=policy,
                plan=plan,
                findings=examine(store, allowed),
                items=items,
                notes=list(store.limits),
                folder=root,
                places=places,
            )
            if allowed.action == "hard_delete":
                orphans = to_quarantine(store, made.findings, allowed, made.unchanged_since)
                plan.quarantined = sum(kept is None for _, kept in orphans)
            if places:
                found = examine_litter(store, places, policy, live)
                made.findings.extend(found)
                to_remove = litter.to_remove(found, policy)
                plan.litter = len(to_remove)
                plan.litter_bytes = sum(each.bytes or 0 for each in to_remove)
            yield made


def carry_out(made: Planned, yes_really: bool, live: Collection[str] = ()) -> Result:
    """Do what was planned, while no other clean-up of the store does anything.

    Args: live: ids of flow runs that are not over now: a plan may be a week old when a person had
    to be asked.

    Raises: MaintenanceUnderWay, TooMuch, what writing the archive raises.
    """
    with made.store.exclusive_lock():
        result = apply(made.store, made.policy, made.plan, made.items, yes_really, live)
        result.folder = made.folder
        if made.policy.action == "hard_delete":
            _quarantine(made, result)
        if made.places:
            _remove_litter(made, made.places, live, result)
    return result


def _quarantine(made: Planned, result: Result) -> None:
    try:
        result.set_aside, notes = quarantine(
            made.store, made.policy, made.findings, made.unchanged_since
        )
        result.notes += notes
    except Exception as error:  # noqa: BLE001 -- whatever it is: what was deleted before must still be reported
        result.notes.append(
            f"orphaned artifacts were kept: {type(error).__name__}: {str(error)[:500]}"
        )


def _remove_litter(made: Planned, places: Places, live: Collection[str], result: Result) -> None:
    try:
        remove_litter(made.store, places, made.asked, made.findings, live, result)
    except Exception as error:  # noqa: BLE001 -- likewise
        reason = f"{type(error).__name__}: {str(error)[:500]}"
        result.notes.append(f"what trainings left was kept: {reason}")
