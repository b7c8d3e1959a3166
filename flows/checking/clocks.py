"""The servers' clocks against the one here."""

import time
import urllib.request
from email.utils import parsedate_to_datetime
from urllib.error import HTTPError

from onerun.config.reachability import tls
from onerun.domain.diagnosis import Diagnosis, note, skew


def clock(what: str, url: str) -> Diagnosis:
    """Asks once. Returns: how far its clock is from ours; any answer tells it, a refusal too."""
    before = time.time()
    try:
        with urllib.request.urlopen(url, timeout=10, context=tls()) as answer:
            date = answer.headers["Date"]
    except HTTPError as refused:
        date = refused.headers["Date"]
    if not date:
        return note(what, "the server does not tell its time")
    theirs = parsedate_to_datetime(date).timestamp() + 0.5  # told in whole seconds
    return skew(what, theirs - (before + time.time()) / 2)
