"""Starting one service of the stack, and waiting until it answers."""

import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from deployments.stack.processes import Processes
from deployments.stack.services import ADDRESS, Service
from deployments.stack.state import fingerprints, write
from onerun.config.mistakes import Mistake, Mistakes

Report = Callable[[str], None]
REPORT_AFTER = 3.0  # seconds between two lines about waiting
LONGEST_START = 600.0  # seconds; first starts make whole databases, and machines are busy
SHOWN = 15  # last lines of a log
LOOK = 0.2  # seconds between two looks


def start(service: Service, processes: Processes, folder: Path) -> bool:
    """Start the service unless it runs. Return whether it was started.

    Raises: Mistakes when its port is taken.
    """
    if processes.find(service.name) is not None:
        return False
    if service.address and taken(*service.place):
        host, port = service.place
        message = (
            f"another program listens on {host}:{port}; end it, set this to an address with "
            "another port, or, where it is the server to use, run `up --existing`"
        )
        raise Mistakes([Mistake(ADDRESS[service.name][0], message)])
    for path, text in service.files.items():
        write(path, text)
    settings = fingerprints(processes.folder, service.ours)
    processes.start(
        service.name,
        service.command,
        service.environment,
        folder,
        service.address,
        service.health,
        settings,
    )
    return True


def taken(host: str, port: int) -> bool:
    """Return whether a program listens there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait(name: str, answers: Callable[[], bool], processes: Processes, report: Report) -> None:
    """Wait until it answers, and report when that takes long.

    Raises: Mistakes, with the end of its log, when it ends or takes too long.
    """
    begun = reported = time.monotonic()
    while not answers():
        now = time.monotonic()
        if processes.find(name) is None or now - begun > LONGEST_START:
            raise Mistakes([Mistake(name, _failure(name, now - begun, processes))])
        if now - reported > REPORT_AFTER:
            reported = now
            report(f"waiting for {name} ({now - begun:.0f} s; a first start takes longest)")
        time.sleep(LOOK)


def _failure(name: str, waited: float, processes: Processes) -> str:
    ended = "ended instead of starting" if processes.find(name) is None else "does not answer"
    lines = "\n".join(f"  {line}" for line in processes.last_lines(name, SHOWN))
    return f"{ended} ({waited:.0f} s); the end of {processes.log(name)}:\n{lines}"


def healthy(health: str) -> bool:
    """Return whether the server answers 200 at that address."""
    try:
        with urllib.request.urlopen(health, timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False
