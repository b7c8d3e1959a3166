"""Promote: the alias moves to the run's version when its gates passed; the reason is recorded
either way.
"""

import logging
from contextlib import suppress

from onerun.config.recipe import Recipe
from onerun.domain import promotion
from onerun.domain.errors import AliasBusy, AliasMoved
from onerun.domain.references import Evaluation, Promotion, Version
from onerun.tracking.registry import ledger, move_alias, version_of_alias

MOST_TRIES = 10  # to move an alias that others move meanwhile
log = logging.getLogger("onerun")


def promote(run_id: str, recipe: Recipe, version: Version, evaluation: Evaluation) -> Promotion:
    """Move `promote.alias`, then `promote.also`, or leave them; both with the reason. Safe to
    repeat.

    The alias must still point at the champion that the evaluation compared with: when another
    training was promoted meanwhile, the comparison is stale and the alias stays.
    """
    alias = recipe.promote.alias
    decision = promotion.decide(evaluation, recipe.promote.approval, version, alias)
    if not decision.promote:
        return Promotion(
            alias=alias,
            also=recipe.promote.also,
            promoted=False,
            reason=decision.reason,
            previous_version=version_of_alias(version.model, alias),
            waits=decision.waits,
        )
    return move_aliases(run_id, version, evaluation, (alias, *recipe.promote.also), decision.reason)


def move_aliases(
    run_id: str, version: Version, evaluation: Evaluation, aliases: tuple[str, ...], why: str
) -> Promotion:
    """Move the first alias from the champion of the evaluation, then the others; safe to repeat."""
    alias, *others = aliases
    try:
        _move(run_id, version, alias, evaluation.champion_version, why, evaluation)
    except AliasMoved as stale:
        command = promotion.move_command(version.model, alias, version.version)
        return Promotion(
            alias=alias,
            also=tuple(others),
            promoted=False,
            reason=f"{stale}. To move it all the same: {command}",
            previous_version=version_of_alias(version.model, alias),
        )
    for further in others:
        _follow(run_id, version, further, alias, why, evaluation)
    return _promoted(version, aliases, why)


def _follow(
    run_id: str, version: Version, further: str, leader: str, why: str, evaluation: Evaluation
) -> None:
    """Move the further alias to where the leader is: another training may take both meanwhile.

    The holder is read before the leader, so that a move based on stale state is refused and tried
    again.
    """
    for _ in range(MOST_TRIES):
        holder = version_of_alias(version.model, further)
        if version_of_alias(version.model, leader) != version.version:
            return  # the process that took it moves this one too
        with suppress(AliasMoved):
            _move(run_id, version, further, holder, why, evaluation)
            return
    raise AliasBusy(
        f"{version.model}@{further}: other processes keep moving it; run this command again"
    )


def _move(
    run_id: str,
    version: Version,
    alias: str,
    expected: str | None,
    why: str,
    evaluation: Evaluation,
) -> None:
    move_alias(
        version.model,
        alias,
        version.version,
        expected,
        why,
        run_id,
        "promote",
        promotion.ledger_metrics(evaluation),
    )
    log.info("%s@%s now points at version %s", version.model, alias, version.version)


def _promoted(version: Version, aliases: tuple[str, ...], reason: str) -> Promotion:
    """Return the result; the previous holder is read from the ledger, so that a repeated call
    returns the same.
    """
    previous = None
    for move in ledger(version.model, aliases[0]):
        if move.to_version == version.version:
            previous = move.from_version
    if previous:
        commands = [promotion.rollback_command(version.model, alias) for alias in aliases]
        reason = f"{reason}; back: {' && '.join(commands)}"
    return Promotion(
        alias=aliases[0],
        also=aliases[1:],
        promoted=True,
        reason=reason,
        previous_version=previous,
    )
