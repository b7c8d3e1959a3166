"""A version that waits for a person, on a real store: approved, refused, overtaken; all on the record."""

from uuid import uuid4

import pytest

from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Recipe
from onerun.domain import names
from onerun.domain.references import Evaluation, GateResult, Promotion, Reference, TrainedModel
from onerun.promotion import approval
from onerun.promotion.promote import promote
from onerun.promotion.register import register
from onerun.tracking.registry import ledger, move_alias, version_of_alias
from onerun.tracking.runs import client, params_and_tags, set_tags


def evaluation(champion: str | None = None, held: bool = True) -> Evaluation:
    return Evaluation(
        task="regression", primary="rmse", metrics={"rmse": 1.5}, baseline_metrics={}, champion_version=champion,
        champion_metrics={"rmse": 2.0} if champion else None,
        gates=(GateResult(rule="rmse <= 2", held=held, reason="1.5 against 2"),),
    )  # fmt: skip


def trained(run_id: str, model: str, judged: Evaluation) -> Promotion:
    """What the last three stages of a training leave behind."""
    wanted = Recipe.model_validate(
        {
            "name": model,
            "data": {"source": "x.csv", "target": "y"},
            "model": {"estimator": "sklearn.linear_model.Ridge"},
            "promote": {"approval": "manual", "also": ["live"]},
        }
    )
    experiment = client().get_run(run_id).info.experiment_id
    model_id = str(
        client().create_logged_model(experiment, name="model", source_run_id=run_id).model_id
    )
    logged = TrainedModel(model_id=model_id, model_uri=f"models:/{model_id}", rows={})
    version = register(run_id, wanted, logged, judged)
    promotion = promote(run_id, wanted, version, judged)
    stages: dict[str, Reference] = {"evaluate": judged, "register": version, "promote": promotion}
    set_tags(
        run_id,
        {
            names.TAG_STAGE.format(stage=stage): done.model_dump_json()
            for stage, done in stages.items()
        },
    )
    return promotion


@pytest.fixture
def model() -> str:
    return f"asked {uuid4().hex[:8]}"


def said(run_id: str) -> Promotion:
    return Promotion.from_json(params_and_tags(run_id)[1][names.TAG_STAGE.format(stage="promote")])


def test_a_training_that_asks_moves_nothing(run_id: str, model: str) -> None:
    promotion = trained(run_id, model, evaluation())
    assert (promotion.promoted, promotion.waits, promotion.also) == (False, True, ("live",))
    assert promotion.summary == "champion waits for approval"
    assert version_of_alias(model, "champion") is None
    assert not trained_without_gates(model).waits, "what a gate holds waits for nobody"


def trained_without_gates(model: str) -> Promotion:
    experiment = client().create_experiment(f"held {model}")
    return trained(
        str(client().create_run(experiment).info.run_id), f"{model} held", evaluation(held=False)
    )


def test_approved_it_takes_its_aliases_and_the_record_says_who_and_why(
    run_id: str, model: str
) -> None:
    trained(run_id, model, evaluation())
    answer = approval.approve(approval.pending(run_id), "the owner", "looks fine")
    assert answer.promoted and answer.reason.startswith(
        "approved by the owner: looks fine; the gate passed; rmse 1.5"
    )
    assert version_of_alias(model, "champion") == version_of_alias(model, "live") == "1"
    assert said(run_id) == answer
    assert client().get_model_version(model, "1").tags["onerun.approval.champion"] == answer.reason
    assert "approved by the owner" in ledger(model, "champion")[-1].why
    again = approval.approve(approval.pending(run_id), "the owner", "looks fine")
    assert again.promoted and len(ledger(model, "champion")) == 1, "again is safe"


def test_refused_it_leaves_them_and_says_how_to_move_them_all_the_same(
    run_id: str, model: str
) -> None:
    trained(run_id, model, evaluation())
    answer = approval.refuse(approval.pending(run_id), "the owner", "")
    assert not answer.promoted and "onerun promote --model" in answer.reason
    assert version_of_alias(model, "champion") is None and ledger(model, "champion") == []
    assert said(run_id) == answer
    assert (
        client()
        .get_model_version(model, "1")
        .tags["onerun.approval.champion"]
        .startswith("refused by the owner")
    )


def test_an_approval_that_comes_too_late_leaves_the_alias(run_id: str, model: str) -> None:
    experiment = client().get_run(run_id).info.experiment_id
    trained(run_id, model, evaluation())
    asked = approval.pending(run_id)
    other = str(client().create_run(experiment).info.run_id)
    trained(other, model, evaluation())
    move_alias(model, "champion", "2", None, "moved meanwhile")
    answer = approval.approve(asked, "the owner", "")
    assert not answer.promoted and "it was moved meanwhile" in answer.reason
    assert version_of_alias(model, "champion") == "2"


def test_what_cannot_be_approved_is_told(run_id: str, model: str) -> None:
    with pytest.raises(Mistakes, match="knows no run"):
        approval.pending("0" * 32)
    with pytest.raises(Mistakes, match="did not come as far as its promotion"):
        approval.pending(run_id)
    trained(run_id, model, evaluation(held=False))
    with pytest.raises(Mistakes, match="did not pass its gates"):
        approval.pending(run_id)
