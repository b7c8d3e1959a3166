"""Reconciling: who is asked, what may be ended, and the plan said before anything is done."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from flows.reconciling.flow_runs import FlowRuns
from flows.reconciling.remedies import Say, apply
from flows.reconciling.survey import plan
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import check_profile
from onerun.domain.errors import OnerunError
from onerun.domain.reconcile.plan import Plan
from onerun.domain.reconcile.seen import Policy
from settings.profile import PrefectProfile


class NotPutRight(OnerunError):
    """Something that is dead could not be ended; the others were."""


def policy(
    silence: timedelta | None, also_older_than: timedelta | None, experiments: Sequence[str]
) -> Policy:
    """Returns: what may be ended. Raises: Mistakes for spans that would end what lives."""
    given = {
        "silence": silence,
        "also_older_than": also_older_than,
        "experiments": tuple(experiments),
    }
    try:
        return Policy.model_validate(
            {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        wrong = [(str(each["loc"][0]).replace("_", "-"), each["msg"]) for each in error.errors()]
        raise Mistakes(
            Mistake(f"--{name}", words.replace("Input should", "should")) for name, words in wrong
        ) from None


def use(profile: PrefectProfile) -> str:
    """Applies the profile when MLflow answers. Returns: why Prefect does not answer; empty when it does.

    Raises: Mistakes when MLflow does not answer, or one of both refuses the credentials.
    """
    found = {mistake.key: mistake for mistake in check_profile(profile)}
    prefect = found.get("PREFECT_API_URL")
    refused = prefect is not None and "refuses" in prefect.message
    mistakes = [
        mistake
        for mistake in (found.get("MLFLOW_TRACKING_URI"), prefect if refused else None)
        if mistake
    ]
    if mistakes:
        raise Mistakes(mistakes)
    profile.apply()
    return prefect.message if prefect else ""


def reconciled(
    prefect: FlowRuns | None,
    policy: Policy,
    act: bool,
    say: Say,
    silence: str = "",
    show: Callable[[Plan], None] = lambda plan: None,
) -> dict[str, Any]:
    """Plan, say so and, when asked, act. Returns: the plan and what was done, as plain values.

    Args:
        silence: why Prefect does not answer, where it does not.
        show: is given the plan before anything is done.
    Raises: NotPutRight when something could not be done.
    """
    planned = plan(prefect, policy, silence)
    show(planned)
    for line in planned.lines():
        say(line)
    if not act:
        if planned.dead or planned.marks:
            say("nothing was changed; --apply acts")
        return {"status": "planned", **planned.as_json()}
    done = apply(prefect, planned, policy, say)
    failed = [each for each in done if each["failed"]]
    if failed:
        raise NotPutRight(
            f"{len(failed)} of {len(done)} could not be put right; they are tried again next time"
        )
    return {"status": "reconciled", **planned.as_json(), "done": done}
