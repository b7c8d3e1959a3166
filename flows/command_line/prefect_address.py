"""Which Prefect server a command asks, when neither its profile nor the environment says so."""

import os
import tomllib
from pathlib import Path

from settings.profile import PrefectProfile


def with_prefect(profile: PrefectProfile) -> PrefectProfile:
    """Returns: the profile, with the address that Prefect's own profile names when it has none itself."""
    if profile.prefect_api_url is not None:
        return profile
    return profile.model_copy(update={"prefect_api_url": _address_of_prefect_profile()})


def _address_of_prefect_profile() -> str | None:
    """What `prefect config set PREFECT_API_URL=...` left behind, without importing Prefect for it."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    try:
        profiles = tomllib.loads(path.read_text())
    except (OSError, ValueError):  # none, or not ours to judge
        return None
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL") or None
