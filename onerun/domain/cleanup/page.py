"""The report of a clean-up: one page that stands alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from onerun.config.policy import Policy
from onerun.domain.cleanup.findings import Finding, counted
from onerun.domain.cleanup.messages import command_back
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from onerun.domain.report.page import page_environment
from onerun.domain.text import age, size

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def render(
    policy: Policy,
    plan: Plan,
    findings: Sequence[Finding],
    result: Result | None,
    listed: str = "",
) -> str:
    """Return the page, the same for the same values.

    Args:
        result: what was done; None: nothing was.
        listed: the name of the file beside it that has all items.
    """
    import yaml

    environment = page_environment()
    environment.filters |= {
        "size": size,
        "age": lambda since: age(max(0, plan.at - since)) if since else "-",
    }
    environment.filters["command_back"] = command_back
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        policy=policy,
        policy_text=yaml.safe_dump(
            policy.model_dump(mode="json", exclude_unset=True), sort_keys=False
        ),
        plan=plan,
        experiments=sorted(
            plan.by_experiment.items(),
            key=lambda row: (-row[1].to_delete, -row[1].protected, row[0]),
        ),
        findings=findings[:200],
        found=len(findings),
        counted=counted(findings),
        result=result,
        listed=listed,
        at=datetime.fromtimestamp(plan.at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
