"""What runs of the stack, by its records alone: shown and ended even after settings changed."""

from typing import Any

from deployments.stack import existing
from deployments.stack.existing import Existing
from deployments.stack.processes import Processes
from deployments.stack.services import TIMEOUTS
from deployments.stack.state import alone
from deployments.stack.up import Report, healthy

NAMES = tuple(TIMEOUTS)  # in the order of starting


def take_down(processes: Processes, report: Report) -> list[str]:
    """End what was started here, the worker first. Return the names of what ran. Data stays."""
    ended = []
    if processes.folder.is_dir():
        with alone(processes.folder):
            ended = [name for name in reversed(NAMES) if _ended(name, processes, report)]
            for each in existing.kept(processes.folder).values():
                report(f"{each.name:<9} left as it is: it was not started here ({each.address})")
            existing.keep(processes.folder, {})
    if not ended:
        report(f"nothing ran that was started from {processes.folder}")
    return ended


def _ended(name: str, processes: Processes, report: Report) -> bool:
    ran = processes.end(name, TIMEOUTS[name])
    if ran:
        report(f"{name:<9} ended")
    return ran


def status(processes: Processes, report: Report | None) -> list[dict[str, Any]]:
    """Return for each service whether its process lives and answers; show a line for each."""
    used = existing.kept(processes.folder)
    found = [_state(name, processes, used.get(name)) for name in NAMES]
    if report is None:
        return found
    for service in found:
        pid = f"pid {service['pid']}" if service["pid"] else ""
        line = f"{service['name']:<9} {service['state']:<16} {pid:<12} {service['address'] or ''}"
        report(line.rstrip())
    return found


def _state(name: str, processes: Processes, used: Existing | None) -> dict[str, Any]:
    process = processes.find(name)
    if process is None and used is not None:
        answers = not used.health or healthy(used.health)
        state = "existing" if answers else "does not answer"
        return {"name": name, "pid": None, "state": state, "address": used.address, "log": None}
    log = str(processes.log(name))
    if process is None:
        return {"name": name, "pid": None, "state": "not running", "address": None, "log": log}
    answers = not process.health or healthy(process.health)
    return {
        "name": name,
        "pid": process.pid,
        "state": "runs" if answers else "does not answer",
        "address": process.address or None,
        "log": log,
    }
