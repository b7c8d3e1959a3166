"""What became of a plan."""

from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple

SHOWN = 200  # of what was left, as many are told one by one


class Outcome(NamedTuple):
    """What became of a batch."""

    done: tuple[str, ...]
    left: dict[str, str]  # run id -> what changed since the plan
    notes: tuple[str, ...] = ()


@dataclass
class Result:
    """What was done. Grows with what was left, up to a limit, not with what went."""

    done: int = 0
    experiments: int = 0
    bytes: int = 0
    left: dict[str, str] = field(default_factory=dict)  # the first of them: id -> why
    left_count: int = 0
    finished: int = 0  # runs of an earlier, interrupted clean-up whose files went now
    set_aside: int = 0  # folders that nobody owns
    archive: str = ""
    archive_digest: str = ""
    folder: str = (
        ""  # the store, when it is one of files: an archive of folders is unpacked into it again
    )
    notes: list[str] = field(default_factory=list)

    def leave(self, left: dict[str, str]) -> None:
        """Count what was left after all."""
        self.left_count += len(left)
        self.left.update(islice(left.items(), max(0, SHOWN - len(self.left))))

    def take(self, outcome: Outcome) -> None:
        """Count what a batch left, and tell each of its notes once."""
        self.leave(outcome.left)
        self.notes += [note for note in outcome.notes if note not in self.notes]

    def as_json(self) -> dict[str, Any]:
        """Returns: plain values."""
        return asdict(self)
