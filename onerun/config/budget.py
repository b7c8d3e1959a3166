"""The retry budget, and what it makes of the settings of libraries that wait by themselves.

Our own processes wait by the clock (onerun/retry.py), so there the libraries hand each failure on at once, or nearly.
A user's program has only the libraries' own patience, which counts tries.
"""

from math import ceil, log2
from typing import Annotated

from pydantic import BeforeValidator, Field

from onerun.config.fields import seconds

VARIABLE = "ONERUN_RETRY_BUDGET"
DEFAULT = 180.0  # seconds
LONGEST = 86400.0
LONGEST_AWS_PAUSE = 20.0  # seconds between two tries of botocore's `standard` mode
MLFLOWS_MOST_RETRIES = 9  # MLflow itself refuses more than this

RetryBudget = Annotated[
    float, BeforeValidator(seconds), Field(ge=0, le=LONGEST, allow_inf_nan=False)
]


def answer_seconds(budget: float) -> int:
    """How long one request may stay unanswered: of a server that hangs, at least three are tried."""
    return int(min(max(budget / 3, 10), 120))


def of_our_processes(budget: float) -> dict[str, str]:
    """Return variables. Prefect's client waits by itself, twice as long before each try."""
    return {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(answer_seconds(budget)),
        "AWS_MAX_ATTEMPTS": "2",  # the first blip does not cost the upload of a whole folder
        "PREFECT_CLIENT_MAX_RETRIES": str(max(5, _doublings(budget))),
    }


def of_programs(budget: float) -> dict[str, str]:
    """Return variables with which a user's program waits about as long: MLflow's pauses double from 2 seconds on."""
    return {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(min(1 + _doublings(budget), MLFLOWS_MOST_RETRIES)),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": str(
            5 + ceil(budget / (LONGEST_AWS_PAUSE / 2))
        ),  # its pauses are random: half, on average
    }


def _doublings(budget: float) -> int:
    """Return the smallest n for which 2 + 4 + ... + 2**n seconds are enough."""
    return ceil(log2(budget + 2)) - 1
