"""Plan, troubles, result and report of a clean-up as artifacts of its flow run."""

from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from onerun import storage
from onerun.cleanup.maintain import Planned
from onerun.cleanup.reporting import address_of_report, keep_report, list_beside, write_list
from onerun.config.addresses import redacted
from onerun.domain.cleanup.findings import counted
from onerun.domain.cleanup.result import Result
from onerun.domain.cleanup.telling import finding_lines, plan_lines, result_lines
from onerun.domain.text import size


def show_plan(what: Planned) -> str:
    """Returns: the report's address; nothing when it could not be written."""
    report = _show_report(what, None)
    key = key_of(what.policy.name)
    rows = [
        {
            "experiment": name,
            "runs": row[0],
            "would go": row[1],
            "protected": row[2],
            "bytes": size(row[3]),
        }
        for name, row in what.plan.by_experiment.items()
        if row[1] or row[2]
    ]
    create_table_artifact(rows, key=f"{key}-plan", description="What would go, by experiment")
    plan = plan_lines(what.plan, list_beside(report))
    lines = [*plan, "", *finding_lines(what.findings, what.plan.at), "", *what.notes]
    create_markdown_artifact(
        "```\n" + "\n".join(lines) + "\n```", key=f"{key}-plan-in-words", description="The plan"
    )
    troubles = [
        {"what": title, "how many": count, "bytes": size(held), "what is done": remedy}
        for title, count, held, remedy in counted(what.findings)
    ]
    create_table_artifact(troubles, key=f"{key}-troubles", description="What was found")
    return report


def show_result(what: Planned, result: Result) -> str:
    """Returns: the report's address, as of the plan: what was done takes the plan's place there."""
    report = _show_report(what, result)
    lines = "\n".join(result_lines(what.policy.action, result.as_json()))
    text = f"```\n{lines}\n```" + (f"\n\nReport: `{report}`" if report else "")
    create_markdown_artifact(
        text, key=f"{key_of(what.policy.name)}-result", description="What was done"
    )
    return report


def _show_report(what: Planned, result: Result | None) -> str:
    address = address_of_report(what.policy, what.store.identity, what.plan.at)
    try:
        if result is None:  # what is done follows from the same list
            write_list(what.spool, list_beside(address))
        keep_report(what.policy, address, what.page(result, list_beside(address)))
    except Exception as error:  # noqa: BLE001 -- of a disk or an object store: a page must not undo what was done
        warn([f"the report could not be written to {address}: {redacted(str(error))[:500]}"])
        return ""
    link = address if storage.is_s3(address) else Path(address).as_uri()
    create_link_artifact(
        link,
        address,
        key=f"{key_of(what.policy.name)}-report",
        description="Plan or result, in full",
    )
    return address


def warn(lines: list[str]) -> None:
    """Into the flow run's log."""
    for line in lines:
        get_run_logger().warning(line)


def key_of(policy: str) -> str:
    """Returns: the beginning of artifacts' keys; Prefect takes small letters, digits and dashes."""
    return "maintenance-" + "".join(
        letter if letter.isalnum() else "-" for letter in policy.lower()
    )
