"""Servers that are there already: `up --existing` uses those that answer, and `status` shows them.

They were not started here, so nothing here ends them; what is kept is their addresses alone.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deployments.stack.services import ADDRESS, LOOPBACK
from deployments.stack.state import write
from deployments.stack.up import taken
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import Profile, check_profile

FILE = "existing.json"


@dataclass(frozen=True)
class Existing:
    """A server that somebody else runs."""

    name: str
    address: str  # without credentials
    health: str  # answers 200 when it works; empty for a store without a server


def answering(profile: Profile, running: Callable[[str], object]) -> dict[str, Existing]:
    """Ask the servers that the profile names. Return those that answer and were not started here.

    A silent one on this machine is left to `up`, which starts it.

    Args:
        running: whether the stack itself runs a server of that name.
    Raises: Mistakes for one that refuses, or is silent elsewhere.
    """
    variables = profile.variables()
    problems = {mistake.key: mistake for mistake in check_profile(profile)}
    found: dict[str, Existing] = {}
    mistakes = []
    for name, (variable, _) in ADDRESS.items():
        if running(name):
            continue
        if variable not in variables:
            mistakes.append(
                Mistake(variable, f"is not set; set it to the address of your {name} server")
            )
        elif variable not in problems:
            found[name] = _existing(name, variables[variable])
        elif not _can_start(variables[variable]):
            mistakes.append(problems[variable])
    if mistakes:
        raise Mistakes(mistakes)
    return found


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
