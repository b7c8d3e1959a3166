"""The stack as a whole: up, down, status."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from deployments.pools import LOCAL, make_process_pool, workers_seen
from deployments.stack import services, up
from deployments.stack.credentials import try_all
from deployments.stack.processes import Processes
from deployments.stack.services import Service
from deployments.stack.up import Say
from settings.mistakes import Mistakes
from settings.profile import Profile, check_profile, load_profile
from settings.servers import Servers, load_servers

NAMES = ("prefect", "mlflow", "worker")  # in the order of starting
DEFAULT_PROFILE = "stack"
TRIES, PAUSE = 20, 3.0  # seconds between them
SEEN_WITHIN = timedelta(seconds=60)  # a worker tells that it lives every 30 seconds


@dataclass(frozen=True)
class Stack:
    """The services of a profile on this machine, and their processes."""

    profile: Profile
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
    profile = load_profile(name or os.environ.get("ONERUN_PROFILE") or DEFAULT_PROFILE)
    state = state_folder(profile)
    settings = load_servers()
    listed = (
        services.prefect_server(profile, settings, state),
        services.mlflow_server(profile, settings, state),
    )
    return Stack(profile, settings, listed, services.worker(profile, settings, state, LOCAL), Processes(state))


def state_folder(profile: Profile) -> Path:
    """Returns: where the stack keeps data, logs and the ids of its processes."""
    return Path(profile.variables()["ONERUN_WORK"]) / "stack"


def bring_up(stack: Stack, say: Say) -> None:
    """Starts what does not run and waits for it; what was started here ends again when something is wrong.

    Raises: Mistakes: a port is taken, a server ends, credentials are refused, a deployment cannot be written.
    """
    try_all(stack.profile, stack.settings, say)
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


def _log_in(profile: Profile) -> None:
    """Raises: Mistakes: refused credentials at once, the silence of a server that has just come up after a while."""
    for _ in range(TRIES):
        mistakes = check_profile(profile)
        if not mistakes:
            return
        if any("refuses" in mistake.message for mistake in mistakes):
            break
        time.sleep(PAUSE)
    raise Mistakes(mistakes)


def _start_servers(stack: Stack, fresh: list[str], say: Say) -> None:
    processes = stack.processes
    for service in stack.servers:
        if up.start(service, processes, processes.folder, say):
            fresh.append(service.name)
    for service in stack.servers:
        up.wait(service.name, partial(up.healthy, service), processes, say)
        say(f"{service.name:<9} {service.address}" + ("" if service.name in fresh else "  (ran already)"))


def _start_worker(stack: Stack, fresh: list[str], say: Say) -> None:
    if make_process_pool():
        say(f"made the work pool {LOCAL}")
    up.deploy(say)
    processes = stack.processes
    since = datetime.now(UTC) - SEEN_WITHIN
    if up.start(stack.worker, processes, services.HOME, say):
        fresh.append("worker")
        since = datetime.now(UTC)  # an earlier one of that name may have been heard of a moment ago
    up.wait("worker", lambda: services.WORKER in workers_seen(LOCAL, since), processes, say)
    say(f"worker    takes flow runs of the pool {LOCAL}" + ("" if "worker" in fresh else "  (ran already)"))


def take_down(stack: Stack, say: Say) -> list[str]:
    """Ends what was started here, the worker first. Returns: the names of what ran. Data stays."""
    ended = []
    for service in reversed(stack.all):
        if stack.processes.end(service.name, service.patience):
            ended.append(service.name)
            say(f"{service.name:<9} ended")
    if not ended:
        say("nothing ran")
    return ended


def status(stack: Stack, say: Say | None) -> list[dict[str, Any]]:
    """Returns: for each service whether its process lives and whether it answers; says so line by line."""
    found = [_state(service, stack.processes) for service in stack.all]
    for service in found if say else ():
        assert say is not None
        pid = f"pid {service['pid']}" if service["pid"] else ""
        say(f"{service['name']:<9} {service['state']:<16} {pid:<12} {service['address'] or ''}".rstrip())
    return found


def _state(service: Service, processes: Processes) -> dict[str, Any]:
    process = processes.find(service.name)
    answers = process is not None and (not service.health or up.healthy(service))
    return {
        "name": service.name,
        "pid": process.pid if process else None,
        "state": "not running" if process is None else "runs" if answers else "does not answer",
        "address": service.address or None,
        "log": str(processes.log(service.name)),
    }
