"""Runs a program: in a process group of its own, its output streamed, its end told in words, nothing left behind."""

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
from onerun.processes import identity
from onerun.processes.output import Output

GRACE = 5.0  # seconds between asking a group to end and ending it
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
    """Runs `command` to its end; whatever ends this call, ends the program's whole process group.

    Args: timeout: seconds; secret: variables whose values its output must not show, besides those that sound like it.
    Raises: TrainingFailed when it cannot be started or exits with an error; TrainingKilled when a signal ended it or
    `timeout` seconds were over.
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
    with _guarded(process.pid):
        try:
            in_time = _follow(process, output, timeout)
        finally:
            _end_group(process, output)
    if not in_time:
        raise TrainingKilled(
            f"{_name(command)} was stopped after {timeout:g} seconds (train.timeout){output.last()}"
        )
    _judge(command, process.returncode, output)


@contextmanager
def _guarded(group: int) -> Iterator[None]:
    """Should this process be killed in the block, a guard ends the group for it."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py")), str(group)],
        stdin=subprocess.PIPE,
        env={},
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        with suppress(BrokenPipeError):  # someone ended the guard
            guard.stdin.write(b"done")
            guard.stdin.close()
        guard.wait()


def _follow(process: "subprocess.Popen[bytes]", output: Output, timeout: float | None) -> bool:
    """Returns: False when the time was over first."""
    assert process.stdout is not None
    end = None if timeout is None else time.monotonic() + timeout
    open_ = True
    while process.poll() is None:
        if end is not None and time.monotonic() >= end:
            return False
        open_ = _read(process, output, POLL) if open_ else _wait(process)
    while (
        open_ and select.select([process.stdout], [], [], 0)[0]
    ):  # a grandchild may hold the pipe open for ever
        open_ = _read(process, output, 0)
    return True


def _read(process: "subprocess.Popen[bytes]", output: Output, patience: float) -> bool:
    """Returns: whether the program's output is still open."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], patience)[0]:
        return True
    chunk = os.read(process.stdout.fileno(), 65536)
    output.take(chunk)
    return bool(chunk)


def _wait(process: "subprocess.Popen[bytes]") -> bool:
    """The program closed its output and works on."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(POLL)
    return False


def _end_group(process: "subprocess.Popen[bytes]", output: Output) -> None:
    """Ends what is left of the group, first asking, then not."""
    assert process.stdout is not None
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        if not _signalled(process.pid, number):
            break
        end = time.monotonic() + patience
        while time.monotonic() < end and _alive(process):
            _read(process, output, 0.05)
    process.wait()
    process.stdout.close()
    output.close()


def _alive(process: "subprocess.Popen[bytes]") -> bool:
    process.poll()  # takes in the leader's end: a dead leader that nobody has waited for still counts as a member
    return _signalled(process.pid, 0) and not identity.is_group_dead(process.pid)


def _signalled(group: int, number: int) -> bool:
    """Returns: whether the group still has a member to receive the signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _judge(command: Sequence[str], code: int, output: Output) -> None:
    number = -code if code < 0 else SHELL_SIGNALS.get(code)
    if number is not None:
        hint = " (out of memory, perhaps)" if number == signal.SIGKILL else ""
        raise TrainingKilled(
            f"{_name(command)} was killed by {signal.Signals(number).name}{hint}{output.last()}"
        )
    if code:
        raise TrainingFailed(f"{_name(command)} exited with {code}{output.last()}")


def _name(command: Sequence[str]) -> str:
    """The program and its first argument: the rest can be long, or nobody's business."""
    return " ".join(command[:2])
