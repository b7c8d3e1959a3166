"""What was seen of trainings and models. Times are milliseconds since 1970, as MLflow keeps them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onerun.domain.ledger import Move

ENDED = ("FINISHED", "FAILED", "KILLED")
STATES = ("RUNNING", "SCHEDULED", *ENDED)


class EndedTraining(NamedTuple):
    """A training that is over."""

    recipe: str
    state: str
    started: int
    ended: int
    stages: Mapping[str, float]  # stage -> seconds
    evaluation: str = (
        ""  # references as JSON, as the stages left them; empty: it did not come so far
    )
    promotion: str = ""

    @property
    def seconds(self) -> float:
        """How long it took, over all attempts."""
        return max(0, self.ended - self.started) / 1000


class Trainings(NamedTuple):
    """Trainings of a store: counted all, told apart only where that is asked for."""

    counts: Mapping[tuple[str, str], int]  # (recipe, state)
    last_ends: Mapping[tuple[str, str], int]  # (recipe, state)
    last: Mapping[str, EndedTraining]  # recipe -> the last one that finished
    recent: Sequence[EndedTraining]  # those that ended within the window


class Registered(NamedTuple):
    """A registered model."""

    model: str
    aliases: Mapping[str, str]  # alias -> version
    moves: Sequence[Move]  # finished ones, oldest first
