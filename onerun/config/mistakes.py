"""Mistakes in what was asked: found before work, shown all at once, exit code 2.

Mistake                 one line: where, which key, what is wrong, what to do
Mistakes(Exception)     all of them
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum


class MistakeKind(StrEnum):
    """What a command may do about a mistake."""

    WRONG = "wrong"  # what was asked has to change
    REFUSED = "refused"  # a server refuses the credentials or the host
    UNREACHABLE = "unreachable"  # a server does not answer now; waiting may help


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in a recipe, a profile or the arguments."""

    key: str
    message: str
    source: str = ""
    line: int | None = None
    kind: MistakeKind = MistakeKind.WRONG

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (where, self.key, self.message) if part)


class Mistakes(Exception):
    """What was asked cannot be done as asked; nothing was started or written.

    Retrying cannot help: the recipe, profile or arguments have to change.
    """

    exit_code = 2

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        return "\n".join(str(mistake) for mistake in self.mistakes)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean x?` for the nearest of `known`, or the empty string."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
