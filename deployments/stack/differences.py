"""What runs with other settings than are asked for now, which `up` refuses."""

from collections.abc import Iterable

from deployments.stack.processes import Processes, Started
from deployments.stack.services import ADDRESS, Service
from deployments.stack.state import fingerprints
from onerun.config.mistakes import Mistake

RESTART = "`python -m deployments.stack down` (make down), then up"


def differences(services: Iterable[Service], processes: Processes) -> list[Mistake]:
    """Return a line for each process at another address, else for each with other settings."""
    pairs = [
        (service, running) for service in services if (running := processes.find(service.name))
    ]
    moved = [
        _moved(service, running) for service, running in pairs if running.address != service.address
    ]
    changed = [(service, _changed(service, running, processes)) for service, running in pairs]
    return moved or [_otherwise(service.name, names) for service, names in changed if names]


def _moved(service: Service, running: Started) -> Mistake:
    variable, path = ADDRESS[service.name]
    message = f"{service.name} runs at {running.address}, and {service.address} is asked for now"
    return Mistake(variable, f"{message}; {RESTART}, or set {variable}={running.address}{path}")


def _changed(service: Service, running: Started, processes: Processes) -> list[str]:
    """Return the names of what differs; values are compared by their fingerprints."""
    now = fingerprints(processes.folder, service.ours)
    names = sorted(
        name
        for name in now.keys() | running.settings.keys()
        if now.get(name) != running.settings.get(name)
    )
    return [*names, *(["its command line"] if running.command != service.command else [])]


def _otherwise(name: str, changed: list[str]) -> Mistake:
    return Mistake(
        name, f"runs with other settings than are asked for now ({', '.join(changed)}); {RESTART}"
    )
