"""What was asked, read and checked as a whole before anything starts (P5)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onerun.config.loading import Document, check_document, read_document
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import Profile, check_profile
from onerun.config.recipe import Recipe
from onerun.data.sources.source import check_source
from onerun.domain.estimators import check_model, task_of
from onerun.domain.expectations import check_expectations
from onerun.domain.gates import check_evaluation


@dataclass(frozen=True)
class TrainingRequest:
    """A training as it was asked for: what, where, and the digest that tells two requests apart."""

    document: Document
    recipe: Recipe
    profile: Profile
    digest: str

    @property
    def work(self) -> Path:
        """The local scratch folder, absolute."""
        return Path(self.profile.variables()["ONERUN_WORK"])

    @property
    def store(self) -> str:
        """The root of the snapshots: an absolute folder or s3://bucket/prefix."""
        return self.profile.variables()["ONERUN_STORE"]


def resolve(
    recipe: str | Mapping[str, Any],
    profile: Profile,
    overrides: Sequence[str] = (),
    data: str | None = None,
) -> TrainingRequest:
    """Read the recipe and check what needs neither a library nor a server. Raises Mistakes."""
    document = read_document(recipe, overrides, data)
    checked = check_document(document)
    digest = hashlib.sha256(checked.model_dump_json(by_alias=True).encode()).hexdigest()
    return TrainingRequest(document, checked, profile, digest)


def check(request: TrainingRequest, waits: bool = False) -> None:
    """Check what needs the estimator's library, and ask the servers.

    Args:
        waits: all that follows waits for servers that do not answer now, so that is no mistake.
    Raises: Mistakes, all of them at once.
    """
    mistakes = check_content(request.recipe)
    mistakes += check_source(request.recipe.data)
    placed = request.document.placed(mistakes) + check_profile(request.profile, waits)
    if placed:
        raise Mistakes(placed)


def check_content(recipe: Recipe) -> list[Mistake]:
    """Return the mistakes that need the estimator's library, and neither the data nor a server."""
    mistakes: list[Mistake] = check_model(recipe)
    mistakes += check_expectations(recipe.data.expectations)
    if not mistakes:
        mistakes += check_evaluation(recipe, task_of(recipe))
    return mistakes
