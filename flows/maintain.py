"""`python -m flows.maintain --policy policies/weekly.yaml`: plan, archive, clean up."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: a clean-up by hand needs no engine.
    from flows.upkeep.maintenance import main

    raise SystemExit(main())

from collections.abc import Iterable
from typing import Any

from prefect import flow, runtime
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from flows.command_line.links import flow_run_url
from flows.reconciling.dead import dead_runs
from flows.reconciling.living import living_flow_runs
from flows.upkeep.maintenance import use, wanted
from flows.upkeep.notifying import failure_told, tell
from flows.upkeep.showing import show_plan, show_result, warn
from onerun.cleanup.applying import need_leave
from onerun.cleanup.maintain import Planned, carry_out, planned
from onerun.cleanup.reporting import list_beside
from onerun.domain.cleanup.telling import message_lines
from onerun.domain.text import size

WAITS_FOR_A_PERSON = 7 * 86_400  # seconds
LOOKS_EVERY = 10  # seconds


class Approval(RunInput):
    """What a person answers in Prefect's UI."""

    delete_for_good: bool = Field(False, description="Yes: archive and delete what the plan says.")


@flow(name="maintain", validate_parameters=True, persist_result=False)
def maintain(
    policy: str = "weekly",
    apply: bool = False,
    yes_really: bool = False,
    overrides: list[str] | None = None,
    store: str | None = None,
    profile: str | None = None,
) -> dict[str, Any]:
    """Plan what the store no longer needs and, when asked to, archive and remove it.

    Args:
        policy: Name of a policy in `policies/`, path of a YAML file, or YAML text.
        apply: Do it; otherwise the plan is shown and nothing is changed.
        yes_really: Delete more than the policy's max_delete allows.
        overrides: `key.path=value` for any key of the policy, such as `keep.younger_than=60d`.
        store: A store of files such as ./mlruns, in place of the profile's store.
        profile: Name of a profile in `settings/profiles/`.
    """
    checked = wanted(policy, overrides or ())
    with failure_told(checked, _page()):
        checked = use(checked, profile, store)
        with planned(checked, living_flow_runs(), store) as what:
            what.findings.extend([] if store else dead_runs())
            report = show_plan(what)
            if not apply:
                return _unchanged(what, "is planned", report)
            need_leave(what.plan, what.policy, yes_really)
            if not _approved(what, report):
                return _unchanged(what, "was not approved", report)
            return _done(what, yes_really)


def _unchanged(what: Planned, how: str, report: str) -> dict[str, Any]:
    """Told as well, since nobody looks at a schedule. Returns: what the flow run returns."""
    warn(
        _tell(what, how, message_lines(what.plan, what.findings, None, list_beside(report)), report)
    )
    return what.as_json() | {"report": report, "list": list_beside(report)}


def _done(what: Planned, yes_really: bool) -> dict[str, Any]:
    result = carry_out(what, yes_really, living_flow_runs())
    report = show_result(what, result)
    told = message_lines(what.plan, what.findings, result.as_json(), list_beside(report))
    unsaid = _tell(what, "", told, report)
    warn(unsaid)
    result.notes += unsaid
    return what.as_json(result) | {"report": report, "list": list_beside(report)}


def _approved(what: Planned, report: str) -> bool:
    """Waits for a person where the policy wants one. Returns: whether to go on."""
    policy = what.policy
    if policy.approval == "auto" or policy.action != "hard_delete" or not what.plan.amount:
        return True
    many = f"{what.plan.amount}, {size(what.plan.bytes)}"
    plan = message_lines(what.plan, what.findings, None, list_beside(report))
    lines = [f"answer within a week: {many}: deleted for good?", *plan]
    warn(_tell(what, "waits for a person", lines, report))
    answer = pause_flow_run(
        wait_for_input=Approval.with_initial_data(
            description=f"**{many}**: deleted for good? The plan is an artifact of this run."
        ),
        timeout=WAITS_FOR_A_PERSON,
        poll_interval=LOOKS_EVERY,
    )
    return answer.delete_for_good


def _tell(what: Planned, how: str, lines: Iterable[str], report: str) -> list[str]:
    first, *more = lines
    return tell(what.policy, how, [first, *(each for each in (_page(), report) if each), *more])


def _page() -> str:
    """Returns: the flow run's page; nothing where it has none."""
    return flow_run_url(str(runtime.flow_run.id)) or ""
