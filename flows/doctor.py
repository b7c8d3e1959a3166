"""`python -m flows.doctor [--profile NAME] [--json]`: check that trainings can run.

As a flow it checks the machine of the worker that runs it.
"""

if __name__ == "__main__":
    # Handed over before Prefect is imported: most of what is looked at needs no engine.
    from flows.checking.checkup import main

    raise SystemExit(main())

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from flows.checking.checks import findings
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.diagnosis import all_well


@flow(name="doctor", validate_parameters=True, persist_result=False)
def doctor(profile: str | None = None, pool: str | None = None) -> dict[str, Any]:
    """Check that trainings can run where this flow run is.

    It looks at servers, credentials, clocks, disks, pools and workers.

    Args:
        profile: Name of a profile in `settings/profiles/`.
        pool: A work pool that must have a worker, besides those that deployments use.
    """
    found = list(findings(profile, pool))
    for finding in found:
        get_run_logger().info(finding.summary)
    if not all_well(found):
        raise Mistakes(
            Mistake(finding.what, finding.detail) for finding in found if finding.state == "wrong"
        )
    return {"status": "well", "findings": [finding.model_dump() for finding in found]}
