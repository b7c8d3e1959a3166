"""`python -m flows.train` as a person runs it: real processes, a real store, real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run

ROOT = Path(__file__).parents[2]
RECIPE = """\
name: houses
data: {source: houses.csv, target: price}
split: {by: random}
model:
  estimator: lightgbm.LGBMRegressor
  params: {n_estimators: 20}
evaluate: {slices: [kind]}
gates:
  - {metric: r2, min: 0.5}
  - {better_than: champion}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns: an empty project folder with a recipe and a table that can be learned."""
    rng = np.random.default_rng(7)
    size, kind = rng.uniform(20, 200, 600), rng.choice(["flat", "house, old", "maison é"], 600)
    price = size * 10 + (kind == "flat") * 100 + rng.normal(0, 20, 600)
    rows = [f'{s:.2f},"{k}",{p:.1f}' for s, k, p in zip(size, kind, price, strict=True)]
    (tmp_path / "houses.csv").write_text("\n".join(["size [m2],kind,price", *rows]))
    (tmp_path / "houses.yaml").write_text(RECIPE)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flows.train", *arguments]


def environment_of(prefect_server: str | None, **more: str) -> dict[str, str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return variables | ({"PREFECT_API_URL": prefect_server} if prefect_server else {})


def trained(
    folder: Path, prefect_server: str | None, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    variables = environment_of(prefect_server, **more)
    return subprocess.run(
        command(*arguments), cwd=folder, env=variables, capture_output=True, text=True, timeout=280
    )


def runs_of(folder: Path) -> list[Run]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return list(
        client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    )


def statuses(folder: Path) -> list[str]:
    return [run.info.status for run in runs_of(folder)]


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_arguments_it_helps(folder: Path) -> None:
    done = trained(folder, None)
    assert done.returncode == 0
    assert "python -m flows.train --recipe recipes/" in done.stdout


def test_a_training_without_a_server_says_what_it_did_and_leaves_one_finished_run(
    folder: Path,
) -> None:
    done = trained(folder, None, "--recipe", "houses.yaml")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("waiting")]
    stages = ["ingest", "validate", "train", "evaluate", "register", "promote"]
    assert [line.split()[0] for line in lines[:6]] == stages
    assert any("champion moved to houses version 1" in line for line in lines)
    assert any("mlflow ui --backend-store-uri" in line for line in lines)
    assert not any("Prefect" in line for line in lines), "a link to a server that is gone"
    (tags,) = (run.data.tags for run in runs_of(folder))
    assert "onerun.flow_run_url" not in tags
    assert "@" in tags["mlflow.user"]
    assert statuses(folder) == ["FINISHED"]
    assert "Traceback" not in done.stderr


def test_nobody_reading_the_output_does_not_stop_the_training(
    folder: Path, prefect_server: str
) -> None:
    line = f"{' '.join(command('--recipe', 'houses.yaml'))} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment_of(prefect_server), timeout=200
    )
    assert done.returncode == 0
    assert statuses(folder) == ["FINISHED"]


def test_json_is_one_object_on_stdout_and_the_champion_is_compared(
    folder: Path, prefect_server: str
) -> None:
    first = json.loads(trained(folder, prefect_server, "--recipe", "houses.yaml", "--json").stdout)
    changed = [
        "--set",
        "model.params.n_estimators=60",
        "--set",
        "gates=[{better_than: champion, by: 1%}]",
    ]
    done = trained(folder, prefect_server, "--recipe", "houses.yaml", *changed, "--json")
    second: dict[str, Any] = json.loads(done.stdout)
    assert "ingest" in done.stderr
    assert (
        f"{prefect_server.removesuffix('/api')}/runs/flow-run/{second['flow_run_id']}"
        in done.stderr
    )
    assert set(second) >= {
        "status", "run_id", "experiment", "flow_run_id", "model", "version", "promoted", "alias", "metrics",
        "champion_metrics", "gates", "snapshot", "seconds",
    }  # fmt: skip
    assert (second["status"], second["version"], second["promoted"]) == ("completed", "2", True)
    assert second["champion_metrics"] == pytest.approx(first["metrics"])
    assert second["snapshot"]["digest"] == first["snapshot"]["digest"]
    assert second["snapshot"]["rows"] == 600
    assert set(second["gates"][0]) == {"rule", "held", "reason", "kind"}
    assert set(second["seconds"]) == {
        "ingest",
        "validate",
        "train",
        "evaluate",
        "register",
        "promote",
    }


def test_a_gate_that_does_not_hold_is_no_failure(folder: Path, prefect_server: str) -> None:
    done = trained(
        folder, prefect_server, "--recipe", "houses.yaml", "--set", "gates.0.min=0.99999", "--json"
    )
    result = json.loads(done.stdout)
    assert (done.returncode, result["promoted"], result["version"]) == (0, False, "1")
    assert [gate["held"] for gate in result["gates"]] == [False, True]


def test_a_plan_touches_nothing(folder: Path) -> None:
    before = written(folder)
    done = trained(folder, None, "--recipe", "houses.yaml", "--plan")
    assert done.returncode == 0
    assert "champion moves when all hold (r2 >= 0.5" in done.stdout
    assert written(folder) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "hauses.yaml"], "no such recipe; did you mean houses.yaml?"),
        (
            ["--recipe", "houses.yaml", "--set", "splitt.seed=1"],
            "--set: splitt: unknown key; did you mean split?",
        ),
        (
            ["--recipe", "houses.yaml", "--set", "model.params.num_leafs=1"],
            "did you mean num_leaves?",
        ),
        (
            ["--recipe", "houses.yaml", "--set", "model.estimator=os.system"],
            "not among the allowed",
        ),
        (["--recipe", "houses.yaml", "--set", "evaluate.primary=accuracy"], "accuracy"),
        (["--recipe", "houses.yaml", "--data", "hauses.csv"], "houses.csv"),
        (["--recipe", "houses.yaml", "--profile", "nowhere"], "nowhere"),
        (["--set", "split.seed=1"], "--recipe: is missing"),
        (["--recipe", "houses.yaml", "--sed", "1"], "unrecognized arguments"),
    ],
)
def test_a_mistake_in_what_was_asked_ends_with_2_and_nothing_written(
    folder: Path, prefect_server: str, arguments: list[str], words: str
) -> None:
    before = written(folder)
    done = trained(folder, prefect_server, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert written(folder) - before <= {"mlflow.db", "mlruns"} and not any(
        folder.glob(".onerun/snapshots/*")
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:9"),
        ("PREFECT_API_URL", "http://127.0.0.1:9/api"),
        ("MLFLOW_TRACKING_URI", "sqlite:////nowhere/at/all/mlflow.db"),
        ("ONERUN_WORK", "/proc/onerun"),
    ],
)
def test_what_cannot_be_reached_is_named_within_seconds(
    folder: Path, variable: str, value: str
) -> None:
    before, begun = written(folder), time.monotonic()
    done = trained(
        folder,
        "http://127.0.0.1:9/api" if "PREFECT" in variable else None,
        "--recipe",
        "houses.yaml",
        **{variable: value},
    )
    assert done.returncode == 2
    assert variable in done.stderr and "Traceback" not in done.stderr
    assert written(folder) == before
    assert time.monotonic() - begun < 60


def test_a_failed_stage_ends_with_1_and_the_run_says_why(folder: Path, prefect_server: str) -> None:
    text = (folder / "houses.csv").read_text().splitlines()
    (folder / "houses.csv").write_text(text[0])
    done = trained(folder, prefect_server, "--recipe", "houses.yaml", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "failed"
    assert "houses.csv" in done.stderr and "Traceback" not in done.stderr
    assert statuses(folder) == ["FAILED"]


def hears_ctrl_c() -> None:
    """A shell's background job, such as this test run may be, has its children ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_an_interrupted_training_reads_killed(
    folder: Path, prefect_server: str, how: signal.Signals, code: int
) -> None:
    slow = ["--set", "model.params.n_estimators=1000000", "--set", "model.params.num_leaves=300"]
    process = subprocess.Popen(
        command("--recipe", "houses.yaml", *slow),
        cwd=folder, env=environment_of(prefect_server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.strip().startswith("validate"):
                break
        time.sleep(2)
        process.send_signal(how)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert statuses(folder) == ["KILLED"]
    assert "Traceback" not in errors
