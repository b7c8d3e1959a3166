"""The question that a model's owner is asked, and what the record says of the answer."""

import pytest

from onerun.domain import promotion
from onerun.domain.promotion import PendingApproval
from onerun.domain.references import Evaluation, GateResult, Version


def pending(champion: str | None = "3") -> PendingApproval:
    judged = Evaluation(
        task="regression", primary="rmse", metrics={"mae": 1.0, "rmse": 1.5}, baseline_metrics={"rmse": 9.0},
        champion_metrics={"rmse": 2.0} if champion else None, champion_version=champion,
        gates=(GateResult(rule="rmse <= 2", held=True, reason="rmse is 1.5"),),
    )  # fmt: skip
    return PendingApproval(
        run_id="r",
        version=Version(model="m", version="4"),
        aliases=("champion", "live"),
        evaluation=judged,
    )


def test_the_metrics_stand_beside_the_champions_the_primary_one_first() -> None:
    text = promotion.question(pending(), {"MLflow": "http://127.0.0.1:5000/#/runs/r"})
    assert (
        "**m version 4** passed its gates and asks for `champion`, `live` (version 3 holds it)."
        in text
    )
    assert text.index("| rmse | 1.5 | 2 | 9 |") < text.index("| mae | 1 | - | - |")
    assert (
        "- passed: rmse <= 2: rmse is 1.5" in text
        and "- MLflow: http://127.0.0.1:5000/#/runs/r" in text
    )
    assert "(no version yet holds it)" in promotion.question(pending(None), {})


@pytest.mark.parametrize(
    ("who", "why", "words"),
    [
        (
            "the owner",
            "looks fine",
            "approved by the owner: looks fine; the gate passed; rmse 1.5 (champion version 3: 2)",
        ),
        ("", "", "approved in Prefect's UI; the gate passed; rmse 1.5 (champion version 3: 2)"),
    ],
)
def test_an_approval_carries_who_why_and_the_numbers(who: str, why: str, words: str) -> None:
    assert promotion.approval_reason(pending(), who, why) == words


def test_a_refusal_carries_the_command_that_moves_it_all_the_same() -> None:
    assert promotion.refusal_reason(pending(), "the owner", "too slow") == (
        "refused by the owner: too slow. To move it all the same: onerun promote --model m --to 4"
    )
