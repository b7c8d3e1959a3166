"""`import onerun`: a training and its champion in a script or a notebook."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import onerun
from onerun.config.mistakes import Mistakes

ROOT = Path(__file__).parents[1]
RECIPE = {
    "name": "diabetes",
    "data": {"source": "sklearn:diabetes", "target": "target"},
    "model": {"estimator": "sklearn.linear_model.Ridge"},
    "evaluate": {"explain": {"rows": 20}},
    "gates": [{"metric": "r2", "min": 0.1}],
}


def frame() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    table: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).data
    return table.head(3)


def test_a_training_is_shown_and_its_champion_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    environment, thresholds = dict(os.environ), (gc.isenabled(), gc.get_threshold())
    result = onerun.train(RECIPE, overrides={"split.seed": 7, "model.params.alpha": 0.5})
    said = capsys.readouterr().out
    assert "  train  " in said and "champion moved to diabetes version 1" in said
    assert isinstance(result, onerun.TrainingResult)
    assert result.promoted and result.model_uri == "models:/diabetes/1"
    assert result.metrics["r2"] > 0.1 and Path(result.report).exists()
    assert dict(os.environ) == environment
    assert (gc.isenabled(), gc.get_threshold()) == thresholds
    assert len(onerun.load("diabetes").predict(frame())) == 3
    assert len(onerun.load("diabetes", version=1).predict(frame())) == 3
    refusals = {
        ("diabets",): "did you mean diabetes?",
        ("diabetes", "staging"): r"its aliases: champion \(version 1\)",
        ("diabetes", "champion", 7): "has no version 7",
    }
    for (name, *rest), message in refusals.items():
        given = dict(zip(("alias", "version"), rest, strict=False))
        with pytest.raises(Mistakes, match=message):
            onerun.load(name, **given)
    onerun.train(RECIPE, overrides=["split.seed=7"], quiet=True)
    assert capsys.readouterr().out == ""


def test_nothing_is_made_where_nothing_was_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Mistakes, match="nothing was registered there yet"):
        onerun.load("diabetes")
    with pytest.raises(Mistakes, match="unknown key; did you mean target"):
        onerun.train({**RECIPE, "data": {"source": "sklearn:diabetes", "targt": "target"}})
    assert list(tmp_path.iterdir()) == []


def test_importing_it_costs_nothing() -> None:
    code = "import sys, onerun; print(*sorted(m for m in sys.modules if m.startswith('onerun')))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, check=True, capture_output=True
    )
    assert done.stdout.split() == ["onerun", "onerun.version"]
