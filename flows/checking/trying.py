"""One check of the doctor's: what it found, or why it failed and what to do, within seconds."""

from collections.abc import Callable, Iterator

from onerun.config.addresses import redacted
from onerun.config.mistakes import Mistakes
from onerun.domain.diagnosis import Diagnosis, wrong
from onerun.domain.errors import OnerunError
from onerun.retry import deadline

Found = Diagnosis | list[Diagnosis]
QUICK = 10.0  # seconds; what is silent for longer is told, not waited for
ADVICE = {
    "MLflow server": "look at MLFLOW_TRACKING_URI and at the server's log",
    "MLflow clock": "look at MLFLOW_TRACKING_URI and at the server's log",
    "MLflow database": "look at its address, and that the server runs and takes this user",
    "MLflow artifacts": (
        "they go where the oldest experiment keeps its own (`mlflow experiments search` names it), which must be "
        "writable from here; for S3 look at its endpoint and keys, for a server at MLFLOW_ARTIFACTS_DESTINATION"
    ),
    "Prefect server": "look at PREFECT_API_URL and at the server's log",
    "deployments": "Prefect's server cannot say; look at its log",
    "schedules": "Prefect's server cannot say; look at its log",
    "flow runs": "Prefect's server cannot say; look at its log",
    "Prefect clock": "look at PREFECT_API_URL and at the server's log",
    "Prefect database": "look at its address, and that the server runs and takes this user",
    "store": "look at ONERUN_STORE; for S3 at MLFLOW_S3_ENDPOINT_URL and the network, too",
    "S3 clock": "look at MLFLOW_S3_ENDPOINT_URL and the network",
}


def tried(what: str, check: Callable[[], Found]) -> Iterator[Diagnosis]:
    """Yield what the check found, or that it failed, why, and what to do."""
    try:
        with deadline(QUICK):
            found = check()
    except Mistakes as mistakes:
        yield wrong(what, str(mistakes).partition("\n")[0])
        return
    except Exception as error:  # noqa: BLE001 -- whatever is raised is a finding, and the checks after it go on
        first = redacted((str(error).strip().splitlines() or [""])[0])
        told = first if isinstance(error, OnerunError) else f"{type(error).__name__}: {first}"
        yield wrong(what, f"{told}; {ADVICE[what]}")
        return
    yield from found if isinstance(found, list) else [found]
