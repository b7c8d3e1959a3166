"""Servers that are there already: `up --existing` uses those that answer, and `status` shows them.

They were not started here, so nothing here ends them; what is kept is their addresses alone.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deployments.stack.services import ADDRESS, LOOPBACK
from deployments.stack.state import write
from deployments.stack.up import taken
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, MistakeKind, Mistakes
from onerun.config.profile import check_profile
from settings.profile import PrefectProfile

FILE = "existing.json"
TRIES, PAUSE = 5, 2.0  # looks at a server that is busy, and seconds between them


@dataclass(frozen=True)
class Existing:
    """A server that was not started here."""

    name: str
    address: str  # without credentials
    health: str  # answers 200 when it works; empty for a store without a server


def answering(profile: PrefectProfile, running: Callable[[str], object]) -> dict[str, Existing]:
    """Ask the servers that the profile names. Return those that answer and were not started here.

    One on this machine that does not answer is left to `up`, which starts it.

    Args:
        running: whether the stack itself runs a server of that name.
    Raises: Mistakes for one that refuses, or that does not answer on another machine.
    """
    variables = profile.variables()
    required = {name: variable for name, (variable, _) in ADDRESS.items() if not running(name)}
    missing = [(name, variable) for name, variable in required.items() if variable not in variables]
    if missing:
        raise Mistakes(
            Mistake(variable, f"is not set; set it to the address of your {name} server")
            for name, variable in missing
        )
    addresses = {variable: variables[variable] for variable in required.values()}
    problems = _problems(profile, addresses)
    if problems:
        raise Mistakes(problems)
    unavailable = {variable for variable, address in addresses.items() if _can_start(address)}
    return {
        name: _existing(name, addresses[variable])
        for name, variable in required.items()
        if variable not in unavailable
    }


def _problems(profile: PrefectProfile, addresses: Mapping[str, str]) -> list[Mistake]:
    """Return what is wrong with servers that cannot be started here, after time to answer."""
    problems: list[Mistake] = []
    for _ in range(TRIES):
        problems = [
            mistake
            for mistake in check_profile(profile)
            if mistake.key in addresses and not _can_start(addresses[mistake.key])
        ]
        if not any(mistake.kind is MistakeKind.UNREACHABLE for mistake in problems):
            break
        time.sleep(PAUSE)
    return problems


def _can_start(address: str) -> bool:
    """Return whether a server could be started there: a free port of this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    return host in LOOPBACK and parts.scheme == "http" and not taken(host, parts.port or 80)


def keep(folder: Path, found: Mapping[str, Existing]) -> None:
    """Note which servers are used, for `status`; forget earlier ones."""
    file = folder / FILE
    if found:
        write(file, json.dumps({name: asdict(each) for name, each in found.items()}))
    else:
        file.unlink(missing_ok=True)


def kept(folder: Path) -> dict[str, Existing]:
    """Return what was noted last."""
    try:
        noted = json.loads((folder / FILE).read_text())
        return {name: Existing(**each) for name, each in noted.items()}
    except (OSError, ValueError, TypeError):  # nothing was noted, or the disk was full
        return {}


def _existing(name: str, address: str) -> Existing:
    shown = redact(address).rstrip("/")
    if not shown.startswith(("http://", "https://")):
        return Existing(name, shown, "")
    if name == "prefect":
        return Existing(name, shown.removesuffix("/api"), f"{shown}/health")
    return Existing(name, shown, f"{shown}/health")
