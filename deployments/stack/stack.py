"""The stack as a whole, from its settings: what it consists of, and `up`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from deployments.pools import need_pool, workers_seen
from deployments.prefect_file import deploy_all
from deployments.stack import existing, services, up
from deployments.stack.credentials import try_all
from deployments.stack.differences import differences
from deployments.stack.existing import Existing
from deployments.stack.processes import Processes
from deployments.stack.services import Service
from deployments.stack.state import alone, state_folder
from deployments.stack.up import Report
from onerun.config.env_file import profile_name
from onerun.config.mistakes import Mistake, MistakeKind, Mistakes
from onerun.config.profile import check_profile
from onerun.config.reachability import unguarded
from onerun.domain.names import WORK_POOL
from settings.profile import PrefectProfile, load_profile
from settings.servers import Servers, load_servers

DEFAULT_PROFILE = "stack"
TRIES, PAUSE = 20, 3.0  # seconds between them
SEEN_WITHIN = timedelta(seconds=60)  # a worker sends a heartbeat every 30 seconds


@dataclass(frozen=True)
class Stack:
    """The services of a profile on this machine, and their processes."""

    name: str  # of the profile
    profile: PrefectProfile
    settings: Servers
    servers: tuple[Service, ...]  # that are started here
    existing: Mapping[str, Existing]  # that are used as they are
    worker: Service
    processes: Processes

    @property
    def all(self) -> tuple[Service, ...]:
        """Return all services in the order of starting."""
        return (*self.servers, self.worker)


def read_stack(name: str | None, use_existing: bool = False) -> Stack:
    """Return the stack of the profile; nothing is started.

    Args:
        use_existing: servers of the profile that answer are used, and only the others started.
    Raises: Mistakes.
    """
    name = meant(name)
    profile = load_profile(name)
    state = state_folder(name)
    settings = load_servers()
    processes = Processes(state)
    found = existing.answering(profile, processes.find) if use_existing else {}
    makers = {"prefect": services.prefect_server, "mlflow": services.mlflow_server}
    started = tuple(
        make(profile, settings, state) for each, make in makers.items() if each not in found
    )
    worker = services.worker(profile, settings, state, WORK_POOL)
    return Stack(name, profile, _of_started(settings, found), started, found, worker, processes)


def _of_started(settings: Servers, found: Mapping[str, Existing]) -> Servers:
    """Return the settings without the databases and artifacts of servers that others run."""
    theirs: dict[str, None] = {}
    if "prefect" in found:
        theirs |= {"prefect_database": None}
    if "mlflow" in found:
        theirs |= {"mlflow_database": None, "mlflow_artifacts": None}
    return settings.model_copy(update=theirs)


def meant(name: str | None) -> str:
    """Return the profile that is meant, as for every command; `stack` where none is named."""
    return profile_name(name, DEFAULT_PROFILE) or DEFAULT_PROFILE


def bring_up(stack: Stack, report: Report) -> None:
    """Start what does not run and wait for it; end what was started here when something fails.

    Raises: Mistakes: what runs has other settings, another `up` is under way, a port is taken,
        a server ends, credentials are refused, a deployment cannot be written.
    """
    _need_no_other(stack)
    try_all(stack.profile, stack.settings, report)
    with alone(stack.processes.folder):
        _need_no_other(stack)  # another `up` may have started it meanwhile
        _bring_up(stack, report)


def _need_no_other(stack: Stack) -> None:
    if found := differences(stack.all, stack.processes):
        raise Mistakes([*_refusals(stack.profile), *found])


def _refusals(profile: PrefectProfile) -> list[Mistake]:
    """Return servers that refuse the credentials: MLflow keeps the password of its first start."""
    return [mistake for mistake in check_profile(profile) if mistake.kind is MistakeKind.REFUSED]


def _bring_up(stack: Stack, report: Report) -> None:
    fresh: list[str] = []
    try:
        _start_servers(stack, fresh, report)
        _log_in(stack.profile)
        stack.profile.apply()
        _start_worker(stack, fresh, report)
        existing.keep(stack.processes.folder, stack.existing)
    except BaseException:  # Ctrl-C too: half a stack is of no use
        for name in reversed(fresh):
            stack.processes.end(name, timeout=10)
        raise


def _log_in(profile: PrefectProfile) -> None:
    """Check that the servers take the credentials.

    Raises: Mistakes: at once for refused credentials or none asked for, after a while for a server
        that does not answer.
    """
    mistakes: list[Mistake] = []
    for _ in range(TRIES):
        mistakes = check_profile(profile)
        if not mistakes:
            mistakes = unguarded(profile)
            break
        if any(mistake.kind is MistakeKind.REFUSED for mistake in mistakes):
            break
        time.sleep(PAUSE)
    if mistakes:
        raise Mistakes(mistakes)


def _start_servers(stack: Stack, fresh: list[str], report: Report) -> None:
    processes = stack.processes
    for each in stack.existing.values():
        report(f"{each.name:<9} {each.address}  (was there; left as it is)")
    for service in stack.servers:
        if up.start(service, processes, processes.folder):
            fresh.append(service.name)
    for service in stack.servers:
        up.wait(service.name, partial(up.healthy, service.health), processes, report)
        before = "" if service.name in fresh else "  (ran already)"
        report(f"{service.name:<9} {service.address}{before}")
        report(f"{'':<9} {service.keeps}")


def _start_worker(stack: Stack, fresh: list[str], report: Report) -> None:
    if need_pool(WORK_POOL, kind="process"):
        report(f"made the work pool {WORK_POOL}")
    deploy_all(report)
    processes = stack.processes
    since = datetime.now(UTC) - SEEN_WITHIN
    if up.start(stack.worker, processes, services.HOME):
        fresh.append("worker")
        since = datetime.now(UTC)  # an earlier one of that name may have been seen a moment ago
    up.wait("worker", lambda: services.WORKER in workers_seen(WORK_POOL, since), processes, report)
    before = "" if "worker" in fresh else "  (ran already)"
    report(f"worker    takes flow runs of the pool {WORK_POOL}{before}")
