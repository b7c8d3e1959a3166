"""Trainings and models through MLflow's client, as every kind of store answers: trainings one by one."""

from collections import Counter
from typing import TYPE_CHECKING

from onerun.domain import names
from onerun.domain.ledger import Move
from onerun.domain.monitoring.seen import ENDED, Ended, Registered, Trainings
from onerun.store.sql.trainings import EVALUATION, PROMOTION, STAGE_SECONDS
from onerun.tracking.running import experiments_named, search
from onerun.tracking.runs import client

if TYPE_CHECKING:
    from mlflow.entities import Run


def trainings(since: int) -> Trainings:
    """Returns: what the store holds. Args: since: milliseconds since 1970; what ended later is recent."""
    named = experiments_named(())
    counts: Counter[tuple[str, str]] = Counter()
    ends: dict[tuple[str, str], int] = {}
    last: dict[str, Ended] = {}
    recent = []
    for run in search(named, f"tags.`{names.TAG_FLOW_RUN_ID}` LIKE '%'"):
        key = recipe, state = named[run.info.experiment_id], run.info.status
        counts[key] += 1
        if state not in ENDED or not run.info.end_time:
            continue
        ended = _ended(run, recipe)
        ends[key] = max(ends.get(key, 0), ended.ended)
        if state == "FINISHED" and ended.ended == ends[key]:
            last[recipe] = ended
        if ended.ended >= since:
            recent.append(ended)
    return Trainings(counts, ends, last, recent)


def _ended(run: "Run", recipe: str) -> Ended:
    info, tags, metrics = run.info, run.data.tags, run.data.metrics
    seconds = {stage: metrics[key] for key, stage in STAGE_SECONDS.items() if key in metrics}
    said = tags.get(EVALUATION, ""), tags.get(PROMOTION, "")
    return Ended(
        recipe, info.status, info.start_time or info.end_time, info.end_time, seconds, *said
    )


def registered() -> list[Registered]:
    """Returns: all registered models with their aliases and the finished moves of these."""
    found: list[Registered] = []
    token = None
    while True:
        page = client().search_registered_models(page_token=token)
        for model in page:
            moves = [
                Move.from_json(text)
                for key, text in sorted(model.tags.items())
                if key.startswith(names.PREFIX_MOVE)
            ]
            aliases = {alias: str(version) for alias, version in model.aliases.items()}
            found.append(
                Registered(model.name, aliases, [move for move in moves if move.state == "done"])
            )
        token = page.token
        if not token:
            return found
