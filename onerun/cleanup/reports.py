"""Reports of clean-ups, each with its list of all items, beside the archives: as many as the policy
keeps of those.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from onerun import storage
from onerun.archive import repository
from onerun.cleanup.disk_list import ExperimentPlan
from onerun.config.policy import Policy

FOLDER = "reports"
_NAME = re.compile(r"(.+-[0-9a-f]{12})-\d{8}T\d{12}Z\.html")


def address_of_report(policy: Policy, store: str, at: int) -> str:
    """Return where a report goes. Args: store: its identity. at: when the plan was made."""
    when = datetime.fromtimestamp(at / 1000, UTC)
    return storage.join(
        policy.archives, FOLDER, f"{policy.name}-{store}-{when:%Y%m%dT%H%M%S%fZ}.html"
    )


def write_report(address: str, page: str) -> None:
    """Write the page, in place of an earlier one there."""
    storage.write_bytes_atomically(address, page.encode())


def keep_report(policy: Policy, address: str, page: str) -> None:
    """Write the page; of this policy and store, the newest `backups.keep` stay."""
    write_report(address, page)
    found = [
        uri
        for uri in storage.list_files(address.rpartition("/")[0])
        if _series(uri) == _series(address)
    ]
    for uri in repository.beyond(sorted(found), address, policy.backups.keep):
        storage.remove(list_beside(uri))
        storage.remove(uri)


def list_beside(report: str) -> str:
    """Return where the list that belongs to a report goes; empty where there is no report."""
    return report and f"{report.removesuffix('.html')}.jsonl"


def write_list(shares: Iterable[ExperimentPlan], address: str) -> None:
    """Write a line of JSON for every item and every protected run, an experiment at a time.

    Raises: Mistakes when it cannot be written.
    """
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        for share in shares:
            items = ({"plan": "goes", **item._asdict()} for item in share.items)
            kept = ({"plan": "kept", "kind": "run", **each.as_json()} for each in share.skipped)
            file.writelines(
                json.dumps(line, ensure_ascii=False) + "\n" for line in chain(items, kept)
            )
        file.flush()
        storage.put_file(Path(file.name), address)


def _series(uri: str) -> str | None:
    """Return policy and store of a report; None: the file is no report."""
    named = _NAME.fullmatch(uri.rpartition("/")[2])
    return named[1] if named else None
