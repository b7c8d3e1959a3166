"""`python -m flows.maintain --policy policies/weekly.yaml`: plan, archive, clean up."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: a clean-up by hand needs no engine.
    from flows.upkeep.maintenance import main

    raise SystemExit(main())

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from domain.maintenance.findings import counted
from domain.maintenance.telling import finding_lines, plan_lines, result_lines
from domain.maintenance.words import size
from flows.reconciling.dead import dead_runs
from flows.reconciling.living import living_flow_runs
from flows.upkeep.maintenance import prepared
from tasks.maintain import Planned, carry_out, planned
from tasks.maintenance.applying import Result
from tasks.notify import notify

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
    checked = prepared(policy, overrides or (), profile, store)
    with planned(checked, living_flow_runs(), store) as what:
        what.findings.extend([] if store else dead_runs())
        _show_plan(what)
        if not apply or not _approved(what):
            return what.as_json()
        result = carry_out(what, yes_really)
        told = [*plan_lines(what.plan), *finding_lines(what.findings, what.plan.at)]
        told += result_lines(what.policy.action, result.as_json())
        result.notes += notify(checked.notify, f"maintenance: {checked.name}", "\n".join(told))
        _show_result(what, result)
        return what.as_json(result)


def _approved(what: Planned) -> bool:
    """Waits for a person where the policy wants one. Returns: whether to go on."""
    policy = what.policy
    if policy.approval == "auto" or policy.action != "hard_delete" or not what.plan.amount:
        return True
    many = f"**{what.plan.amount}, {size(what.plan.bytes)}**"
    answer = pause_flow_run(
        wait_for_input=Approval.with_initial_data(
            description=f"{many}: deleted for good? The plan is an artifact of this run."
        ),
        timeout=WAITS_FOR_A_PERSON,
        poll_interval=LOOKS_EVERY,
    )
    return answer.delete_for_good


def _show_plan(what: Planned) -> None:
    key = _key(what)
    rows = [
        {"experiment": name, "runs": row[0], "would go": row[1], "protected": row[2], "bytes": size(row[3])}
        for name, row in what.plan.by_experiment.items()
        if row[1] or row[2]
    ]
    create_table_artifact(rows, key=f"{key}-plan", description="What would go, by experiment")
    lines = [*plan_lines(what.plan), "", *finding_lines(what.findings, what.plan.at), "", *what.notes]
    create_markdown_artifact("```\n" + "\n".join(lines) + "\n```", key=f"{key}-plan-in-words", description="The plan")
    troubles = [
        {"what": title, "how many": count, "bytes": size(held), "what is done": remedy}
        for title, count, held, remedy in counted(what.findings)
    ]
    create_table_artifact(troubles, key=f"{key}-troubles", description="What was found")


def _show_result(what: Planned, result: Result) -> None:
    lines = "\n".join(result_lines(what.policy.action, result.as_json()))
    create_markdown_artifact(f"```\n{lines}\n```", key=f"{_key(what)}-result", description="What was done")


def _key(what: Planned) -> str:
    """Prefect takes small letters, digits and dashes."""
    return "maintenance-" + "".join(letter if letter.isalnum() else "-" for letter in what.policy.name.lower())
