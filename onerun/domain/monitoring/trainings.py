"""Samples of trainings, from what was seen of them. Nothing is asked, no clock is read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from onerun.domain import names
from onerun.domain.monitoring import series
from onerun.domain.monitoring.seen import ENDED, STATES, EndedTraining, Trainings
from onerun.domain.monitoring.series import MOST, OTHERS, Histogram, Sample, Samples
from onerun.domain.references import Evaluation, Promotion

BOUNDS = (1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10_800, 36_000, 86_400)  # seconds


def of_trainings(seen: Trainings) -> Samples:
    """Return everything that is said of trainings."""
    kept = _trained_last(seen)
    own = {recipe: recipe for recipe in kept}
    labelled = [each._replace(recipe=own.get(each.recipe, OTHERS)) for each in seen.recent]
    shown = [*kept, *[OTHERS] * (len(kept) < len({recipe for recipe, _ in seen.counts}))]
    counts: Counter[tuple[str, str]] = Counter()
    for (recipe, state), count in seen.counts.items():
        counts[own.get(recipe, OTHERS), state] += count
    recent = Counter((each.recipe, each.state) for each in labelled)
    return {
        series.TRAININGS: [
            ((recipe, word(each)), counts[recipe, each]) for recipe in shown for each in STATES
        ],
        series.RECENT: [
            ((recipe, word(each)), recent[recipe, each]) for recipe in shown for each in ENDED
        ],
        series.LEFT_OUT: [(("recipe",), len({recipe for recipe, _ in seen.counts}) - len(kept))],
        series.DURATION: [((recipe,), histogram(_lengths(labelled, recipe))) for recipe in shown],
        series.STAGE: [((stage,), histogram(_of_stage(labelled, stage))) for stage in names.STAGES],
        series.GATES: counted(_gates(labelled)),
        series.PROMOTIONS: counted(_decisions(labelled)),
        **_of_last(seen, kept),
    }


def _trained_last(seen: Trainings) -> list[str]:
    """Return the recipes that have series of their own, the one that ended last first."""
    ends: dict[str, int] = {}
    for recipe, state in seen.counts:
        ends[recipe] = max(ends.get(recipe, 0), seen.last_ends.get((recipe, state), 0))
    return sorted(ends, key=lambda recipe: (-ends[recipe], recipe))[:MOST]


def _of_last(seen: Trainings, kept: Sequence[str]) -> Samples:
    last = [(recipe, seen.last[recipe]) for recipe in kept if recipe in seen.last]
    return {
        series.LAST_DURATION: [((recipe,), each.seconds) for recipe, each in last],
        series.LAST_STAGE: [
            ((recipe, stage), took) for recipe, each in last for stage, took in each.stages.items()
        ],
        series.LAST_END: [
            ((recipe, word(state)), end / 1000)
            for (recipe, state), end in seen.last_ends.items()
            if recipe in kept
        ],
    }


def _lengths(ended: Sequence[EndedTraining], recipe: str) -> list[float]:
    return [each.seconds for each in ended if each.recipe == recipe and each.state == "FINISHED"]


def _of_stage(ended: Sequence[EndedTraining], stage: str) -> list[float]:
    return [each.stages[stage] for each in ended if stage in each.stages]


def _gates(ended: Iterable[EndedTraining]) -> Iterator[tuple[str, ...]]:
    for each in ended:
        evaluation = _read(Evaluation, each.evaluation)
        for gate in evaluation.gates if evaluation else ():
            yield each.recipe, gate.kind, "held" if gate.held else "broken"


def _decisions(ended: Iterable[EndedTraining]) -> Iterator[tuple[str, ...]]:
    for each in ended:
        promotion = _read(Promotion, each.promotion)
        if promotion is not None:
            yield (
                each.recipe,
                "promoted" if promotion.promoted else "waits" if promotion.waits else "held",
            )


def _read(kind: Any, text: str) -> Any:
    """Return the reference; None where there is none, or a store has cut it off, or another version wrote it."""
    try:
        return kind.from_json(text) if text else None
    except ValidationError:
        return None


def counted(found: Iterable[tuple[str, ...]]) -> list[Sample]:
    """Return how often each combination of labels was found."""
    return [(labels, count) for labels, count in sorted(Counter(found).items())]


def histogram(values: Sequence[float]) -> Histogram:
    """Return the values in cumulative buckets."""
    below = tuple(
        (str(float(bound)), float(sum(value <= bound for value in values))) for bound in BOUNDS
    )
    return Histogram((*below, ("+Inf", float(len(values)))), sum(values))


def word(state: str) -> str:
    """Return a state of MLflow's, as a label has it."""
    return state.lower()
