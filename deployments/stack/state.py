"""The folder of the stack: one command at a time changes it, and it holds no secret."""

import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from onerun.config.env_file import work_folder
from onerun.config.mistakes import Mistake, Mistakes
from onerun.processes.locks import exclusive_lock
from settings.servers import stack_folder


def state_folder(profile: str) -> Path:
    """Return where the stack of a profile keeps data, logs and the records of its processes."""
    return stack_folder(work_folder(profile))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of `up` and `down` in the block. Raises: Mistakes when another is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(exclusive_lock(folder / "lock", wait=False))
        except BlockingIOError:
            holder = (folder / "lock").read_text() or "unknown"
            message = (
                f"another up or down is at work here (process {holder}); wait for it, or end it"
            )
            raise Mistakes([Mistake(str(folder), message)]) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write(path: Path, text: str) -> None:
    """Write the file as a whole or not at all; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)


def fingerprints(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return a fingerprint of each value, which shows nothing of it without the folder's key."""
    key = _key(folder / "fingerprints.key")
    return {
        name: hmac.digest(key, value.encode(), "sha256").hex()
        for name, value in sorted(variables.items())
    }


def _key(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.read_text())
    # not made yet, or damaged: whatever was kept under it counts as changed
    except (OSError, ValueError):
        write(path, secrets.token_hex(32))
        return bytes.fromhex(path.read_text())
