"""Promote: the alias moves to the run's version when its gates held, and says why."""

import logging
from contextlib import suppress

from onerun.config.recipe import Recipe
from onerun.domain import promotion
from onerun.domain.errors import AliasBusy, AliasMoved
from onerun.domain.references import Evaluation, Promotion, Version
from onerun.tracking.registry import ledger, move_alias, version_of_alias

LOOKS = 10  # at an alias that others move meanwhile
log = logging.getLogger("onerun")


def promote(run_id: str, recipe: Recipe, version: Version, evaluation: Evaluation) -> Promotion:
    """Move `promote.alias`, then `promote.also`, or holds them; both with the reason. Safe to repeat.

    The alias must still point at the champion that the evaluation was made against: when another training was promoted
    meanwhile, the comparison is stale and this version is held.
    """
    alias = recipe.promote.alias
    decision = promotion.decide(evaluation, recipe.promote.approval, version, alias)
    if isinstance(decision, promotion.Hold):
        holder = version_of_alias(version.model, alias)
        return Promotion(
            alias=alias, also=recipe.promote.also, promoted=False, reason=decision.reason, previous_version=holder,
            waits=decision.waits,
        )  # fmt: skip
    return move_aliases(run_id, version, evaluation, (alias, *recipe.promote.also), decision.reason)


def move_aliases(
    run_id: str, version: Version, evaluation: Evaluation, aliases: tuple[str, ...], why: str
) -> Promotion:
    """Move the first alias from the champion of the evaluation, then the others; safe to repeat."""
    alias, *others = aliases
    try:
        _move(run_id, version, alias, evaluation.champion_version, why, evaluation)
    except AliasMoved as stale:
        holder = version_of_alias(version.model, alias)
        reason = f"{stale}. To move it all the same: {promotion.move_command(version.model, alias, version.version)}"
        return Promotion(
            alias=alias, also=tuple(others), promoted=False, reason=reason, previous_version=holder
        )
    for further in others:
        _follow(run_id, version, further, alias, why, evaluation)
    return _promoted(version, aliases, why)


def _follow(
    run_id: str, version: Version, further: str, leader: str, why: str, evaluation: Evaluation
) -> None:
    """The further alias goes where the leader is: another training may take both while we look.

    The holder is read before the leader, so that a move which rests on an old look is refused and looked at again.
    """
    for _ in range(LOOKS):
        holder = version_of_alias(version.model, further)
        if version_of_alias(version.model, leader) != version.version:
            return  # whoever took it moves this one too
        with suppress(AliasMoved):
            _move(run_id, version, further, holder, why, evaluation)
            return
    raise AliasBusy(
        f"{version.model}@{further}: others move it again and again; run this once more"
    )


def _move(
    run_id: str,
    version: Version,
    alias: str,
    expected: str | None,
    why: str,
    evaluation: Evaluation,
) -> None:
    numbers = promotion.ledger_metrics(evaluation)
    move_alias(version.model, alias, version.version, expected, why, run_id, "promote", numbers)
    log.info("%s@%s now points at version %s", version.model, alias, version.version)


def _promoted(version: Version, aliases: tuple[str, ...], reason: str) -> Promotion:
    """The previous holder is read from the ledger, so that a repeated call says the same as the first."""
    moves = [
        move for move in ledger(version.model, aliases[0]) if move.to_version == version.version
    ]
    previous = moves[-1].from_version if moves else None
    commands = " && ".join(promotion.rollback_command(version.model, alias) for alias in aliases)
    back = f"; back: {commands}" if previous else ""
    return Promotion(
        alias=aliases[0],
        also=aliases[1:],
        promoted=True,
        reason=reason + back,
        previous_version=previous,
    )
