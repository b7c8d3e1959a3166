"""Servers that are there already are used as they are; what is silent here is started, elsewhere it is a mistake."""

from pathlib import Path

import pytest

from deployments.stack import running
from deployments.stack.existing import keep, kept
from deployments.stack.stack import read_stack
from onerun.config.mistakes import Mistakes
from tests.servers import MlflowServer, free_port


def test_servers_that_answer_are_used_and_the_others_started(
    tmp_path: Path,
    prefect_api: str,
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    stack = read_stack(None, use_existing=True)
    assert stack.servers == () and list(stack.existing) == ["prefect", "mlflow"]
    assert stack.existing["prefect"].address == prefect_api.removesuffix("/api")
    assert [service.name for service in stack.all] == ["worker"]

    keep(stack.processes.folder, stack.existing)
    states = {each["name"]: each["state"] for each in running.status(stack.processes, report=None)}
    assert states == {"prefect": "existing", "mlflow": "existing", "worker": "not running"}
    said: list[str] = []
    assert running.take_down(stack.processes, said.append) == []
    assert "mlflow    left as it is" in "\n".join(said) and kept(stack.processes.folder) == {}

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    stack = read_stack(None, use_existing=True)
    assert [service.name for service in stack.servers] == ["mlflow"]
    assert list(stack.existing) == ["prefect"]


def test_a_server_elsewhere_that_is_silent_is_a_mistake(
    tmp_path: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.2:9")
    with pytest.raises(Mistakes, match=r"MLFLOW_TRACKING_URI: http://127\.0\.0\.2:9 cannot be"):
        read_stack(None, use_existing=True)
