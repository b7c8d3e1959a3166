"""`onerun reconcile`: runs with status RUNNING whose training is dead are shown, and with --apply ended."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from onerun.commands.command import Command
from onerun.commands.options import Argument, CommonOptions, flag_of
from onerun.commands.ui import Ui
from onerun.config.fields import seconds
from onerun.config.mistakes import Mistake, MistakeKind, Mistakes
from onerun.config.profile import Profile, check_profile, load_profile
from onerun.domain.errors import OnerunError
from onerun.domain.reconcile.plan import PlanReport, ReconcilePlan
from onerun.domain.reconcile.seen import ReconcilePolicy
from onerun.reconcile.remedies import EndedRun, MarkedFlowRun, apply
from onerun.reconcile.source import FlowRunSource
from onerun.reconcile.survey import plan
from onerun.tracking.running import nothing_there

WITHOUT_PREFECT = "asked without Prefect"


def _span(value: Any) -> Any:
    """Return `90s`, `15m`, `2h` or `7d` as a timedelta."""
    return timedelta(seconds=seconds(value)) if isinstance(value, str) else value


Span = Annotated[timedelta, BeforeValidator(_span)]


class NotPutRight(OnerunError):
    """Something that is dead could not be ended; the others were."""


class ReconcileOptions(CommonOptions):
    """What is looked at, what counts as dead, and whether to act."""

    apply: bool = Field(False, description="act on the plan; without it nothing is changed")
    heartbeat_timeout: Annotated[Span | None, Argument("--silence", metavar="SPAN")] = Field(
        None, description="without a heartbeat for so long a training counts as dead (30m)"
    )
    also_older_than: Annotated[Span | None, Argument(metavar="SPAN")] = Field(
        None, description="end runs of others, too, that gave no sign of life for so long"
    )
    experiments: Annotated[list[str], Argument("--experiments", metavar="GLOB")] = Field(
        [], description="look only at these; may be repeated"
    )

    def policy(self) -> ReconcilePolicy:
        """Return what may be ended. Raises Mistakes for spans that would end what is alive."""
        given = {
            "heartbeat_timeout": self.heartbeat_timeout,
            "also_older_than": self.also_older_than,
            "experiments": tuple(self.experiments),
        }
        stated = {name: value for name, value in given.items() if value is not None}
        try:
            return ReconcilePolicy.model_validate(stated)
        except ValidationError as error:
            raise Mistakes(
                Mistake(
                    flag_of(name := str(each["loc"][0]), type(self).model_fields[name]),
                    str(each["msg"]).replace("Input should", "should"),
                )
                for each in error.errors()
            ) from None


class ReconcilePlanned(PlanReport):
    """What would be done; nothing was changed."""

    status: str = "planned"


class Reconciled(PlanReport):
    """What was planned, and what was done of it."""

    status: str = "reconciled"
    done: list[EndedRun | MarkedFlowRun]


def use(profile: Profile) -> str:
    """Apply the profile when MLflow answers. Return why Prefect does not answer; empty when it does.

    Raises: Mistakes when MLflow does not answer, or one of both refuses the credentials.
    """
    found = {mistake.key: mistake for mistake in check_profile(profile)}
    prefect = found.get("PREFECT_API_URL")
    refused = prefect is not None and prefect.kind is MistakeKind.REFUSED
    mistakes = [found.get("MLFLOW_TRACKING_URI"), prefect if refused else None]
    if any(mistakes):
        raise Mistakes(mistake for mistake in mistakes if mistake)
    profile.apply()
    return prefect.message if prefect else ""


def reconcile(
    source: FlowRunSource | None,
    options: ReconcileOptions,
    ui: Ui,
    unreachable: str = "",
    show: Callable[[ReconcilePlan], None] = lambda plan: None,
) -> ReconcilePlanned | Reconciled:
    """Plan, say so and, when asked, act.

    Args:
        source: of flow runs; None where Prefect does not answer or is not asked. `unreachable` is the reason.
        show: is given the plan before anything is done.
    Raises: NotPutRight when something could not be done.
    """
    policy = options.policy()
    planned = plan(source, policy, unreachable)
    show(planned)
    for line in planned.lines():
        ui.say(line)
    report = planned.report().model_dump()
    if not options.apply:
        if planned.dead or planned.marks:
            ui.say("nothing was changed; --apply acts")
        return ReconcilePlanned(**report)
    done = apply(source, planned, policy, ui.say)
    failed = [each for each in done if each.failed]
    if failed:
        raise NotPutRight(
            f"{len(failed)} of {len(done)} could not be put right; they are tried again next time"
        )
    return Reconciled(**report, done=done)


def run(options: ReconcileOptions, ui: Ui) -> ReconcilePlanned | Reconciled:
    """Reconcile by what MLflow and this machine know; flow runs of Prefect are left alone."""
    options.policy()
    use(load_profile(options.profile))
    if not nothing_there():
        ui.say(
            "Prefect is not asked: runs of its flow runs are left alone (python -m flows.reconcile)"
        )
    return reconcile(None, options, ui, WITHOUT_PREFECT)


COMMAND = Command(
    name="reconcile",
    summary="Find runs with status RUNNING whose training is dead, and end them with the evidence.",
    options=ReconcileOptions,
    run=run,
    examples=[
        "onerun reconcile",
        "onerun reconcile --apply",
        'onerun reconcile --also-older-than 7d --experiments "legacy-*"',
    ],
    notes=(
        "Without --apply nothing is changed; the plan is the same. Runs of others are left alone unless\n"
        "--also-older-than names their age. Tag a run onerun.reconcile=never and it is never ended."
    ),
    exit_codes={1: "something could not be put right"},
    interrupted="interrupted; each run is ended whole or not at all",
)
