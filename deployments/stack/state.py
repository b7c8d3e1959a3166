"""The folder of the stack: one command at a time changes it, and what it keeps of settings gives no secret away."""

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
    """One `up` or `down` at a time: two would start everything twice. Raises: Mistakes when another is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(exclusive_lock(folder / "lock", wait=False))
        except BlockingIOError:
            holder = (folder / "lock").read_text() or "unknown"
            says = f"another up or down is at work here (process {holder}); wait for it, or end it"
            raise Mistakes([Mistake(str(folder), says)]) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write(path: Path, text: str) -> None:
    """Whole or not at all, whoever is killed meanwhile; for its owner's eyes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)


def fingerprints(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return for each variable what tells its value from another one, and nothing else without the folder's key."""
    key = _key(folder / "fingerprints.key")
    return {
        name: hmac.digest(key, value.encode(), "sha256").hex()
        for name, value in sorted(variables.items())
    }


def _key(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.read_text())
    except (
        OSError,
        ValueError,
    ):  # not made yet, or spoilt: whatever was kept under it counts as changed
        write(path, secrets.token_hex(32))
        return bytes.fromhex(path.read_text())
