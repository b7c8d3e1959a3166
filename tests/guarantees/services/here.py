"""Trainings in this very process: no second Python has to start where nothing is killed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.guarantees.trainings import SECRETS, Training

OF_PREFECT = ("PREFECT_API_AUTH_STRING",)  # this process has spoken to Prefect without it


class TrainingHere(Training):
    """One flow run of the deployed training, run in this process as a worker's process would."""

    error: BaseException | None = None  # what the last run raised

    def __init__(
        self,
        folder: Path,
        recipe: str,
        tracking_uri: str | None = None,
        given: Mapping[str, str] = {},
    ) -> None:
        """`given`: variables of every run."""
        super().__init__(folder, recipe, tracking_uri)
        self._given = dict(given)

    def run(self, planted: str = "", **more: str) -> int:
        """Runs it to its end. Returns: what the command line would exit with."""
        from onerun.commands.exit import exit_code

        assert not planted
        before = dict(os.environ)
        os.environ.update(
            {name: value for name, value in SECRETS.items() if name not in OF_PREFECT}
        )
        os.environ.update(
            {"MLFLOW_TRACKING_URI": self.tracking_uri, "ONERUN_WORK": str(self.folder / ".onerun")}
        )
        os.environ.update(self._given | more)
        try:
            return exit_code(self._flow, False, "interrupted")
        finally:
            os.environ.clear()
            os.environ.update(before)

    def said(self) -> str:
        """Returns: how the last run ended."""
        return "\n".join([str(self.error), *getattr(self.error, "__notes__", ())])

    def _flow(self) -> dict[str, Any]:
        from prefect.client.orchestration import get_client
        from prefect.flow_engine import run_flow

        from flows.train import train

        self.error = None
        with get_client(sync_client=True) as client:
            flow_run = client.read_flow_run(self.flow_run_id)
        try:
            result: Any = run_flow(train, flow_run=flow_run, parameters={"recipe": self.recipe})
        except BaseException as error:
            self.error = error
            raise
        return dict(result)


def when_called(patch: pytest.MonkeyPatch, function: str, do: Any) -> None:
    """`do()` happens right before the first call of `function` (module.name)."""
    from importlib import import_module

    module, _, name = function.rpartition(".")
    real, waiting = getattr(import_module(module), name), [do]

    def call(*arguments: Any, **named: Any) -> Any:
        while waiting:
            waiting.pop()()
        return real(*arguments, **named)

    patch.setattr(function, call)


def never(patch: pytest.MonkeyPatch, *functions: str) -> None:
    """Whoever calls one of them from here on computes what was computed already."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    for function in functions:
        patch.setattr(function, refuse)
