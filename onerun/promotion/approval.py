"""A version that waits for a person: found by its run, moved or left, and the answer written down."""

from typing import TypeVar

from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain import names, promotion
from onerun.domain.promotion import PendingApproval
from onerun.domain.references import Evaluation, Promotion, Reference, Version
from onerun.promotion.promote import move_aliases
from onerun.tracking.registry import tag_version, version_of_alias
from onerun.tracking.runs import params_and_tags, set_tags

AnyReference = TypeVar("AnyReference", bound=Reference)


def pending(run_id: str) -> PendingApproval:
    """Return what the run's training left to be approved. Raises: Mistakes when there is nothing to approve."""
    _, tags = params_and_tags(run_id)
    if not tags:
        raise Mistakes(
            [Mistake("run_id", f"MLflow knows no run {run_id!r}; take it from the training's page")]
        )
    evaluation, version = _stage(tags, "evaluate", Evaluation), _stage(tags, "register", Version)
    promotion = _stage(tags, "promote", Promotion)
    if evaluation is None or version is None or promotion is None:
        raise Mistakes(
            [
                Mistake(
                    "run_id", f"the training of run {run_id} did not come as far as its promotion"
                )
            ]
        )
    if not evaluation.all_gates_held:
        raise Mistakes(
            [Mistake("run_id", f"{version.summary} did not hold its gates: {promotion.reason}")]
        )
    return PendingApproval(
        run_id=run_id,
        version=version,
        aliases=(promotion.alias, *promotion.also),
        evaluation=evaluation,
    )


def _stage(tags: dict[str, str], stage: str, kind: type[AnyReference]) -> AnyReference | None:
    text = tags.get(names.TAG_STAGE.format(stage=stage))
    return kind.from_json(text) if text else None


def approve(asked: PendingApproval, who: str, why: str) -> Promotion:
    """Move the aliases by compare-and-set: only from the champion that the question was about. Safe to repeat."""
    reason = promotion.approval_reason(asked, who, why)
    return _recorded(
        asked, move_aliases(asked.run_id, asked.version, asked.evaluation, asked.aliases, reason)
    )


def refuse(asked: PendingApproval, who: str, why: str) -> Promotion:
    """Leave the aliases where they are, and says so on the run and on the version."""
    holder = version_of_alias(asked.version.model, asked.aliases[0])
    reason = promotion.refusal_reason(asked, who, why)
    answer = Promotion(
        alias=asked.aliases[0],
        also=asked.aliases[1:],
        promoted=False,
        reason=reason,
        previous_version=holder,
    )
    return _recorded(asked, answer)


def _recorded(asked: PendingApproval, answer: Promotion) -> Promotion:
    set_tags(asked.run_id, {names.TAG_STAGE.format(stage="promote"): answer.model_dump_json()})
    key = names.TAG_APPROVAL.format(alias=asked.aliases[0])
    tag_version(asked.version.model, asked.version.version, key, answer.reason)
    return answer
