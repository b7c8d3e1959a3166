"""What runs of the stack, by its records alone: told and ended whatever has become of the settings meanwhile."""

from collections.abc import Callable
from typing import Any

from deployments.stack import existing
from deployments.stack.existing import Existing
from deployments.stack.processes import Processes
from deployments.stack.services import PATIENCE
from deployments.stack.state import alone
from deployments.stack.up import healthy

NAMES = tuple(PATIENCE)  # in the order of starting
Say = Callable[[str], None]


def take_down(processes: Processes, say: Say) -> list[str]:
    """Ends what was started here, the worker first. Returns: the names of what ran. Data stays."""
    ended = []
    if processes.folder.is_dir():
        with alone(processes.folder):
            ended = [name for name in reversed(NAMES) if _ended(name, processes, say)]
            for each in existing.kept(processes.folder).values():
                say(f"{each.name:<9} left as it is: it was not started here ({each.address})")
            existing.keep(processes.folder, {})
    if not ended:
        say(f"nothing ran that was started from {processes.folder}")
    return ended


def _ended(name: str, processes: Processes, say: Say) -> bool:
    ran = processes.end(name, PATIENCE[name])
    if ran:
        say(f"{name:<9} ended")
    return ran


def status(processes: Processes, say: Say | None) -> list[dict[str, Any]]:
    """Return for each service whether its process lives and whether it answers; says so line by line."""
    used = existing.kept(processes.folder)
    found = [_state(name, processes, used.get(name)) for name in NAMES]
    for service in found if say else ():
        assert say is not None
        pid = f"pid {service['pid']}" if service["pid"] else ""
        say(
            f"{service['name']:<9} {service['state']:<16} {pid:<12} {service['address'] or ''}".rstrip()
        )
    return found


def _state(name: str, processes: Processes, used: Existing | None) -> dict[str, Any]:
    process = processes.find(name)
    if process is None and used is not None:
        answers = not used.health or healthy(used.health)
        state = "existing" if answers else "does not answer"
        return {"name": name, "pid": None, "state": state, "address": used.address, "log": None}
    answers = process is not None and (not process.health or healthy(process.health))
    return {
        "name": name,
        "pid": process.pid if process else None,
        "state": "not running" if process is None else "runs" if answers else "does not answer",
        "address": process.address or None if process else None,
        "log": str(processes.log(name)),
    }
