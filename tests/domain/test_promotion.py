"""Whether an alias moves, and the reason."""

from typing import Any

from onerun.domain.promotion import (
    PromotionDecision,
    decide,
    ledger_metrics,
    move_command,
    rollback_command,
)
from onerun.domain.references import Evaluation, GateResult, Version

VERSION = Version(model="housing", version="4")


def evaluation(*held: bool, **more: Any) -> Evaluation:
    gates = tuple(
        GateResult(rule="r2 >= 0.8", held=each, reason="0.75 is below 0.8") for each in held
    )
    return Evaluation(
        task="regression",
        primary="rmse",
        metrics={"rmse": 1.5},
        baseline_metrics={"rmse": 3},
        gates=gates,
        **more,
    )


def test_all_gates_passed() -> None:
    better = evaluation(True, True, champion_version="3", champion_metrics={"rmse": 2.0})
    decision = decide(better, "auto", VERSION, "champion")
    assert decision.promote
    assert "all 2 gates passed" in decision.reason
    assert "rmse 1.5 (champion version 3: 2)" in decision.reason
    assert ledger_metrics(better) == {"rmse": 1.5, "champion_rmse": 2.0}


def test_no_gates_and_no_champion() -> None:
    decision = decide(evaluation(), "auto", VERSION, "champion")
    reason = "no gates; rmse 1.5 (there was no champion)"
    assert decision == PromotionDecision(promote=True, reason=reason)


def test_one_gate_failed() -> None:
    decision = decide(evaluation(True, False), "auto", VERSION, "champion")
    assert not decision.promote
    assert "1 of 2 gates failed: r2 >= 0.8: 0.75 is below 0.8" in decision.reason


def test_manual_approval_names_the_command() -> None:
    decision = decide(evaluation(True), "manual", VERSION, "champion")
    assert not decision.promote
    assert decision.waits
    assert decision.reason.endswith("waits for approval: onerun promote --model housing --to 4")
    assert not decide(evaluation(False), "manual", VERSION, "champion").waits


def test_commands_can_be_pasted() -> None:
    assert (
        move_command("my model", "live", "3")
        == "onerun promote --model 'my model' --alias live --to 3"
    )
    assert rollback_command("m", "champion") == "onerun promote --model m --rollback"
