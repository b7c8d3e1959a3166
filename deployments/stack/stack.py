"""The stack as a whole, from its settings: what it consists of, and `up`."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from deployments.pools import LOCAL, make_what_is_missing, workers_seen
from deployments.stack import services, up
from deployments.stack.credentials import try_all
from deployments.stack.differences import differences
from deployments.stack.processes import Processes
from deployments.stack.services import Service
from deployments.stack.state import alone, state_folder
from deployments.stack.up import Say
from onerun.config.env_file import profile_name
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import check_profile
from onerun.config.reachability import unguarded
from settings.profile import PrefectProfile, load_profile
from settings.servers import Servers, load_servers

DEFAULT_PROFILE = "stack"
TRIES, PAUSE = 20, 3.0  # seconds between them
SEEN_WITHIN = timedelta(seconds=60)  # a worker tells that it lives every 30 seconds


@dataclass(frozen=True)
class Stack:
    """The services of a profile on this machine, and their processes."""

    name: str  # of the profile
    profile: PrefectProfile
    settings: Servers
    servers: tuple[Service, ...]
    worker: Service
    processes: Processes

    @property
    def all(self) -> tuple[Service, ...]:
        """In the order of starting."""
        return (*self.servers, self.worker)


def read_stack(name: str | None) -> Stack:
    """Returns: the stack of the profile; nothing is started. Raises: Mistakes."""
    name = meant(name)
    profile = load_profile(name)
    state = state_folder(name)
    settings = load_servers()
    listed = (
        services.prefect_server(profile, settings, state),
        services.mlflow_server(profile, settings, state),
    )
    return Stack(
        name,
        profile,
        settings,
        listed,
        services.worker(profile, settings, state, LOCAL),
        Processes(state),
    )


def meant(name: str | None) -> str:
    """Returns: the profile that is meant, as for every command; `stack` where nobody names one."""
    return profile_name(name, DEFAULT_PROFILE) or DEFAULT_PROFILE


def bring_up(stack: Stack, say: Say) -> None:
    """Starts what does not run and waits for it; what was started here ends again when something is wrong.

    Raises: Mistakes: what runs has other settings, another `up` is under way, a port is taken, a server ends,
    credentials are refused, a deployment cannot be written.
    """
    _need_no_other(stack)
    try_all(stack.profile, stack.settings, say)
    with alone(stack.processes.folder):
        _need_no_other(stack)  # another `up` may have started it meanwhile
        _bring_up(stack, say)


def _need_no_other(stack: Stack) -> None:
    if found := differences(stack.all, stack.processes):
        raise Mistakes([*_refusals(stack.profile), *found])


def _refusals(profile: PrefectProfile) -> list[Mistake]:
    """What runs and refuses the credentials says so first: MLflow's password is that of its first start, up or down."""
    return [mistake for mistake in check_profile(profile) if "refuses" in mistake.message]


def _bring_up(stack: Stack, say: Say) -> None:
    fresh: list[str] = []
    try:
        _start_servers(stack, fresh, say)
        _log_in(stack.profile)
        stack.profile.apply()
        _start_worker(stack, fresh, say)
    except BaseException:  # Ctrl-C too: half a stack is nobody's
        for name in reversed(fresh):
            stack.processes.end(name, patience=10)
        raise


def _log_in(profile: PrefectProfile) -> None:
    """Raises: Mistakes: refused credentials, or none asked for, at once; silence of a fresh server after a while."""
    mistakes: list[Mistake] = []
    for _ in range(TRIES):
        mistakes = check_profile(profile)
        if not mistakes:
            mistakes = unguarded(profile)
            break
        if any("refuses" in mistake.message for mistake in mistakes):
            break
        time.sleep(PAUSE)
    if mistakes:
        raise Mistakes(mistakes)


def _start_servers(stack: Stack, fresh: list[str], say: Say) -> None:
    processes = stack.processes
    for service in stack.servers:
        if up.start(service, processes, processes.folder):
            fresh.append(service.name)
    for service in stack.servers:
        up.wait(service.name, partial(up.healthy, service.health), processes, say)
        say(
            f"{service.name:<9} {service.address}"
            + ("" if service.name in fresh else "  (ran already)")
        )
        say(f"{'':<9} {service.keeps}")


def _start_worker(stack: Stack, fresh: list[str], say: Say) -> None:
    for what in make_what_is_missing():
        say(f"made {what}")
    up.deploy(say)
    processes = stack.processes
    since = datetime.now(UTC) - SEEN_WITHIN
    if up.start(stack.worker, processes, services.HOME):
        fresh.append("worker")
        since = datetime.now(UTC)  # an earlier one of that name may have been heard of a moment ago
    up.wait("worker", lambda: services.WORKER in workers_seen(LOCAL, since), processes, say)
    say(
        f"worker    takes flow runs of the pool {LOCAL}"
        + ("" if "worker" in fresh else "  (ran already)")
    )
