"""Reports of clean-ups, kept beside their archives: as many as the policy keeps of those."""

import re
from datetime import UTC, datetime

from settings.policy import Policy
from tasks import storage

FOLDER = "reports"


def address_of_report(policy: Policy, at: int) -> str:
    """Args: at: when the plan was made. Returns: where its report goes."""
    when = datetime.fromtimestamp(at / 1000, UTC)
    return storage.join(policy.archives, FOLDER, f"{policy.name}-{when:%Y%m%dT%H%M%S%fZ}.html")


def keep_report(policy: Policy, address: str, page: str) -> None:
    """Writes the page, in place of an earlier one there, and removes the policy's oldest beyond `backups.keep`."""
    storage.write_bytes_atomically(address, page.encode())
    ours = re.compile(rf"{re.escape(policy.name)}-\d{{8}}T\d{{12}}Z\.html")
    found = [uri for uri in storage.listed(storage.join(policy.archives, FOLDER)) if ours.fullmatch(_name(uri))]
    for uri in sorted(found, key=_name)[: -policy.backups.keep]:
        storage.remove(uri)


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]
