"""Samples follow from what was seen: counts are whole, labels are few, and what is not known is not said."""

import pytest

from onerun.config.evaluation import BetterThan, GateKind, Threshold
from onerun.domain.ledger import Move
from onerun.domain.monitoring import series
from onerun.domain.monitoring.seen import EndedTraining, Registered, Trainings
from onerun.domain.monitoring.series import ALL, MOST, OTHERS, Histogram, Samples
from onerun.domain.monitoring.stores import merged, of_models, of_running, of_store
from onerun.domain.monitoring.trainings import histogram, of_trainings
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.domain.reconcile.seen import RunSeen
from onerun.domain.reconcile.verdicts import Dead, NotOurs, Unknown
from onerun.domain.references import Evaluation, GateResult, Promotion

EVALUATION = Evaluation(
    task="regression", primary="rmse", metrics={}, baseline_metrics={},
    gates=(
        GateResult(kind=GateKind.THRESHOLD, rule=Threshold(metric="r2", min=0.5).rule, held=True, reason=""),
        GateResult(
            kind=GateKind.BETTER_THAN_CHAMPION,
            rule=BetterThan(better_than="champion", on="rmse", by=0.01).rule, held=False, reason=""),
    ),
).model_dump_json()  # fmt: skip
HELD = Promotion(alias="champion", promoted=False, reason="").model_dump_json()


def ended(recipe: str, end: int, state: str = "FINISHED", **more: object) -> EndedTraining:
    return EndedTraining(recipe, state, end - 2500, end, {"train": 1.5}, **more)  # type: ignore[arg-type]


def value(samples: Samples, each: series.Series, *labels: str) -> object:
    return dict(samples[each])[labels]


def test_every_series_has_a_good_name_and_a_meaning() -> None:
    assert len({each.name for each in ALL}) == len(ALL)
    for each in ALL:
        assert each.name.startswith("onerun_") and each.says.endswith(".")
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert ("duration" in each.name or "timestamp" in each.name) <= each.name.endswith(
            "_seconds"
        )


def test_a_training_is_counted_timed_and_judged() -> None:
    recent = [
        ended("houses", 10_000, evaluation=EVALUATION, promotion=HELD),
        ended("houses", 20_000, "FAILED"),
    ]
    counts = {("houses", "FINISHED"): 4, ("houses", "FAILED"): 1, ("houses", "RUNNING"): 2}
    ends = {("houses", "FINISHED"): 10_000, ("houses", "FAILED"): 20_000}
    told = of_trainings(Trainings(counts, ends, {"houses": recent[0]}, recent))
    assert value(told, series.TRAININGS, "houses", "finished") == 4
    assert value(told, series.TRAININGS, "houses", "scheduled") == 0
    assert value(told, series.RECENT, "houses", "failed") == 1
    assert value(told, series.LAST_DURATION, "houses") == 2.5
    assert value(told, series.LAST_END, "houses", "failed") == 20
    assert value(told, series.LAST_STAGE, "houses", "train") == 1.5
    assert told[series.GATES] == [
        (("houses", "better_than_champion", "broken"), 1), (("houses", "threshold", "held"), 1),
    ]  # fmt: skip
    assert told[series.PROMOTIONS] == [(("houses", "held"), 1)]
    lengths = value(told, series.DURATION, "houses")
    assert isinstance(lengths, Histogram) and lengths.total == 2.5, (
        "only what finished has a length worth knowing"
    )
    stages = value(told, series.STAGE, "train")
    assert isinstance(stages, Histogram) and stages.buckets[-1] == ("+Inf", 2.0)


def test_buckets_are_cumulative_and_a_bound_is_within() -> None:
    buckets = dict(histogram([0.5, 3.0, 1e9]).buckets)
    assert (buckets["1.0"], buckets["3.0"], buckets["86400.0"], buckets["+Inf"]) == (1, 2, 2, 3)


def test_what_cannot_be_read_is_left_out() -> None:
    cut = ended("houses", 10_000, evaluation=EVALUATION[:-9], promotion='{"alias": 1}')
    told = of_trainings(Trainings({("houses", "FINISHED"): 1}, {}, {}, [cut]))
    assert told[series.GATES] == told[series.PROMOTIONS] == []


def test_the_recipes_trained_last_have_series_of_their_own_and_nothing_is_lost() -> None:
    many = [f"recipe {number:03}" for number in range(MOST + 30)]
    ends = {(recipe, "FINISHED"): 1000 * position for position, recipe in enumerate(many)}
    recent = [ended(recipe, 5000) for recipe in many]
    told = of_trainings(
        Trainings(dict.fromkeys(ends, 2), ends, dict(zip(many, recent, strict=True)), recent)
    )
    recipes = {labels[0] for labels, _ in told[series.TRAININGS]}
    assert recipes == {*many[30:], OTHERS}
    assert value(told, series.TRAININGS, OTHERS, "finished") == 60
    assert sum(
        count for _, count in told[series.TRAININGS] if not isinstance(count, Histogram)
    ) == 2 * len(many)
    assert value(told, series.RECENT, OTHERS, "finished") == 30
    assert told[series.LEFT_OUT] == [(("recipe",), 30)]
    assert (
        sum(len(found) * (15 if each.kind == "histogram" else 1) for each, found in told.items())
        < 2500
    )


@pytest.mark.parametrize(
    ("gate", "kind"),
    [
        (Threshold(metric="rmse", max=3), "threshold"),
        (BetterThan(better_than="champion"), "better_than_champion"),
        (BetterThan(better_than="baseline", on="r2", confidence=0.9), "better_than_baseline"),
    ],
)
def test_every_gate_has_a_kind(gate: Threshold | BetterThan, kind: str) -> None:
    assert gate.kind == kind


def test_a_result_of_an_earlier_version_has_no_kind() -> None:
    recorded = '{"rule": "rmse <= 2", "held": true, "reason": "rmse is 1"}'
    assert GateResult.from_json(recorded).kind is GateKind.UNKNOWN


def moved(alias: str, to: str, at: str, kind: str = "promote") -> Move:
    told = {"from_version": None, "why": "", "who": "", "place": "", "state": "done"}
    return Move(alias=alias, to_version=to, at=at, kind=kind, **told)  # type: ignore[arg-type]


def test_who_holds_an_alias_since_when_and_how_often_it_moved() -> None:
    moves = [
        moved("champion", "1", "2026-01-01T00:00:00Z"),
        moved("champion", "2", "2026-01-02T00:00:00Z", "to"),
    ]
    told = of_models(
        [Registered("houses", {"champion": "2", "staging": "3"}, moves), Registered("new", {}, [])]
    )
    assert dict(told[series.ALIAS]) == {("houses", "champion"): 2, ("houses", "staging"): 3}
    assert told[series.ALIAS_MOVED] == [(("houses", "champion"), 1767312000.0)]
    assert value(told, series.MOVES, "houses", "champion", "to") == 1


def test_models_beyond_the_limit_are_counted() -> None:
    told = of_models(
        [Registered(f"model {number:03}", {"champion": "1"}, []) for number in range(MOST + 3)]
    )
    assert len(told[series.ALIAS]) == MOST
    assert told[series.LEFT_OUT] == [(("model",), 3)]


def test_without_prefect_nothing_is_said_of_orphans() -> None:
    run = RunSeen(run_id="r", started="2026-01-01T00:00:00Z")  # type: ignore[arg-type]
    runs = (
        (run, Dead(status="KILLED", evidence=("gone",))),
        (run, NotOurs()),
        (run, Unknown(why="")),
    )
    told = of_running(ReconcilePlan(runs=runs))
    assert value(told, series.ORPHANS, "dead_run") == value(told, series.RUNNING, "dead") == 1
    assert value(told, series.RUNNING, "not_ours") == value(told, series.RUNNING, "unknown") == 1
    silent = of_running(ReconcilePlan(runs=runs[1:], prefect="refused"))
    assert silent[series.ORPHANS] == [] and silent[series.PREFECT_UP] == [((), 0.0)]
    assert (told[series.NOT_STARTED], silent[series.NOT_STARTED]) == ([((), 0)], [])


def test_of_a_store_only_what_was_measured_is_said() -> None:
    summary = {
        "experiments": {"active": 2}, "runs": {"FINISHED": 3, "deleted": 1}, "logged_models": 1, "versions": 2,
        "registered_models": 1, "bytes": None, "database_bytes": 4096, "unmeasured": 0,
        "troubles": [{"kind": "alias-to-nothing"}] * 2,
    }  # fmt: skip
    told = of_store(summary)
    assert told[series.SIZE] == [(("database",), 4096)] and told[series.UNMEASURED] == []
    assert dict(told[series.RUNS]) == {("finished",): 3, ("deleted",): 1}
    assert told[series.TROUBLES] == [(("alias-to-nothing",), 2)]
    assert of_store({**summary, "bytes": 9})[series.UNMEASURED] == [((), 0)]


def test_two_that_speak_of_one_series_are_both_heard() -> None:
    told = merged([{series.LEFT_OUT: [(("recipe",), 1)]}, {series.LEFT_OUT: [(("model",), 2)]}])
    assert told[series.LEFT_OUT] == [(("recipe",), 1), (("model",), 2)]
