"""Run a program: in its own process group, its output streamed to the log, nothing left running."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from onerun.domain.errors import TrainingFailed, TrainingKilled
from onerun.processes.identity import is_group_dead
from onerun.processes.output import Output

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
POLL = 0.2
SHELL_SIGNALS = {
    128 + number: number
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT)
}


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout: float | None = None,
    secret: Collection[str] = (),
) -> None:
    """Run `command` to its end. Whatever ends this call also ends the program's process group.

    Args:
        command: The program and its arguments.
        environment: All its variables.
        timeout: Seconds.
        secret: Names of variables whose values the log must not show, besides those that sound
            secret.

    Raises:
        TrainingFailed: It cannot be started or exits with an error.
        TrainingKilled: A signal ended it, or `timeout` seconds are over.
    """
    output = Output(environment, secret)
    try:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise TrainingFailed(
            f"cannot start {command[0]!r}: {error.strerror}; look at train.command"
        ) from error
    with _watchdog(process.pid):
        try:
            in_time = _follow(process, output, timeout)
        finally:
            _end_group(process, output)
    if not in_time:
        raise TrainingKilled(
            f"{_name(command)} was stopped after {timeout:g} seconds (train.timeout){output.last()}"
        )
    _check_exit(command, process.returncode, output)


@contextmanager
def _watchdog(group: int) -> Iterator[None]:
    """Let a watchdog process end the group, should this process be killed within the block."""
    watchdog = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py")), str(group)],
        stdin=subprocess.PIPE,
        env={},
        start_new_session=True,
    )
    assert watchdog.stdin is not None
    try:
        yield
    finally:
        with suppress(BrokenPipeError):  # the watchdog was killed
            watchdog.stdin.write(b"done")
            watchdog.stdin.close()
        watchdog.wait()


def _follow(process: "subprocess.Popen[bytes]", output: Output, timeout: float | None) -> bool:
    """Read the output until the program ends. Returns False when `timeout` seconds were over
    first.
    """
    assert process.stdout is not None
    end = float("inf")
    if timeout is not None:
        end = time.monotonic() + timeout
    is_open = True
    while process.poll() is None:
        if time.monotonic() >= end:
            return False
        if is_open:
            is_open = _read(process, output, POLL)
        else:  # it closed its output and works on
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
    # a grandchild may hold the pipe open for ever
    while is_open and select.select([process.stdout], [], [], 0)[0]:
        is_open = _read(process, output, 0)
    return True


def _read(process: "subprocess.Popen[bytes]", output: Output, timeout: float) -> bool:
    """Read what the program writes within `timeout` seconds. Returns whether its output is still
    open.
    """
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], timeout)[0]:
        return True
    chunk = os.read(process.stdout.fileno(), 65536)
    output.take(chunk)
    return bool(chunk)


def _end_group(process: "subprocess.Popen[bytes]", output: Output) -> None:
    """End the members of the group that still run: SIGTERM, then SIGKILL."""
    assert process.stdout is not None
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _signalled(process.pid, number):
            break
        end = time.monotonic() + GRACE
        while time.monotonic() < end and _alive(process):
            _read(process, output, 0.05)
    process.wait()
    process.stdout.close()
    output.close()


def _alive(process: "subprocess.Popen[bytes]") -> bool:
    process.poll()  # a dead leader counts as a member until its exit code is collected
    return _signalled(process.pid, 0) and not is_group_dead(process.pid)


def _signalled(group: int, number: int) -> bool:
    """Send the signal. Returns whether the group still has a member to receive it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _check_exit(command: Sequence[str], code: int, output: Output) -> None:
    number: int | None = SHELL_SIGNALS.get(code)
    if code < 0:
        number = -code
    if number is not None:
        hint = ""
        if number == signal.SIGKILL:
            hint = " (out of memory, perhaps)"
        raise TrainingKilled(
            f"{_name(command)} was killed by {signal.Signals(number).name}{hint}{output.last()}"
        )
    if code:
        raise TrainingFailed(f"{_name(command)} exited with {code}{output.last()}")


def _name(command: Sequence[str]) -> str:
    """Return the program and its first argument: the others can be long or private."""
    return " ".join(command[:2])
