"""Reports of clean-ups, kept beside their archives: as many of a store as the policy keeps of those."""

import re
from datetime import UTC, datetime

from settings.policy import Policy
from tasks import storage

FOLDER = "reports"
_NAME = re.compile(r"(.+-[0-9a-f]{12})-\d{8}T\d{12}Z\.html")


def address_of_report(policy: Policy, store: str, at: int) -> str:
    """Args: store: its identity; at: when the plan was made. Returns: where its report goes."""
    when = datetime.fromtimestamp(at / 1000, UTC)
    return storage.join(policy.archives, FOLDER, f"{policy.name}-{store}-{when:%Y%m%dT%H%M%S%fZ}.html")


def keep_report(policy: Policy, address: str, page: str) -> None:
    """Writes the page, in place of an earlier one there; of this policy and store, the newest `backups.keep` stay."""
    storage.write_bytes_atomically(address, page.encode())
    found = [uri for uri in storage.listed(address.rpartition("/")[0]) if _series(uri) == _series(address)]
    for uri in sorted(found)[: -policy.backups.keep]:
        storage.remove(uri)


def _series(uri: str) -> str | None:
    """Returns: policy and store of a report; None: it is none."""
    named = _NAME.fullmatch(uri.rpartition("/")[2])
    return named[1] if named else None
