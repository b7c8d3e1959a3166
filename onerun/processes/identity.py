"""The identity of a process, and whether it still lives.

A pid alone does not identify one: pids are used again, containers count for themselves, machines
reboot. So a process is identified by the boot id, the pid namespace and the tick at which it
started, none of which any clock changes.
"""

import hashlib
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from onerun.domain.reconcile.seen import Process, ProcessState

# the machine's own; the kernel fixes this number (PROC_PID_INIT_INO)
FIRST_NAMESPACE = "pid:[4026531836]"
START = 19  # position of starttime among the fields of /proc/PID/stat that follow the name
PROC = Path("/proc")
DEAD = (["Z"], ["X"])  # states of a process that ended and whose exit code was not collected yet


def this_process() -> Process:
    """Return the identity of the calling process."""
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
    """Return whether `process` lives, as far as this process can see.

    Args:
        process: None where its identity was not recorded.
        last_sign: When it was last alive for certain. One that lived after this machine booted,
            under another boot id, runs on another machine.
    """
    here = this_process()
    if process is None or not (
        process.boot and process.namespace and process.start and here.boot and here.namespace
    ):
        return ProcessState.UNKNOWN
    if process.boot != here.boot:
        return _before_this_boot(process, here, last_sign)
    if process.namespace != here.namespace:
        # a container beside this one, or this machine seen from within one
        return ProcessState.ELSEWHERE
    return _by_number(process)


def _by_number(process: Process) -> ProcessState:
    try:
        os.kill(process.pid, 0)  # only asks; sees also what /proc hides from other users
    except ProcessLookupError:
        return ProcessState.MISSING
    except PermissionError:
        pass  # another user's, and alive
    start = _start(process.pid)
    if start is None:
        return ProcessState.UNKNOWN
    if start != process.start:
        return ProcessState.REUSED
    if _fields(process.pid)[:1] in DEAD:
        return ProcessState.MISSING
    return ProcessState.ALIVE


def _before_this_boot(process: Process, here: Process, last_sign: datetime | None) -> ProcessState:
    """Tell a reboot from another machine: containers move, and names and images are copied."""
    same = (
        process.host == here.host
        and process.machine == here.machine != ""
        and not process.contained
    )
    if not same or here.contained or last_sign is None:
        return ProcessState.ELSEWHERE
    booted = datetime.fromtimestamp(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), UTC)
    if last_sign < booted:
        return ProcessState.REBOOTED
    return ProcessState.ELSEWHERE


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may hold anything."""
    return _read(PROC / str(pid) / "stat").rpartition(")")[2].split()


def _start(pid: int) -> int | None:
    fields = _fields(pid)
    if len(fields) <= START:
        return None
    return int(fields[START])


def is_group_dead(group: int) -> bool:
    """Return whether all members of a process group are dead, zombies included.

    Zombies stay for ever in a container whose first process is not an init. False where the kernel
    shows no processes.
    """
    processes = [_fields(int(path.name)) for path in PROC.glob("[0-9]*")]
    members = [fields for fields in processes if fields[2:3] == [str(group)]]
    return bool(members) and all(fields[:1] in DEAD for fields in members)


def _namespace() -> str:
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:  # not Linux, or a kernel that hides it
        return ""


def _machine() -> str:
    """Return the machine's id hashed: the plain one is meant to stay on the machine (man 5
    machine-id).
    """
    plain = _read(Path("/etc/machine-id"))
    if not plain:
        return ""
    return hashlib.sha256(f"onerun {plain}".encode()).hexdigest()[:16]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
