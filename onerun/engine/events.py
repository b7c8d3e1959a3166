"""What happens to the stages of a training, for those who show it: a terminal, a log, a notebook."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class StageState(StrEnum):
    """What has become of a stage."""

    STARTED = "started"
    PROGRESSED = "progressed"
    FINISHED = "finished"
    REUSED = "reused"  # an earlier attempt had finished it


@dataclass(frozen=True)
class StageEvent:
    """One thing that happened.

    seconds: how long a finished stage took.
    summary: the result of a finished or reused stage in one line; of progress, what is counted.
    done, total: how much of it is done; the total where it is known.
    """

    stage: str
    state: StageState
    seconds: float = 0.0
    summary: str = ""
    done: float = 0.0
    total: float | None = None


Observer = Callable[[StageEvent], None]


def ignore(event: StageEvent) -> None:
    """Show nothing."""
