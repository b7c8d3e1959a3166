"""What was asked, read and checked as a whole before anything starts (P5)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.estimators import check_model, task_of
from domain.expectations import check_expectations
from domain.gates import check_evaluation
from settings.loading import Document, check_document, read_document
from settings.mistakes import Mistake, Mistakes
from settings.profile import Profile, check_profile, load_profile
from settings.recipe import Recipe


@dataclass(frozen=True)
class Asked:
    """A training as it was asked for: what, where, and the digest that tells two askings apart."""

    recipe: Recipe
    profile: Profile
    digest: str

    @property
    def work(self) -> Path:
        """Local scratch folder."""
        return Path(self.profile.work)


def read_asked(
    recipe: str, overrides: Sequence[str] = (), data: str | None = None, profile: str | None = None
) -> tuple[Document, Asked]:
    """Read recipe and profile; the quick half of the check. Raises: Mistakes."""
    document = read_document(recipe, overrides, data)
    checked = check_document(document)
    digest = hashlib.sha256(checked.model_dump_json(by_alias=True).encode()).hexdigest()
    return document, Asked(checked, load_profile(profile), digest)


def check_asked(document: Document, asked: Asked) -> None:
    """The half of the check that loads the estimator's library and asks the servers. Raises: Mistakes."""
    mistakes: list[Mistake] = check_model(asked.recipe)
    mistakes += check_expectations(asked.recipe.data.expectations)
    if not mistakes:
        mistakes += check_evaluation(asked.recipe, task_of(asked.recipe))
    placed = document.placed(mistakes) + check_profile(asked.profile)
    if placed:
        raise Mistakes(placed)
