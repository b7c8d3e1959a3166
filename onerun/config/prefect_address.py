"""Whether a Prefect server is named, and which: known without importing Prefect."""

import os
import tomllib
from pathlib import Path

from onerun.config import env_file
from onerun.config.profile_file import read_value

VARIABLE = "PREFECT_API_URL"


def named_server(profile: str | None = None) -> str:
    """Return the address of the Prefect server that environment, `.env`, profile or Prefect's own
    profile name.

    Empty: none is named, or the environment sets the variable to nothing. Raises: Mistakes: the
    profile cannot be read.
    """
    if os.environ.get(VARIABLE) == "":
        return ""
    held, name = env_file.variables(), env_file.profile_name(profile)
    if held.get(VARIABLE):
        return held[VARIABLE]
    in_profile = read_value(name, "prefect_api_url", held) if name else None
    return in_profile or address_of_prefect_profile() or ""


def address_of_prefect_profile() -> str | None:
    """Return what `prefect config set PREFECT_API_URL=...` wrote."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    try:
        profiles = tomllib.loads(path.read_text())
    except (OSError, ValueError):  # none, or not ours to judge
        return None
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return profiles.get("profiles", {}).get(active, {}).get(VARIABLE) or None
