"""Addresses of sources: what kind they are, and the passwords that the environment keeps for them."""

import os
import re
from urllib.parse import quote_plus

from onerun.config.mistakes import Mistake, Mistakes

VARIABLE = re.compile(r"\$\{(\w+)\}")


def is_database(source: str) -> bool:
    """Whether `source` is an SQLAlchemy URL."""
    scheme = re.match(r"([a-z0-9_]+)(\+[a-z0-9_]+)?://", source)
    return scheme is not None and scheme[1] not in ("s3", "http", "https", "file")


def fill_variables(source: str) -> str:
    """Returns: the address with `${NAME}` replaced by that variable's value. Raises: Mistakes when one is not set.

    The result holds a secret: it is for opening the source, never for showing it.
    """
    if "://" not in source:
        return source
    absent = [name for name in VARIABLE.findall(source) if name not in os.environ]
    if absent:
        raise Mistakes(
            [
                Mistake("data.source", f"${{{name}}} is not set in the environment")
                for name in absent
            ]
        )
    return VARIABLE.sub(lambda found: quote_plus(os.environ[found[1]]), source)
