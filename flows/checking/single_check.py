"""One check of the doctor: what it found, or why it failed and what to do, within seconds."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from urllib.error import HTTPError

from onerun.config.addresses import redacted
from onerun.config.mistakes import Mistakes
from onerun.config.reachability import tls
from onerun.domain.diagnosis import Diagnosis, note, skew, wrong
from onerun.domain.errors import OnerunError
from onerun.retry import deadline

Found = Diagnosis | list[Diagnosis]
TIMEOUT = 10.0  # seconds; what does not answer within them is reported, not waited for
ADVICE = {
    "MLflow server": "look at MLFLOW_TRACKING_URI and at the server's log",
    "MLflow clock": "look at MLFLOW_TRACKING_URI and at the server's log",
    "MLflow database": "look at its address, and that the server runs and takes this user",
    "MLflow artifacts": (
        "they go where the oldest experiment keeps its own (`mlflow experiments search` names it), "
        "which must be writable from here; for S3 look at its endpoint and keys, for a server at "
        "MLFLOW_ARTIFACTS_DESTINATION"
    ),
    "Prefect server": "look at PREFECT_API_URL and at the server's log",
    "deployments": "Prefect's server cannot list them; look at its log",
    "schedules": "Prefect's server cannot list them; look at its log",
    "flow runs": "Prefect's server cannot list them; look at its log",
    "Prefect clock": "look at PREFECT_API_URL and at the server's log",
    "Prefect database": "look at its address, and that the server runs and takes this user",
    "store": "look at ONERUN_STORE; for S3 at MLFLOW_S3_ENDPOINT_URL and the network, too",
    "S3 clock": "look at MLFLOW_S3_ENDPOINT_URL and the network",
}


def tried(what: str, check: Callable[[], Found]) -> Iterator[Diagnosis]:
    """Yield what the check found, or that it failed, why, and what to do."""
    try:
        with deadline(TIMEOUT):
            found = check()
    except Mistakes as mistakes:
        yield wrong(what, str(mistakes).partition("\n")[0])
        return
    # whatever is raised is a finding, and the checks after it go on
    except Exception as error:  # noqa: BLE001
        reason = redacted((str(error).strip().splitlines() or [""])[0])
        if not isinstance(error, OnerunError):
            reason = f"{type(error).__name__}: {reason}"
        yield wrong(what, f"{reason}; {ADVICE[what]}")
        return
    yield from found if isinstance(found, list) else [found]


def clock(what: str, url: str) -> Diagnosis:
    """Return how far a server's clock is from the one here; any answer shows it, a refusal too."""
    before = time.time()
    try:
        with urllib.request.urlopen(url, timeout=10, context=tls()) as answer:
            date = answer.headers["Date"]
    except HTTPError as refused:
        date = refused.headers["Date"]
    if not date:
        return note(what, "the server does not tell its time")
    theirs = parsedate_to_datetime(date).timestamp() + 0.5  # the header has whole seconds
    return skew(what, theirs - (before + time.time()) / 2)
