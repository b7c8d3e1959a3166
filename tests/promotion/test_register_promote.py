"""The last two stages on a real store: again is safe (P2), and they say why."""

from typing import Any
from uuid import uuid4

import pytest

from onerun.config.recipe import Recipe
from onerun.domain import names
from onerun.domain.references import Evaluation, GateResult, Promotion, TrainedModel, Version
from onerun.promotion.aliases import history, move_to, roll_back
from onerun.promotion.promote import promote
from onerun.promotion.register import register
from onerun.tracking.registry import ledger, version_of_alias, versions
from onerun.tracking.runs import client, set_tags


@pytest.fixture
def model() -> str:
    return f"housing {uuid4().hex[:8]}"


def recipe(
    model: str, register: dict[str, Any] | None = None, promote: dict[str, Any] | None = None
) -> Recipe:
    return Recipe.model_validate(
        {
            "name": model,
            "data": {"source": "x.csv", "target": "y"},
            "model": {"estimator": "sklearn.linear_model.Ridge"},
            "register": register or {},
            "promote": promote or {},
        }
    )


def evaluation(rmse: float = 1.5, champion: str | None = None, held: bool = True) -> Evaluation:
    return Evaluation(
        task="regression", primary="rmse", metrics={"rmse": rmse}, baseline_metrics={}, champion_version=champion,
        champion_metrics={"rmse": 2.0} if champion else None,
        gates=(GateResult(rule="rmse <= 2", held=held, reason=f"{rmse} against 2"),),
    )  # fmt: skip


def another(run_id: str) -> str:
    return str(client().create_run(client().get_run(run_id).info.experiment_id).info.run_id)


def registered(run_id: str, recipe: Recipe, judged: Evaluation) -> Version:
    experiment = client().get_run(run_id).info.experiment_id
    model_id = str(
        client().create_logged_model(experiment, name="model", source_run_id=run_id).model_id
    )
    trained = TrainedModel(model_id=model_id, model_uri=f"models:/{model_id}", rows={})
    return register(run_id, recipe, trained, judged)


def trained(run_id: str, recipe: Recipe, judged: Evaluation) -> Promotion:
    return promote(run_id, recipe, registered(run_id, recipe, judged), judged)


def test_a_version_tells_where_it_came_from(model: str, run_id: str) -> None:
    set_tags(run_id, {names.TAG_SNAPSHOT_DIGEST: "abc"})
    asked = recipe(
        model,
        register={"description": "for *Ada*", "tags": {"team": "geo"}, "aliases": ["staging"]},
    )
    version = registered(run_id, asked, evaluation())
    assert registered(run_id, asked, evaluation()) == version
    found = client().get_model_version(model, version.version)
    assert found.description == "for *Ada*"
    assert found.tags == {
        "team": "geo", "onerun.run_id": run_id, "onerun.snapshot_digest": "abc", "onerun.metric.rmse": "1.5"
    }  # fmt: skip
    assert version_of_alias(model, "staging") == version.version == "1"


def test_an_older_run_registered_again_does_not_take_the_alias_back(
    model: str, run_id: str
) -> None:
    asked = recipe(model, register={"aliases": ["staging"]})
    for run in (run_id, another(run_id), run_id):
        registered(run, asked, evaluation())
    assert version_of_alias(model, "staging") == "2"
    assert versions(model) == ["1", "2"]


def test_an_alias_that_is_taken_meanwhile_ends_at_the_newest(
    model: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe(model, register={"aliases": ["staging"]})
    waiting = [another(run_id)]

    def look(model: str, alias: str) -> str | None:
        holder = version_of_alias(model, alias)
        if waiting:  # right after this look another training registers, and takes the alias
            registered(waiting.pop(), asked, evaluation())
        return holder

    monkeypatch.setattr("onerun.promotion.register.version_of_alias", look)
    registered(run_id, asked, evaluation())
    assert version_of_alias(model, "staging") == "2"
    assert [(move.from_version, move.to_version) for move in ledger(model, "staging")] == [
        (None, "2")
    ]


def test_gates_held_the_alias_moves_and_says_how_to_move_it_back(model: str, run_id: str) -> None:
    asked = recipe(model, promote={"alias": "live", "also": ["production"]})
    assert trained(run_id, asked, evaluation()).previous_version is None
    second = another(run_id)
    promotion = trained(second, asked, evaluation(1.2, champion="1"))
    assert (promotion.promoted, promotion.previous_version) == (True, "1")
    assert "rmse 1.2 (champion version 1: 2)" in promotion.reason
    back = f"onerun promote --model '{model}' --alias"
    assert promotion.reason.endswith(
        f"; back: {back} live --rollback && {back} production --rollback"
    )
    assert version_of_alias(model, "live") == version_of_alias(model, "production") == "2"
    assert (
        promote(second, asked, Version(model=model, version="2"), evaluation(1.2, champion="1"))
        == promotion
    )
    assert [move.numbers for move in ledger(model, "live")] == [
        {"rmse": 1.5},
        {"rmse": 1.2, "champion_rmse": 2.0},
    ]


@pytest.mark.parametrize("between", ["looks", "look and move"])
def test_further_aliases_end_where_the_champion_is(
    between: str, model: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe(model, promote={"also": ["production"]})
    trained(run_id, asked, evaluation())
    second, third, waiting = another(run_id), another(run_id), [1]
    later = registered(third, asked, evaluation(1.1))

    def look(model: str, alias: str) -> str | None:
        """Another training takes both aliases while the further one is looked at."""
        holder = version_of_alias(model, alias)
        if waiting and alias == ("production" if between == "looks" else "champion"):
            waiting.pop()
            assert promote(third, asked, later, evaluation(1.1, champion="3")).promoted
        return holder

    monkeypatch.setattr("onerun.promotion.promote.version_of_alias", look)
    assert trained(second, asked, evaluation(1.2, champion="1")).promoted
    assert (
        version_of_alias(model, "champion")
        == version_of_alias(model, "production")
        == later.version
    )


def test_a_broken_gate_holds_the_alias(model: str, run_id: str) -> None:
    trained(run_id, recipe(model), evaluation())
    promotion = trained(another(run_id), recipe(model), evaluation(3.0, champion="1", held=False))
    assert (promotion.promoted, promotion.previous_version) == (False, "1")
    assert "rmse <= 2: 3.0 against 2" in promotion.reason
    assert version_of_alias(model, "champion") == "1"


def test_manual_approval_holds_until_a_person_moves_it(model: str, run_id: str) -> None:
    promotion = trained(run_id, recipe(model, promote={"approval": "manual"}), evaluation())
    assert not promotion.promoted
    assert f"onerun promote --model '{model}' --to 1" in promotion.reason
    assert move_to(model, "champion", "1") is not None
    assert version_of_alias(model, "champion") == "1"


def test_a_comparison_with_a_former_champion_is_stale(model: str, run_id: str) -> None:
    trained(run_id, recipe(model), evaluation())
    trained(another(run_id), recipe(model), evaluation(champion="1"))
    promotion = trained(another(run_id), recipe(model), evaluation(champion="1"))
    assert (promotion.promoted, promotion.previous_version) == (False, "2")
    assert "expected to find version 1, found version 2" in promotion.reason
    assert "--to 3" in promotion.reason


def test_rolling_back_twice_goes_two_back(model: str, run_id: str) -> None:
    for run, champion in ((run_id, None), (another(run_id), "1"), (another(run_id), "2")):
        trained(run, recipe(model), evaluation(champion=champion))
    roll_back(model, "champion")
    assert version_of_alias(model, "champion") == "2"
    roll_back(model, "champion")
    moves, holder = history(model, "champion")
    assert holder == "1"
    assert [move.kind for move in moves] == ["promote"] * 3 + ["rollback"] * 2
    assert moves[-1].why == "rolled back from version 2"
