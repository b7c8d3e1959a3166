"""`python -m flows.promote`: exit codes, words, and the record."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from onerun.commands.promote import COMMAND
from onerun.tracking.registry import make_version, move_alias, version_of_alias
from onerun.tracking.runs import client

ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    return COMMAND.main(arguments)


@pytest.fixture
def model(run_id: str) -> str:
    """Returns: a model with versions 1 to 3, of which 3 was promoted last."""
    name = f"housing-{uuid4().hex[:8]}"
    experiment = client().get_run(run_id).info.experiment_id
    for version, before in (("1", None), ("2", "1"), ("3", "2")):
        run = client().create_run(experiment).info.run_id
        make_version(
            name,
            client().create_logged_model(experiment, name="m", source_run_id=run).model_id,
            run,
        )
        move_alias(
            name, "champion", version, before, f"reason {version}", run, numbers={"rmse": 46913.5}
        )
    return name


def as_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_without_arguments_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "--rollback" in capsys.readouterr().out


def test_history_says_when_who_why_and_how_to_undo(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", model, "--history"]) == 0
    told = capsys.readouterr().out
    for part in (
        "version 2 -> 3",
        "why: reason 3",
        "rmse 46,913.5",
        f"--model {model} --to 2",
        "run ",
    ):
        assert part in told
    assert told.rstrip().endswith(f"{model}@champion points at version 3")


def test_rollback_twice_and_to(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", model, "--rollback", "--why", "it was slow"]) == 0
    assert f"version 3 -> 2\nback: onerun promote --model {model} --to 3" in capsys.readouterr().out
    assert main(["--model", model, "--rollback", "--json"]) == 0
    told = as_json(capsys)
    assert (told["status"], told["moved"], told["from"], told["to"]) == ("done", True, "2", "1")
    assert main(["--model", model, "--rollback"]) == 2
    assert "no earlier holder" in capsys.readouterr().err
    assert main(["--model", model, "--to", "3"]) == 0
    assert main(["--model", model, "--to", "3"]) == 0
    assert "points at version 3 already" in capsys.readouterr().out
    assert version_of_alias(model, "champion") == "3"


def test_a_move_by_other_means_is_said(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    client().set_registered_model_alias(model, "champion", "1")
    assert main(["--model", model, "--history"]) == 0
    assert "points at version 1 (moved last by other means than this)" in capsys.readouterr().out
    assert main(["--model", model, "--rollback"]) == 0
    assert version_of_alias(model, "champion") == "3"


def test_p5_mistakes_name_what_is_near(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (
        (["--model", model[:-1], "--history"], f"did you mean {model}?"),
        (["--model", model, "--alias", "champoin", "--rollback"], "did you mean champion?"),
        (["--model", model, "--to", "9"], "has no version 9; there are 3, 2, 1"),
        (["--model", model, "--to", "9", "--json"], "has no version 9"),
    ):
        assert main(arguments) == 2
        assert expected in capsys.readouterr().err


def test_p5_nothing_is_made_where_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert main(["--model", "m", "--history"]) == 2
    assert "nothing was registered there yet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_exit_with_2() -> None:
    for arguments in (
        ["--model", "m"],
        ["--model", "m", "--rollback", "--to", "3"],
        ["--rollback"],
    ):
        assert main(arguments) == 2


def test_as_a_command_it_needs_no_prefect(model: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows.promote", "--model", model, "--history", "--json"],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["holder"] == "3"
    assert "| prefect" not in done.stderr
    assert "great_expectations" not in done.stderr


def test_as_a_flow(model: str, prefect_api: str) -> None:
    from flows.promote import promote

    assert promote(model, why="from the Prefect UI").to_version == "2"
    assert version_of_alias(model, "champion") == "2"
