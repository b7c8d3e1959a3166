"""What became of a plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from onerun.domain.cleanup.reason import Reason

SHOWN = 200  # of what was skipped, as many are listed one by one


class Outcome(NamedTuple):
    """What became of a batch."""

    done: tuple[str, ...]
    skipped: dict[str, Reason]  # run id -> what changed since the plan
    notes: tuple[str, ...] = ()


@dataclass
class Result:
    """What was done. Grows with what was skipped, up to a limit, not with what was removed.

    skipped: the first of what was skipped, by id. finished: runs of an earlier, interrupted
    clean-up whose files were removed now. litter: work folders, snapshots and lock files that were
    removed. set_aside: orphaned folders that were moved into quarantine. folder: the store, when it
    is one of files: an archive of folders is unpacked into it again.
    """

    done: int = 0
    experiments: int = 0
    bytes: int = 0
    skipped: dict[str, Reason] = field(default_factory=dict)
    skipped_count: int = 0
    finished: int = 0
    set_aside: int = 0
    archive: str = ""
    archive_digest: str = ""
    folder: str = ""
    litter: int = 0
    litter_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def skip(self, skipped: Mapping[str, Reason]) -> None:
        """Count what was skipped after all."""
        self.skipped_count += len(skipped)
        self.skipped.update(islice(skipped.items(), max(0, SHOWN - len(self.skipped))))

    def take(self, outcome: Outcome) -> None:
        """Count what a batch skipped, and keep each of its notes once."""
        self.skip(outcome.skipped)
        self.notes += [note for note in outcome.notes if note not in self.notes]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "done": self.done,
            "experiments": self.experiments,
            "bytes": self.bytes,
            "left": {identity: str(reason) for identity, reason in self.skipped.items()},
            "left_count": self.skipped_count,
            "finished": self.finished,
            "set_aside": self.set_aside,
            "archive": self.archive,
            "archive_digest": self.archive_digest,
            "folder": self.folder,
            "litter": self.litter,
            "litter_bytes": self.litter_bytes,
            "notes": list(self.notes),
        }
