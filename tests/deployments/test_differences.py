"""What runs is not what is asked for now: told at once, by name, without a value; and told or ended all the same."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.stack import __main__ as command
from deployments.stack.processes import Processes
from deployments.stack.stack import read_stack
from deployments.stack.state import alone
from deployments.stack.up import start
from tests.servers import free_port

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")
SECRET = "a-password-of-the-database"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An MLflow server's process, as an earlier `up` started it at an address of its own. Yields: the address."""
    monkeypatch.chdir(tmp_path)
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    stack = read_stack(None)
    service = replace(stack.servers[1], command=(*SLEEPS, *stack.servers[1].command))
    assert start(service, stack.processes, tmp_path)
    record = stack.processes.folder / "mlflow.json"
    record.write_text(
        json.dumps(json.loads(record.read_text()) | {"command": stack.servers[1].command})
    )
    yield address
    stack.processes.end("mlflow", timeout=5)


def up(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = command.main(["up"])
    return code, capsys.readouterr().err


def test_another_address_is_a_mistake_at_once(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", now)
    code, said = up(capsys)
    assert code == 2
    assert f"mlflow runs at {elsewhere}, and {now} is asked for now" in said
    assert f"down), then up, or set MLFLOW_TRACKING_URI={elsewhere}\n" in said
    assert command.main(["status", "--json"]) == 0
    states = {each["name"]: each for each in json.loads(capsys.readouterr().out)["services"]}
    assert (
        states["mlflow"]["address"] == elsewhere and states["mlflow"]["state"] == "does not answer"
    )
    assert states["prefect"]["state"] == "not running", "nothing was started"


@pytest.mark.parametrize(
    "variable", ["MLFLOW_BACKEND_STORE_URI", "AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_ENDPOINT_URL"]
)
def test_settings_that_came_later_are_told_by_name(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    from deployments.stack.differences import differences

    stack = read_stack(None)
    assert differences(stack.all, stack.processes) == []
    value = (
        f"http://127.0.0.1:9/{SECRET}"
        if variable.endswith("ENDPOINT_URL")
        else f"sqlite:////nowhere/{SECRET}"
    )
    monkeypatch.setenv(variable, value)
    later = read_stack(None)
    (mistake,) = differences(later.all, later.processes)
    assert (
        mistake.key == "mlflow"
        and variable in mistake.message
        and "down), then up" in mistake.message
    )
    assert SECRET not in mistake.message


def test_another_database_is_not_touched(
    elsewhere: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", f"sqlite:///{tmp_path}/another.db")
    code, said = up(capsys)
    assert code == 2 and "MLFLOW_BACKEND_STORE_URI" in said
    assert not (tmp_path / "another.db").exists()


def test_a_retry_budget_is_nothing_to_a_server(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployments.stack.differences import differences

    monkeypatch.setenv("ONERUN_RETRY_BUDGET", "20s")
    stack = read_stack(None)
    assert differences(stack.all, stack.processes) == []


def test_records_hold_no_value_and_are_their_owners(tmp_path: Path) -> None:
    from deployments.stack.state import fingerprints

    processes = Processes(tmp_path / "state")
    held = fingerprints(processes.folder, {"PASSWORD": SECRET, "OTHER": SECRET + "x"})
    processes.start("mlflow", SLEEPS, os.environ, tmp_path, settings=held)
    try:
        record = processes.folder / "mlflow.json"
        assert SECRET not in record.read_text() and held["PASSWORD"] != held["OTHER"]
        assert [
            oct(path.stat().st_mode)[-3:]
            for path in (record, processes.folder / "fingerprints.key")
        ] == ["600"] * 2
        assert (
            processes.find("mlflow").settings
            == held
            == fingerprints(  # type: ignore[union-attr]
                processes.folder, {"OTHER": SECRET + "x", "PASSWORD": SECRET}
            )
        )
        assert (
            fingerprints(tmp_path / "another", {"PASSWORD": SECRET})["PASSWORD"] != held["PASSWORD"]
        )
    finally:
        processes.end("mlflow", timeout=5)


@pytest.mark.parametrize(
    "broken",
    [
        "ONERUN_NONSENSE=1\n",
        "ONERUN_BIND=\nONERUN_WORKER_LIMIT=many\n",
        "MLFLOW_TRACKING_USERNAME=owner\n",
    ],
)
def test_status_logs_and_down_need_no_settings_that_are_right(
    elsewhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    (tmp_path / ".env").write_text(broken)
    code, said = up(capsys)
    assert (
        code == 2 and broken.partition("=")[0].removesuffix("USERNAME").removesuffix("BIND") in said
    )
    assert command.main(["logs"]) == 0
    assert command.main(["status"]) == 0
    assert "mlflow    does not answer" in capsys.readouterr().out
    assert not (tmp_path / ".onerun" / "stack" / "mlflow-accounts.ini").exists()
    assert command.main(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ended"] == ["mlflow"]


def test_down_where_nothing_ever_ran_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["down"]) == 0
    assert f"nothing ran that was started from {tmp_path}/.onerun/stack" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_one_up_at_a_time(
    elsewhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tmp_path / ".onerun" / "stack" / "mlflow.json").read_text()
    with alone(tmp_path / ".onerun" / "stack"):
        code, said = up(capsys)
        assert code == 2 and f"another up or down is at work here (process {os.getpid()})" in said
        assert command.main(["down"]) == 2
    assert (tmp_path / ".onerun" / "stack" / "mlflow.json").read_text() == before
    with alone(tmp_path / ".onerun" / "stack"):
        pass
