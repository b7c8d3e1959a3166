"""What a pre-flight check found: one line for each thing that was looked at, and what to do where it is wrong."""

from collections.abc import Sequence
from typing import Literal

from onerun.domain.references import Reference

State = Literal["good", "note", "wrong"]
MARK = {"good": "ok", "note": "note", "wrong": "WRONG"}
LONGEST_SKEW = 30.0  # seconds; heartbeats and leases are counted in minutes, S3 refuses signatures after 15 of them
LITTLE_SPACE = 2_000_000_000  # bytes; models, snapshots and databases grow
TOO_LITTLE_SPACE = (
    500_000_000  # bytes; one snapshot with its copies, a model and a database's journal are more
)


class Diagnosis(Reference):
    """One thing that was looked at."""

    what: str  # such as `MLflow server`, or the variable that is wrong
    state: State
    detail: str  # what is so, and what to do when it is wrong

    @property
    def summary(self) -> str:
        """The line for a person."""
        return f"{MARK[self.state]:<6} {self.what}: {self.detail}"


def good(what: str, detail: str) -> Diagnosis:
    """It is as it should be."""
    return Diagnosis(what=what, state="good", detail=detail)


def note(what: str, detail: str) -> Diagnosis:
    """Worth knowing; trainings run all the same."""
    return Diagnosis(what=what, state="note", detail=detail)


def wrong(what: str, detail: str) -> Diagnosis:
    """Trainings would fail, or be lost."""
    return Diagnosis(what=what, state="wrong", detail=detail)


def all_well(findings: Sequence[Diagnosis]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def versions(what: str, ours: str, theirs: str) -> Diagnosis:
    """Client and server: what differs in the first two numbers differs in what it detail to the other."""
    if ours == theirs:
        return good(what, f"{theirs}, as here")
    if ours.split(".")[:2] == theirs.split(".")[:2]:
        return note(what, f"{theirs}; here is {ours}, which goes together")
    return wrong(
        what,
        f"{theirs}, but here is {ours}; install the same version on both sides (requirements.lock)",
    )


def schema(what: str, current: str | None, newest: str, upgrade: str) -> Diagnosis:
    """A database and the migrations that the installed version knows. `upgrade`: the command that migrates it."""
    if current == newest:
        return good(what, f"schema {newest}, the newest that the installed version knows")
    if current is None:
        return note(what, "no tables yet; the first use makes them")
    return wrong(
        what,
        f"schema {current}, expected {newest}; back it up, then `{upgrade}`; newer? then upgrade here",
    )


def skew(what: str, seconds: float) -> Diagnosis:
    """The other's clock against ours; seconds that it is ahead."""
    if abs(seconds) <= LONGEST_SKEW:
        return good(what, f"within {LONGEST_SKEW:.0f} s of the clock here")
    side = "ahead of" if seconds > 0 else "behind"
    return wrong(what, f"{abs(seconds):.0f} s {side} the clock here; set both by NTP")


def space(what: str, free: float) -> Diagnosis:
    """Bytes that are free for data."""
    told = f"{free / 1e9:,.1f} GB free"
    if free >= LITTLE_SPACE:
        return good(what, told)
    detail = f"only {told}; models and snapshots need more"
    return (
        note(what, detail)
        if free >= TOO_LITTLE_SPACE
        else wrong(what, f"{detail}: make room, or name another folder")
    )
