"""Samples of models, of what reads RUNNING, and of the store as a whole."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from onerun.domain.monitoring import series
from onerun.domain.monitoring.seen import Registered
from onerun.domain.monitoring.series import MOST, Sample, Samples
from onerun.domain.monitoring.trainings import counted, word
from onerun.domain.reconcile.plan import ReconcilePlan

VERDICTS = {"Live": "live", "Dead": "dead", "Unknown": "unknown", "NotOurs": "not_ours"}


def of_models(seen: Sequence[Registered]) -> Samples:
    """Return who holds which alias, since when, and how often it moved; of the pairs that moved last."""
    pairs = {(each.model, alias): each for each in seen for alias in _aliases(each)}
    moved = {(model, alias): _moved(each, alias) for (model, alias), each in pairs.items()}
    kept = sorted(pairs, key=lambda pair: (-moved[pair], pair))[:MOST]
    moves = Counter(
        (model, alias, move.kind)
        for model, alias in kept for move in pairs[model, alias].moves if move.alias == alias
    )  # fmt: skip
    held = [(pair, pairs[pair].aliases.get(pair[1], "")) for pair in kept]
    return {
        series.ALIAS: [(pair, float(version)) for pair, version in held if version.isdigit()],
        series.ALIAS_MOVED: [(pair, moved[pair]) for pair in kept if moved[pair]],
        series.MOVES: [(labels, count) for labels, count in sorted(moves.items())],
        series.LEFT_OUT: [
            (("model",), len({model for model, _ in pairs} - {model for model, _ in kept}))
        ],
    }


def _aliases(of: Registered) -> set[str]:
    return {*of.aliases, *(move.alias for move in of.moves)}


def _moved(of: Registered, alias: str) -> float:
    """Return seconds since 1970; 0 when it was never moved on the record."""
    return max(
        (datetime.fromisoformat(move.at).timestamp() for move in of.moves if move.alias == alias),
        default=0.0,
    )


def of_running(plan: ReconcilePlan) -> Samples:
    """Return what the reconciler would say. Without Prefect it cannot tell what lost its owner."""
    verdicts = Counter(VERDICTS[type(verdict).__name__] for _, verdict in plan.runs)
    orphans = {
        "dead_run": len(plan.dead),
        "dead_flow_run": len(plan.marks),
        "flow_run_without_run": len(plan.without_run),
        "run_without_flow_run": len(plan.without_flow_run),
    }
    return {
        series.PREFECT_UP: [((), float(not plan.prefect))],
        series.RUNNING: [((verdict,), verdicts[verdict]) for verdict in VERDICTS.values()],
        series.ORPHANS: []
        if plan.prefect
        else [((kind,), count) for kind, count in orphans.items()],
        series.NOT_STARTED: [] if plan.prefect else [((), len(plan.not_started))],
    }


def of_store(summary: Mapping[str, Any]) -> Samples:
    """Args: summary: what `python -m flows.summary --json` prints."""
    sizes = {"artifacts": summary["bytes"], "database": summary["database_bytes"]}
    looked = summary["bytes"] is not None
    return {
        series.EXPERIMENTS: [
            ((state,), count) for state, count in sorted(summary["experiments"].items())
        ],
        series.RUNS: [((word(state),), count) for state, count in sorted(summary["runs"].items())],
        series.LOGGED_MODELS: [((), summary["logged_models"])],
        series.MODELS: [((), summary["registered_models"])],
        series.VERSIONS: [((), summary["versions"])],
        series.SIZE: [((part,), size) for part, size in sizes.items() if size is not None],
        series.UNMEASURED: [((), summary["unmeasured"])] if looked else [],
        series.TROUBLES: counted((trouble["kind"],) for trouble in summary["troubles"]),
    }


def merged(several: Iterable[Samples]) -> Samples:
    """Return all samples, of a series that several speak of one after the other."""
    found: dict[series.Series, list[Sample]] = {}
    for samples in several:
        for each, of in samples.items():
            found.setdefault(each, []).extend(of)
    return found
