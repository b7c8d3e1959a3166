"""Processes that outlive the command that started them, found again by id and start time.

An id alone may belong to another process by now: what was not started here is never ended.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deployments.stack.state import write

PROC = Path("/proc/self/stat")  # Linux; elsewhere `ps` is asked
KILLED = 10.0  # seconds that a killed process may take to end, on a busy machine
TICK = 0.1  # seconds between two looks at a process that is to end


@dataclass(frozen=True)
class Started:
    """A process as it was started."""

    pid: int
    since: str  # as the system tells it: identifies the process together with its id
    command: tuple[str, ...]
    address: str = ""  # what a person opens
    health: str = ""  # answers 200 when it works
    # fingerprints of the variables it was given, by name
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def lives(self) -> bool:
        """Return whether this very process still lives."""
        return start_time(self.pid) == self.since


class Processes:
    """The processes recorded in one folder, each under a name, with its log beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log(self, name: str) -> Path:
        """Return the file that the process writes to."""
        return self.folder / "logs" / f"{name}.log"

    def find(self, name: str) -> Started | None:
        """Return the living process of that name; None when none was started or it has ended."""
        try:
            held = json.loads(self._record(name).read_text())
        except (OSError, ValueError):  # never started, or the disk was full when it was
            return None
        started = Started(**held | {"command": tuple(held["command"])})
        return started if started.lives else None

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path,
        address: str = "", health: str = "", settings: Mapping[str, str] | None = None,
    ) -> Started:  # fmt: skip
        """Start it in its own session: Ctrl-C and the end of this terminal do not reach it."""
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        since = start_time(process.pid) or "gone"
        started = Started(process.pid, since, tuple(command), address, health, settings or {})
        write(self._record(name), json.dumps(asdict(started)))
        return started

    def end(self, name: str, timeout: float) -> bool:
        """Ask it to end, its children first, and kill it after `timeout` seconds.

        A worker that is asked first would kill its flow runs, which would stay in RUNNING for
        ever; asked themselves, they record that they were aborted. Meanwhile the worker is
        stopped, so that it does not start the next one. Return whether it lived.
        """
        started = self.find(name)
        if started is not None:
            _signal(started, signal.SIGSTOP)
            try:
                end_children(started.pid, timeout)
            finally:  # Ctrl-C: one that stays held looks alive, and takes no flow run
                _signal(started, signal.SIGTERM)
                _signal(started, signal.SIGCONT)
            _wait_for_end([started], timeout)
            with suppress(ProcessLookupError):  # its session, children that outlived it included
                os.killpg(started.pid, signal.SIGKILL)
            _wait_for_end([started], KILLED)  # the next one needs its port
        self._record(name).unlink(missing_ok=True)
        return started is not None

    def last_lines(self, name: str, number: int) -> list[str]:
        """Return the end of its log."""
        try:
            with self.log(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 500 * number))
                return log.read().decode(errors="replace").splitlines()[-number:]
        except FileNotFoundError:
            return []

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def end_children(pid: int, timeout: float) -> None:
    """Ask the processes that it started to end, and wait at most `timeout` seconds."""
    below = [Started(child, start_time(child) or "gone", ()) for child in children(pid)]
    for child in below:
        _signal(child, signal.SIGTERM)
    _wait_for_end(below, timeout)


def _signal(process: Started, number: signal.Signals) -> None:
    if process.lives:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _wait_for_end(processes: Sequence[Started], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while any(process.lives for process in processes) and time.monotonic() < deadline:
        time.sleep(TICK)


def children(pid: int) -> list[int]:
    """Return the ids of the processes that it started and that still are there."""
    if PROC.exists():
        stats = [(path.parent.name, _fields(path)) for path in Path("/proc").glob("[0-9]*/stat")]
        return [int(name) for name, fields in stats if fields[1:2] == [str(pid)]]
    shown = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [line.split() for line in shown.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def _fields(stat: Path) -> list[str]:
    """Return a process as Linux describes it, from its state on; nothing when it has ended."""
    try:
        # after the name, which may hold anything
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> str | None:
    """Return when the process began, as the system writes it; None when it ended or is a zombie."""
    if PROC.exists():
        fields = _fields(Path(f"/proc/{pid}/stat"))
        return None if not fields or fields[0] in "ZX" else fields[19]
    shown = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True
    )
    state, _, since = shown.stdout.strip().partition(" ")
    return None if shown.returncode or state.startswith("Z") else since.strip()
