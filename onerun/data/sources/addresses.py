"""Addresses of sources: their kind, and the secrets that the environment holds for them."""

import os
import re
from urllib.parse import quote_plus

from onerun.config.mistakes import Mistake, Mistakes

VARIABLE = re.compile(r"\$\{(\w+)\}")


def is_database(source: str) -> bool:
    """Return whether `source` is an SQLAlchemy URL."""
    scheme = re.match(r"([a-z0-9_]+)(\+[a-z0-9_]+)?://", source)
    return scheme is not None and scheme[1] not in ("s3", "http", "https", "file")


def fill_variables(source: str) -> str:
    """Return the address with each `${NAME}` replaced by that variable's value.

    The result holds a secret: it is for opening the source, never for showing it.

    Raises:
        Mistakes: A variable is not set.
    """
    if "://" not in source:
        return source
    missing = [name for name in VARIABLE.findall(source) if name not in os.environ]
    if missing:
        reason = "is not set in the environment"
        raise Mistakes(Mistake("data.source", f"${{{name}}} {reason}") for name in missing)
    return VARIABLE.sub(lambda found: quote_plus(os.environ[found[1]]), source)
