"""A model's owner is asked in Prefect's UI: no process waits, resuming moves the alias, refusing leaves it."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.system.running import RunningStack, running, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
MANUAL = ["promote.approval=manual"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running(tmp_path_factory.mktemp("asked")) as started:
        yield started


def asked(stack: RunningStack, training: UUID) -> dict[str, Any]:
    """Returns: the flow run that asks for the training's version, once it waits."""
    assert stack.ended(training)["type"] == "COMPLETED"
    (run,) = stack.runs(training)
    wanted = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}

    def waiting() -> dict[str, Any] | None:
        found = stack.ask("POST", "/flow_runs/filter", json=wanted)
        return next(
            (each for each in found if each["parameters"] == {"run_id": run.info.run_id}), None
        )

    question: dict[str, Any] = until(waiting, "the question")
    return question


def form(stack: RunningStack, question: dict[str, Any]) -> dict[str, str]:
    """Returns: description and schema of what the UI shows; Prefect writes them a moment after the state."""

    def written() -> dict[str, str] | None:
        inputs = stack.ask(
            "POST",
            f"/flow_runs/{question['id']}/input/filter",
            json={"prefix": "suspended-", "limit": 10},
        )
        found = {each["key"].rpartition("-")[2]: each["value"] for each in inputs}
        return found if {"description", "schema"} <= found.keys() else None

    held: dict[str, str] = until(written, "the question's form")
    return held


def answered(stack: RunningStack, question: dict[str, Any], **answer: Any) -> None:
    """What *Resume* and *Submit* do."""
    form(stack, question)
    said = stack.ask("POST", f"/flow_runs/{question['id']}/resume", json={"run_input": answer})
    assert said["status"] == "ACCEPT", said
    assert stack.ended(UUID(question["id"]))["type"] == "COMPLETED"


def holder(stack: RunningStack) -> str | None:
    return stack.mlflow.get_registered_model("wine").aliases.get("champion")


def test_resuming_moves_the_alias_and_refusing_leaves_it(stack: RunningStack) -> None:
    first = asked(stack, stack.run("train/wine", overrides=MANUAL))
    assert first["name"] == "approve wine version 1" and first["state"]["name"] == "Suspended"
    description = form(stack, first)["description"]
    assert "| f1_macro |" in description and "**wine version 1** held its gates" in description
    assert holder(stack) is None
    answered(stack, first, approve=True, who="the owner", why="looks fine")
    assert holder(stack) == "1"
    record = stack.mlflow.get_model_version("wine", "1").tags["onerun.approval.champion"]
    assert record.startswith("approved by the owner: looks fine")

    second = asked(stack, stack.run("train/wine", overrides=[*MANUAL, "split.seed=7"]))
    answered(stack, second, approve=False, why="no better")
    assert holder(stack) == "1"
    record = stack.mlflow.get_model_version("wine", "2").tags["onerun.approval.champion"]
    assert record.startswith("refused in Prefect's UI: no better")


def test_a_question_that_is_cancelled_leaves_everything(stack: RunningStack) -> None:
    before = stack.mlflow.get_registered_model("wine").aliases
    question = asked(stack, stack.run("train/wine", overrides=[*MANUAL, "split.seed=8"]))
    state = {"type": "CANCELLED", "name": "Cancelled"}
    stack.ask(
        "POST", f"/flow_runs/{question['id']}/set_state", json={"state": state, "force": True}
    )
    assert stack.mlflow.get_registered_model("wine").aliases == before
