"""What was asked, read and checked as a whole before anything starts (P5)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.command_line.prefect_address import with_prefect
from onerun.config.loading import Document, check_document, read_document
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import Profile, check_profile, load_profile
from onerun.config.recipe import Recipe
from onerun.data.sources.reading import check_source
from onerun.domain.estimators import check_model, task_of
from onerun.domain.expectations import check_expectations
from onerun.domain.gates import check_evaluation


@dataclass(frozen=True)
class Asked:
    """A training as it was asked for: what, where, and the digest that tells two askings apart."""

    recipe: Recipe
    profile: Profile
    digest: str

    @property
    def work(self) -> Path:
        """Local scratch folder, absolute."""
        return Path(self.profile.variables()["ONERUN_WORK"])

    @property
    def store(self) -> str:
        """Root of the snapshots: an absolute folder or s3://bucket/prefix."""
        return self.profile.variables()["ONERUN_STORE"]


def read_asked(
    recipe: str, overrides: Sequence[str] = (), data: str | None = None, profile: str | None = None
) -> tuple[Document, Asked]:
    """Read recipe and profile; the quick half of the check. Raises: Mistakes."""
    document = read_document(recipe, overrides, data)
    checked = check_document(document)
    digest = hashlib.sha256(checked.model_dump_json(by_alias=True).encode()).hexdigest()
    return document, Asked(checked, with_prefect(load_profile(profile)), digest)


def check_asked(document: Document, asked: Asked, waits: bool = False) -> None:
    """The half of the check that loads the estimator's library and asks the servers.

    Args: waits: nobody sits before it, and all that follows waits for servers that are silent now. Raises: Mistakes.
    """
    mistakes: list[Mistake] = check_model(asked.recipe)
    mistakes += check_expectations(asked.recipe.data.expectations)
    if not mistakes:
        mistakes += check_evaluation(asked.recipe, task_of(asked.recipe))
    mistakes += check_source(asked.recipe.data)
    placed = document.placed(mistakes) + check_profile(asked.profile, waits)
    if placed:
        raise Mistakes(placed)
