"""Which store is which, so that two of them can keep their archives and journals in one place."""

import hashlib
from pathlib import Path

from settings.addresses import redact
from tasks.tracking.database import sqlite_file


def identity_of(uri: str) -> str:
    """Returns: 12 hexadecimal digits from the store's address; of a file or folder, from where it lies.

    `sqlite:///mlflow.db` is another store in each working directory. A password that changes makes no other store.
    """
    if file := sqlite_file(uri):
        address = f"sqlite:///{file.resolve()}"
    elif uri.startswith("file:") or "://" not in uri:
        address = str(Path(uri.removeprefix("file://")).expanduser().resolve())
    else:
        address = redact(uri)
    return hashlib.sha256(address.encode()).hexdigest()[:12]
