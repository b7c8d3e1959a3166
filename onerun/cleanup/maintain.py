"""Maintain: look at the store, plan, and do what was planned. What a person is told comes back as plain values."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onerun.cleanup.applying import apply
from onerun.cleanup.examining import examine
from onerun.cleanup.planning import plan_store
from onerun.cleanup.setting_aside import meant, set_aside
from onerun.cleanup.spool import Share, Spool
from onerun.cleanup.stores import Store, open_store
from onerun.config.policy import Policy
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.page import render
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result

NOT_ASKED = (
    "Prefect was not asked which flow runs live (no API is named): only runs that read RUNNING count as live. "
    "Set PREFECT_API_URL where trainings run under a server"
)


@dataclass(frozen=True)
class Planned:
    """A plan with all that carrying it out needs."""

    store: Store
    policy: Policy  # as far as the store allows
    plan: Plan
    findings: list[Finding]
    spool: Spool[Share]
    notes: tuple[str, ...]
    folder: str = ""  # the store, when it is one of files

    def as_json(self, result: Result | None = None) -> dict[str, Any]:
        """Returns: plain values."""
        return {
            "status": "planned" if result is None else "done",
            "plan": self.plan.as_json(),
            "findings": [finding.as_json(self.plan.at) for finding in self.findings],
            "notes": list(self.notes),
            "result": None if result is None else result.as_json(),
        }

    def page(self, result: Result | None = None, listed: str = "") -> str:
        """Args: listed: where the list of all items is, beside the page. Returns: report.html."""
        told = None if result is None else result.as_json()
        return render(self.policy, self.plan, self.findings, told, listed.rpartition("/")[2])


@contextmanager
def planned(
    policy: Policy, live: Collection[str] | None, folder: str | None = None
) -> Iterator[Planned]:
    """Args: live: ids of flow runs that are not over; None: nobody could be asked; folder: a store of files.

    Raises: Mistakes.
    """
    with closing(open_store(folder)) as store:
        notes = [*store.limits, *([NOT_ASKED] if live is None else [])]
        wanted = policy
        if policy.action == "hard_delete" and not store.can_hard_delete:
            wanted = policy.model_copy(update={"action": "soft_delete"})
        place = str(Path(folder.removeprefix("file://")).expanduser().absolute()) if folder else ""
        plan, spool = plan_store(store, wanted, live or ())
        with spool:
            findings = examine(store, wanted)
            if wanted.action == "hard_delete":
                chosen = meant(store, findings, wanted, _before(plan, wanted))
                plan.aside = sum(kept is None for _, kept in chosen)
            yield Planned(store, wanted, plan, findings, spool, tuple(notes), place)


def carry_out(what: Planned, yes_really: bool, live: Collection[str] | None = None) -> Result:
    """Does what was planned, alone.

    Args: live: ids of flow runs that are not over now: a plan may be a week old when a person had to be asked.

    Raises: MaintenanceUnderWay, TooMuch, what writing the archive raises.
    """
    with what.store.exclusive_lock():
        result = apply(what.store, what.policy, what.plan, what.spool, yes_really, live or ())
        result.folder = what.folder
        if what.policy.action == "hard_delete":
            _set_aside(what, result)
    return result


def _before(plan: Plan, policy: Policy) -> int:
    return plan.at - int(1000 * policy.keep.younger_than)


def _set_aside(what: Planned, result: Result) -> None:
    before = _before(what.plan, what.policy)
    try:
        result.set_aside, notes = set_aside(what.store, what.policy, what.findings, before)
        result.notes += notes
    except Exception as error:  # noqa: BLE001 -- whatever it is: what was deleted before must still be told
        result.notes.append(
            f"artifacts that nobody owns were left: {type(error).__name__}: {str(error)[:500]}"
        )
