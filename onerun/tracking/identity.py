"""Which store is which, so that two of them can keep their archives and journals in one place."""

import hashlib
from pathlib import Path

from onerun.config.addresses import redact
from onerun.tracking.database import sqlite_file


def identity_of(uri: str, made: int | None = None) -> str:
    """Returns: 12 hexadecimal digits from the store's address; of a file or folder, from where it lies.

    `sqlite:///mlflow.db` is another store in each working directory. A password that changes makes no other store.

    Args: made: when its first experiment was made, which tells apart what stood at one address.
    """
    if file := sqlite_file(uri):
        address = f"sqlite:///{file.resolve()}"
    elif uri.startswith("file:") or "://" not in uri:
        address = str(Path(uri.removeprefix("file://")).expanduser().resolve())
    else:
        address = redact(uri)
    named = address if made is None else f"{address} {made}"
    return hashlib.sha256(named.encode()).hexdigest()[:12]
