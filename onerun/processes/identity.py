"""Processes of this machine: who we are, and whether another one still lives.

A number alone says little: numbers are used again, containers count for themselves, a machine starts anew. So a process
is told by the kernel's start, the pid namespace and the tick at which it started, none of which any clock changes.
"""

import hashlib
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from onerun.domain.reconcile.seen import Process, ProcessState

FIRST_NAMESPACE = (
    "pid:[4026531836]"  # the machine's own; the kernel fixes this number (PROC_PID_INIT_INO)
)
START = 19  # position of starttime among the fields of /proc/PID/stat that follow the name
PROC = Path("/proc")
DEAD = (
    ["Z"],
    ["X"],
)  # states of a process that ended and that nobody has asked for its exit code yet


def this_process() -> Process:
    """Returns: the identity of the process that calls."""
    pid = os.getpid()
    namespace = _namespace()
    return Process(
        host=socket.gethostname(),
        pid=pid,
        boot=_read(PROC / "sys/kernel/random/boot_id"),
        machine=_machine(),
        namespace=namespace,
        start=_start(pid) or 0,
        contained=namespace != FIRST_NAMESPACE,
    )


def state_of(process: Process | None, last_sign: datetime | None = None) -> ProcessState:
    """Whether `process` lives, as far as it can be told from here.

    Args: last_sign: when it was last alive for certain; one alive after this machine started lives on another machine.
    """
    here = this_process()
    if process is None or not (
        process.boot and process.namespace and process.start and here.boot and here.namespace
    ):
        return ProcessState.UNKNOWN
    if process.boot != here.boot:
        return _before_this_boot(process, here, last_sign)
    if process.namespace != here.namespace:
        return (
            ProcessState.ELSEWHERE
        )  # a container beside this one, or this machine seen from within one
    return _by_number(process)


def _by_number(process: Process) -> ProcessState:
    try:
        os.kill(process.pid, 0)  # asks only; sees also what /proc hides from other users
    except ProcessLookupError:
        return ProcessState.GONE
    except PermissionError:
        pass  # somebody else's, and there
    start = _start(process.pid)
    if start is None:
        return ProcessState.UNKNOWN
    if start != process.start:
        return ProcessState.REUSED
    return ProcessState.GONE if _is_zombie(process.pid) else ProcessState.ALIVE


def _before_this_boot(process: Process, here: Process, last_sign: datetime | None) -> ProcessState:
    """Containers move between machines, and names and images are copied: only what is certain counts as a reboot."""
    same = (
        process.host == here.host
        and process.machine == here.machine != ""
        and not process.contained
    )
    if not same or here.contained or last_sign is None:
        return ProcessState.ELSEWHERE
    booted = datetime.fromtimestamp(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), UTC)
    return ProcessState.REBOOTED if last_sign < booted else ProcessState.ELSEWHERE


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, those after the name, which may hold anything."""
    return _read(PROC / str(pid) / "stat").rpartition(")")[2].split()


def _start(pid: int) -> int | None:
    fields = _fields(pid)
    return int(fields[START]) if len(fields) > START else None


def _is_zombie(pid: int) -> bool:
    """Dead, and nobody has asked for its exit code yet."""
    return _fields(pid)[:1] in DEAD


def is_group_dead(group: int) -> bool:
    """Whether all of a process group are dead, though some may count as members until somebody asks how they ended.

    Nobody does in a container whose first process is no init. False where the kernel does not show processes.
    """
    members = [
        fields
        for path in PROC.glob("[0-9]*")
        if (fields := _fields(int(path.name)))[2:3] == [str(group)]
    ]
    return bool(members) and all(fields[:1] in DEAD for fields in members)


def _namespace() -> str:
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:  # not Linux, or a kernel that hides it
        return ""


def _machine() -> str:
    """Hashed: the plain number is meant to stay on the machine (man 5 machine-id)."""
    plain = _read(Path("/etc/machine-id"))
    return hashlib.sha256(f"onerun {plain}".encode()).hexdigest()[:16] if plain else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
