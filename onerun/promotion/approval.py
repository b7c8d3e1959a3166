"""A version that waits for a person: found by its run, approved or refused, and the answer
recorded.
"""

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
    """Return what the run's training left to be approved.

    Raises:
        Mistakes: There is nothing to approve.
    """
    _, tags = params_and_tags(run_id)
    if not tags:
        raise _mistake(f"MLflow knows no run {run_id!r}; take it from the training's page")
    evaluation, version = _stage(tags, "evaluate", Evaluation), _stage(tags, "register", Version)
    decided = _stage(tags, "promote", Promotion)
    if evaluation is None or version is None or decided is None:
        raise _mistake(f"the training of run {run_id} did not come as far as its promotion")
    if not evaluation.all_gates_held:
        raise _mistake(f"{version.summary} did not pass its gates: {decided.reason}")
    return PendingApproval(
        run_id=run_id,
        version=version,
        aliases=(decided.alias, *decided.also),
        evaluation=evaluation,
    )


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("run_id", message)])


def _stage(tags: dict[str, str], stage: str, kind: type[AnyReference]) -> AnyReference | None:
    text = tags.get(names.TAG_STAGE.format(stage=stage))
    return kind.from_json(text) if text else None


def approve(pending: PendingApproval, who: str, why: str) -> Promotion:
    """Move the aliases by compare-and-set: only from the champion in the question. Safe to
    repeat.
    """
    reason = promotion.approval_reason(pending, who, why)
    moved = move_aliases(
        pending.run_id, pending.version, pending.evaluation, pending.aliases, reason
    )
    return _record(pending, moved)


def refuse(pending: PendingApproval, who: str, why: str) -> Promotion:
    """Leave the aliases where they are, and record the refusal on the run and on the version."""
    alias, *others = pending.aliases
    refused = Promotion(
        alias=alias,
        also=tuple(others),
        promoted=False,
        reason=promotion.refusal_reason(pending, who, why),
        previous_version=version_of_alias(pending.version.model, alias),
    )
    return _record(pending, refused)


def _record(pending: PendingApproval, answer: Promotion) -> Promotion:
    set_tags(pending.run_id, {names.TAG_STAGE.format(stage="promote"): answer.model_dump_json()})
    key = names.TAG_APPROVAL.format(alias=pending.aliases[0])
    tag_version(pending.version.model, pending.version.version, key, answer.reason)
    return answer
