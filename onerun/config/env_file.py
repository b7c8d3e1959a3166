"""What the environment and `.env` say, before any of it is judged: which profile is meant, and where it works.

What runs already is found by these two alone, however broken the rest has become meanwhile.
"""

import os
from pathlib import Path

from onerun.config.profile_file import read_value

WORK = ".onerun"  # where nobody names a work folder


def variables() -> dict[str, str]:
    """Return `.env` of the working folder with the process environment over it; what is empty is not set."""
    from dotenv import dotenv_values

    held = {**dotenv_values(".env"), **{key: value for key, value in os.environ.items() if value}}
    return {key: value for key, value in held.items() if value}


def profile_name(given: str | None, default: str | None = None) -> str | None:
    """Return the profile that is meant: the one that was given, else ONERUN_PROFILE's, else `default`."""
    return given or variables().get("ONERUN_PROFILE") or default


def work_folder(profile: str | None) -> Path:
    """Return the profile's work folder, absolute. Raises: Mistakes: only its file could tell, and cannot be read."""
    held = variables()
    named = held.get("ONERUN_WORK") or (read_value(profile, "work", held) if profile else None)
    return Path(named or WORK).expanduser().resolve()
