"""`onerun maintain`: plan what a store no longer needs and, when asked, archive and remove it."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, SkipValidation, field_serializer

from onerun.commands.command import Command
from onerun.commands.dead_runs import NoOrchestrator
from onerun.commands.notification import failure_notified, notify_about
from onerun.commands.options import Argument, CommonOptions
from onerun.commands.profile_store import use_folder
from onerun.commands.ui import Ui
from onerun.config.addresses import redact, redacted
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.policy import Policy
from onerun.config.prefect_address import named_server
from onerun.domain.cleanup.findings import Finding, counted
from onerun.domain.cleanup.messages import finding_lines, message_lines, plan_lines, result_lines
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from onerun.domain.text import size

if TYPE_CHECKING:
    from onerun.cleanup.litter import Places
    from onerun.cleanup.maintenance import Planned
    from onerun.cleanup.orchestrator import Orchestrator

WAITS_FOR_A_PERSON = 7 * 86_400  # seconds, where no terminal is at hand
NO_SERVER = (
    "Prefect was not asked which flow runs are live (no API is named): only runs with status "
    "RUNNING or SCHEDULED count as live. Set PREFECT_API_URL where trainings run under a server"
)
NOT_ASKED = (
    "Prefect was not asked which flow runs are live: `python -m flows.maintain` asks the server "
    "that PREFECT_API_URL names. Here only runs with status RUNNING or SCHEDULED count as live"
)


class MaintainOptions(CommonOptions):
    """Options of a clean-up."""

    policy: Annotated[str, Argument(metavar="FILE")] = Field(
        "weekly", description="a policy: the name of one in policies/, a YAML file, or YAML text"
    )
    apply: bool = Field(False, description="do it; without this nothing is changed")
    yes_really: bool = Field(False, description="delete more than the policy's max_delete allows")
    overrides: Annotated[list[str], Argument("--set", metavar="KEY=VALUE")] = Field(
        [], description="set any key of the policy, such as keep.younger_than=60d; may be repeated"
    )
    store: Annotated[str | None, Argument(metavar="FOLDER")] = Field(
        None, description="a store of files such as ./mlruns, in place of the profile's store"
    )
    report: Annotated[str | None, Argument(metavar="FILE")] = Field(
        None, description="write a report in HTML, and beside it a list of all items"
    )


class MaintainResult(BaseModel):
    """What would be done, or was.

    findings: what is wrong in the store. notes: what the plan could not look at. result: what was
    done; None: nothing. report, listed: addresses of the report and of the list of all items;
    empty: none was written.
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["planned", "done"]
    plan: InstanceOf[Plan]
    findings: SkipValidation[list[Finding]]
    notes: list[str]
    result: InstanceOf[Result] | None
    report: str
    listed: str = Field(serialization_alias="list")

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        yield from plan_lines(self.plan, self.listed)
        yield from finding_lines(self.findings, self.plan.at)
        yield from self.notes
        if self.result is not None:
            yield from result_lines(self.plan.action, self.result)

    @field_serializer("plan")
    def _plan(self, plan: Plan) -> dict[str, object]:
        return plan.as_json()

    @field_serializer("findings")
    def _findings(self, findings: list[Finding]) -> list[dict[str, object]]:
        return [finding.as_json(self.plan.at) for finding in findings]

    @field_serializer("result")
    def _result(self, result: Result | None) -> dict[str, object] | None:
        return None if result is None else result.as_json()


def run(
    options: MaintainOptions, ui: Ui, orchestrator: "Orchestrator | None" = None
) -> MaintainResult:
    """Plan and, with `apply`, carry the plan out.

    Args:
        orchestrator: is asked which flow runs are live, for the plan and again right before it is
            carried out.

    Raises:
        Mistakes: something in what was asked is wrong, or no person agreed; nothing was changed.
        TooMuch: the plan deletes more than the policy's max_delete.
        OnerunError: something could not be done; nothing is lost.
    """
    policy = checked_policy(options.policy, options.overrides)
    notified = options.apply or not ui.attended  # otherwise a person reads the terminal
    with failure_notified(policy, ui.page) if notified else nullcontext():
        if options.apply and orchestrator is None:
            _require_every_answer(options.profile)
        asked = orchestrator or NoOrchestrator()
        policy, places = with_store(policy, options, asked)
        return _maintain(options, policy, places, ui, asked)


def _maintain(
    options: MaintainOptions,
    policy: Policy,
    places: "Places | None",
    ui: Ui,
    orchestrator: "Orchestrator",
) -> MaintainResult:
    from onerun.cleanup.execution import require_allowed
    from onerun.cleanup.maintenance import carry_out, planned

    live = orchestrator.live_flow_runs()
    with planned(policy, live or (), options.store, places) as made:
        if live is None:
            made.notes.append(NOT_ASKED if named_server(options.profile) else NO_SERVER)
        if not options.store:
            made.findings.extend(orchestrator.dead_runs(measure=True))
        presenter = _Presenter(made, ui, _report_address(options, made, ui))
        presenter.plan()
        if not options.apply:
            if made.plan.amount and ui.attended:
                ui.say("nothing was changed; --apply does it")
            return presenter.nothing_done("is planned")
        require_allowed(made.plan, made.policy, options.yes_really)
        if not _approved(made, presenter):
            return presenter.nothing_done("was not approved")
        live = orchestrator.live_flow_runs()
        return presenter.done(carry_out(made, options.yes_really, live or ()))


def checked_policy(policy: str, overrides: Sequence[str]) -> Policy:
    """Return the policy; its addresses for notifications are set. Raises: Mistakes."""
    from onerun.config.loading import load_policy
    from onerun.notify import addresses

    checked = load_policy(policy, overrides)
    addresses(checked.notify)
    return checked


def with_store(
    policy: Policy, options: MaintainOptions, orchestrator: "Orchestrator"
) -> "tuple[Policy, Places | None]":
    """Apply the profile, whose store has to answer unless a folder takes its place.

    Returns: the policy, which says where archives go; and where trainings leave things. Raises:
    Mistakes.
    """
    from onerun import storage
    from onerun.cleanup.litter import Places

    places = None
    if options.store is None:
        variables = orchestrator.use_store(options.profile).variables()
        places = Places(work=variables["ONERUN_WORK"], store=variables["ONERUN_STORE"])
    else:
        variables = use_folder(options.store, options.profile).variables()
    return policy.with_archives(storage.join(variables["ONERUN_STORE"], "backups")), places


def _require_every_answer(profile: str | None) -> None:
    """Refuse to change anything while a server that is not asked may know of live flow runs.

    One that waits for a retry or for an approval has a run that ended, which looks like any other.
    """
    server = named_server(profile)
    if server:
        message = (
            f"names {redact(server)}, and `onerun maintain` does not ask it which flow runs are live; "
            "nothing was changed. Run `python -m flows.maintain` with the same options, or set the "
            "variable to nothing (PREFECT_API_URL=) where no training of this store runs under that "
            "server"
        )
        raise Mistakes([Mistake("PREFECT_API_URL", message)])


def _approved(made: "Planned", presenter: "_Presenter") -> bool:
    """Return whether to go on.

    Raises: Mistakes when a person has to agree and none did at the terminal.
    """
    for_good = made.policy.action == "hard_delete" or made.plan.litter > 0
    if made.policy.approval == "auto" or not for_good or not made.plan.amount:
        return True
    question = f"delete {made.plan.amount}, {size(made.plan.bytes)}, for good?"
    presenter.waits(question)
    answer = presenter.ui.confirm(question)
    if answer is None:
        message = (
            "is manual: run it at a terminal, or as a deployment and approve it in the Prefect UI; "
            "nothing was changed"
        )
        raise Mistakes([Mistake("approval", message)])
    if not answer and presenter.ui.attended:
        raise Mistakes([Mistake("approval", "not confirmed; nothing was changed")])
    return answer


def _report_address(options: MaintainOptions, made: "Planned", ui: Ui) -> str:
    """Return where the report goes; empty: none is wanted.

    Where no person reads along, one is always kept.
    """
    from onerun.cleanup.reports import address_of_report

    if options.report:
        return options.report
    if ui.attended:
        return ""
    return address_of_report(made.policy, made.store.identity, made.plan.at)


class _Presenter:
    """Plan and result as reports, pages and notifications."""

    def __init__(self, made: "Planned", ui: Ui, report: str) -> None:
        from onerun.cleanup.reports import list_beside

        self.ui, self._made, self._report = ui, made, report
        self._listed = list_beside(report)
        self._key = key_of(made.policy.name)

    def plan(self) -> None:
        """Show the plan and what was found."""
        made = self._made
        self._write_report(None)
        self.ui.publish(f"{self._key}-plan", "What would go, by experiment", rows=made.plan.table())
        lines = [
            *plan_lines(made.plan, self._listed),
            *finding_lines(made.findings, made.plan.at),
            *made.notes,
        ]
        self.ui.publish(f"{self._key}-plan-in-words", "The plan", lines=lines)
        found = [
            {"what": title, "how many": count, "bytes": size(held), "what is done": remedy}
            for title, count, held, remedy in counted(made.findings)
        ]
        self.ui.publish(f"{self._key}-troubles", "What was found", rows=found)

    def waits(self, question: str) -> None:
        """Say where a person reads it that an answer is wanted."""
        if not self.ui.attended:
            self._notify(
                "waits for a person", [f"answer within a week: {question}", *self._message(None)]
            )

    def nothing_done(self, event: str) -> MaintainResult:
        """Return the plan alone; of a schedule, which nobody watches, send it as well."""
        if not self.ui.attended:
            self._notify(event, self._message(None))
        return self._result(None)

    def done(self, result: Result) -> MaintainResult:
        """Show what was done, and send it."""
        self._write_report(result)
        result.notes += self._notify("", self._message(result))
        lines = [*result_lines(self._made.policy.action, result)]
        if self._report:
            lines.append(f"report: {self._report}")
        self.ui.publish(f"{self._key}-result", "What was done", lines=lines)
        return self._result(result)

    def _result(self, result: Result | None) -> MaintainResult:
        made = self._made
        return MaintainResult(
            status="planned" if result is None else "done",
            plan=made.plan,
            findings=made.findings,
            notes=made.notes,
            result=result,
            report=self._report,
            listed=self._listed,
        )

    def _message(self, result: Result | None) -> list[str]:
        made = self._made
        return list(message_lines(made.plan, made.findings, result, self._listed))

    def _notify(self, event: str, lines: list[str]) -> list[str]:
        first, *more = lines
        links = [each for each in (self.ui.page, self._report) if each]
        failed = notify_about(self._made.policy, event, [first, *links, *more])
        if event:  # what was done has notes of its own
            for line in failed:
                self.ui.warn(line)
        return failed

    def _write_report(self, result: Result | None) -> None:
        """Write the report, with its list beside it before anything is done.

        A person who asked for one is told at once that it cannot be written; once something was
        done, and where nobody watches, that is a warning.
        """
        from onerun.cleanup.reports import keep_report, write_list, write_report

        if not self._report:
            return
        made = self._made
        try:
            if result is None:
                write_list(made.items, self._listed)
            page = made.page(result, self._listed)
            if self.ui.attended:
                write_report(self._report, page)
            else:
                keep_report(made.policy, self._report, page)
        except Exception as error:
            if self.ui.attended and result is None:
                raise
            reason = redacted(str(error))[:500]
            self.ui.warn(f"the report could not be written to {self._report}: {reason}")
            self._report = self._listed = ""
            return
        self.ui.publish(f"{self._key}-report", "Plan or result, in full", link=self._report)


def key_of(policy: str) -> str:
    """Return the beginning of the keys of a policy's pages.

    Prefect takes small letters, digits and dashes.
    """
    return "maintenance-" + "".join(
        letter if letter.isalnum() else "-" for letter in policy.lower()
    )


COMMAND = Command(
    name="maintain",
    summary="Plan what a store no longer needs, and with --apply archive and remove it.",
    options=MaintainOptions,
    run=run,
    examples=[
        "onerun maintain --policy policies/weekly.yaml",
        "onerun maintain --policy policies/weekly.yaml --apply",
        "onerun maintain --policy weekly --set keep.younger_than=60d --report report.html",
    ],
    notes=(
        "Without --apply nothing is changed. Aliases, registered versions, pins and live runs\n"
        "protect, whatever the policy says. `python -m flows.maintain` also asks the Prefect\n"
        "server that PREFECT_API_URL names; while one is named, only that command changes anything."
    ),
    exit_codes={
        1: "something could not be done",
        130: "interrupted (run it again: it finishes what was begun)",
    },
    interrupted="interrupted; run it again, it finishes what was begun",
)
