"""Whether an alias moves, and the words for it."""

from typing import Any

from onerun.domain.promotion import (
    Hold,
    Promote,
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


def test_all_gates_held() -> None:
    better = evaluation(True, True, champion_version="3", champion_metrics={"rmse": 2.0})
    decision = decide(better, "auto", VERSION, "champion")
    assert isinstance(decision, Promote)
    assert "all 2 gates held" in decision.reason
    assert "rmse 1.5 (champion version 3: 2)" in decision.reason
    assert ledger_metrics(better) == {"rmse": 1.5, "champion_rmse": 2.0}


def test_no_gates_and_no_champion() -> None:
    decision = decide(evaluation(), "auto", VERSION, "champion")
    assert decision == Promote("no gates asked for; rmse 1.5 (there was no champion)")


def test_one_gate_did_not_hold() -> None:
    decision = decide(evaluation(True, False), "auto", VERSION, "champion")
    assert isinstance(decision, Hold)
    assert "1 of 2 gates did not hold: r2 >= 0.8: 0.75 is below 0.8" in decision.reason


def test_manual_approval_names_the_command() -> None:
    decision = decide(evaluation(True), "manual", VERSION, "champion")
    assert isinstance(decision, Hold)
    assert decision.reason.endswith(
        "waits for approval: python -m flows.promote --model housing --to 4"
    )
    assert isinstance(decide(evaluation(False), "manual", VERSION, "champion"), Hold)


def test_commands_can_be_pasted() -> None:
    assert (
        move_command("my model", "live", "3")
        == "python -m flows.promote --model 'my model' --alias live --to 3"
    )
    assert rollback_command("m", "champion") == "python -m flows.promote --model m --rollback"
